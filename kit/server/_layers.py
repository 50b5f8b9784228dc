"""What ends a call: the status that an error becomes, and the deadline."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from kit.call import deadline as current_deadline
from kit.call import set_deadline
from kit.clock import SYSTEM
from kit.errors import DeadlineExceeded
from kit.observe import get_logger
from kit.server._answers import Answer, answer_to
from kit.server._call import Handler, ServerCall, ServerMethod

log = get_logger("kit.server")


class MapErrorsLayer:
    """Ends the call with a status whatever the handler raises (`_answers`); `context.abort` passes as it is."""

    name = "map errors"

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        async def handle(call: ServerCall) -> Any:
            try:
                response = await inner(call)
            except grpc.aio.AbortError:
                _note_own_status(call)
                raise
            except asyncio.CancelledError:
                await _end_cancelled(call)
                raise
            except Exception as error:  # noqa: BLE001 - no exception reaches a client as text
                if isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError):
                    # A write or read failed: there is no longer anybody at the other end.
                    call.code, call.details = grpc.StatusCode.CANCELLED, "the client is gone"
                    raise asyncio.CancelledError from None
                answer = answer_to(error, lambda: secrets.token_hex(8))
                _log_failure(call, answer, error)
                await _abort(call, answer)
            else:
                _note_own_status(call)
                return response

        return handle


class DeadlineLayer:
    """Refuses a call whose time is up, hands the rest to calls made inside, cancels the handler at its end."""

    name = "deadline"

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        async def handle(call: ServerCall) -> Any:
            remaining = _remaining(call.context)
            if remaining is None:
                set_deadline(None)
                return await inner(call)
            if remaining <= 0:
                raise DeadlineExceeded("the deadline had passed when the call arrived")
            # Each call runs in a context of its own, which ends with it: nothing is to be reset.
            set_deadline(SYSTEM.now() + remaining)
            try:
                async with asyncio.timeout(remaining) as scope:
                    return await inner(call)
            except TimeoutError:
                if scope.expired():
                    raise DeadlineExceeded("the deadline passed while the call was served") from None
                raise

        return handle


def _remaining(context: Any) -> float | None:
    """Seconds, or None without a deadline, which grpc's stubs do not say."""
    left: float | None = context.time_remaining()
    return left


def _note_own_status(call: ServerCall) -> None:
    """Takes over the status that the handler set itself, by `abort` or `set_code`."""
    code = call.context.code()
    if code:
        call.code = code if isinstance(code, grpc.StatusCode) else _CODES.get(code, grpc.StatusCode.UNKNOWN)
        call.details = str(call.context.details() or "")


_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def _end_cancelled(call: ServerCall) -> None:
    """Sends a status to a client that may still wait: grpc sends none for a handler that raises CancelledError."""
    late = current_deadline().expired()
    call.code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    call.details = "the deadline passed while the call was served" if late else "the call was cancelled"
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        log.warning("a handler raised CancelledError without having been cancelled", method=call.method)
    # It fails where the client or grpc cancelled the call: then nobody waits.
    with suppress(Exception):
        await call.context.abort(call.code, call.details)


async def _abort(call: ServerCall, answer: Answer) -> None:
    call.code, call.details = answer.code, answer.message
    trailing = (*(call.context.trailing_metadata() or ()), *answer.trailing)
    try:
        await call.context.abort(answer.code, answer.message, trailing)
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:
        # The client is gone, or the handler had aborted the call before it raised: the call has its end.
        raise asyncio.CancelledError from None


def _log_failure(call: ServerCall, answer: Answer, error: Exception) -> None:
    if answer.error_id:
        log.error("a handler failed", method=call.method, error_id=answer.error_id, exc_info=error)
    elif isinstance(error, grpc.aio.AioRpcError):
        log.warning("a call made inside failed", method=call.method, code=error.code().name, details=error.details())
