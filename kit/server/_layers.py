"""What ends a call: the status that an error becomes, and the deadline."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from kit.call import expires_at, served_until, set_deadline
from kit.clock import SYSTEM
from kit.errors import DeadlineExceeded, sendable
from kit.observe import errors as error_log
from kit.observe import get_logger
from kit.pipeline import Shape
from kit.server._answers import Answer, answer_to
from kit.server._call import Handler, Serialized, ServerCall, ServerMethod

log = get_logger("kit.server")

#: What gRPC adds to a timeout at most when it is sent (see `kit.resilience.deadline`), and seconds beside that: a
#: client whose time is up cancels so much before the end that is known here.
_ROUNDED, _SLACK = 0.04, 0.005


class MapErrorsLayer:
    """Ends the call with a status whatever the handler raises (`_answers`); `context.abort` passes as it is."""

    name = "map errors"

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        # What is streamed is serialised while the handler writes it.
        streams = method.shape in (Shape.UNARY_STREAM, Shape.STREAM_STREAM)
        serialize = None if streams else method.response_serializer

        async def handle(call: ServerCall) -> Any:
            try:
                response = await inner(call)
                _note_own_status(call)
                if call.details:
                    _mend_details(call)
                # Here, and not by grpc, which would tell the client why a response is none.
                if serialize is not None and type(response) is not Serialized and call.code is grpc.StatusCode.OK:
                    response = Serialized(serialize(response))
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
                return response

        return handle


class DeadlineLayer:
    """Refuses a call whose time is up, and hands the rest to calls made inside.

    At its end grpc's core cancels the handler, also where the client has stopped and says nothing any more; a timer of
    our own would cost every call 15 us.
    """

    name = "deadline"

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        def handle(call: ServerCall) -> Awaitable[Any]:
            remaining = _remaining(call.context)
            # Each call runs in a context of its own, which ends with it: nothing is to be reset.
            if remaining is None:
                if expires_at() != math.inf:
                    set_deadline(None)
            elif remaining > 0:
                call.time_given = remaining
                set_deadline(SYSTEM.now() + remaining)
            else:
                raise DeadlineExceeded("the deadline had passed when the call arrived")
            return inner(call)

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


def _mend_details(call: ServerCall) -> None:
    """grpc sends no status at all, and its client waits for ever, where the details that were set are no UTF-8."""
    details = sendable(call.details)
    if details != call.details:
        call.details = details
        call.context.set_details(details)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def code_of_cancelled(call: ServerCall) -> grpc.StatusCode:
    """The status of a call whose handler was cancelled just now."""
    late = served_until() - SYSTEM.now() <= call.time_given * _ROUNDED + _SLACK
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


async def _end_cancelled(call: ServerCall) -> None:
    """Sends a status to a client that may still wait: grpc sends none for a handler that raises CancelledError."""
    call.code = code_of_cancelled(call)
    late = call.code is grpc.StatusCode.DEADLINE_EXCEEDED
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
        if not call.context.done():
            # The handler's own abort was given what grpc refuses. Nothing else can be sent now than what grpc sends.
            call.context.set_code(answer.code)
            raise _UnsentError(answer.message) from None
        # The client is gone, or the handler had aborted the call before it raised: the call has its end.
        raise asyncio.CancelledError from None


class _UnsentError(Exception):
    """Its text is what the client gets."""


def _log_failure(call: ServerCall, answer: Answer, error: Exception) -> None:
    if answer.error_id:
        error_log.error("a handler failed", method=call.method, error_id=answer.error_id, exc_info=error)
    elif isinstance(error, grpc.aio.AioRpcError):
        log.warning("a call made inside failed", method=call.method, code=error.code().name, details=error.details())
