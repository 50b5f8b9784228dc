"""The call objects that stubs give back: everything that grpc.aio's offer, over a pipeline.

How they come to their outcome is in `kit.client.driven`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kit.call import CallReport
from kit.callbacks import run_callback
from kit.client.driven import Driven
from kit.clock import Clock
from kit.layers.report import as_call_error, report_of
from kit.pipeline import CANCELLED, Call, Handler, Outcome

__all__ = ["StreamStreamCall", "StreamUnaryCall", "UnaryStreamCall", "UnaryUnaryCall"]

_MIXED = "The iterator and read/write APIs may not be mixed on a single RPC."


class _Common(Driven):
    """What the calls of all four shapes offer. The documentation of each is grpc.aio's."""

    def _ended(self) -> bool:
        """Whether the call is over."""
        raise NotImplementedError

    def done(self) -> bool:
        if not self._settled and not self._cancelled:
            self._watch()
            # Closing the channel cancels grpc's call, and whoever waits for ours has yet to see it.
            return self.cancelled()
        return self._cancelled or self._ended()

    def cancelled(self) -> bool:
        inner = self._call.inner
        return self._cancelled or isinstance(self._failure, asyncio.CancelledError) or bool(inner and inner.cancelled())

    def time_remaining(self) -> float | None:
        expires_at = self._call.expires_at
        return None if expires_at == math.inf else max(0.0, expires_at - self._clock.now())

    def kit_report(self) -> CallReport:
        """What has happened to the call up to now; for `kit.report`."""
        return report_of(self._call, self._clock.now())

    async def _sent(self) -> Any:
        """grpc's own call; None where the call ended before there was one."""
        call = self._call
        while call.inner is None and not self._settled:
            if call.waiter is None:
                call.waiter = asyncio.Event()
            await call.waiter.wait()
        return call.inner

    async def initial_metadata(self) -> grpc.aio.Metadata:
        inner = await self._sent()
        if inner is not None:
            found: grpc.aio.Metadata = await inner.initial_metadata()
            if found or self._settled or not self._call.method.may_replay:
                return found
        await self._outcome_there()
        inner = self._call.inner
        return grpc.aio.Metadata() if inner is None else await inner.initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._outcome_there()
        inner = self._call.inner
        return grpc.aio.Metadata() if inner is None else await inner.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        await self._outcome_there()
        return self._call.code if self._call.code is not None else await self._inner_or_cancelled("code", CANCELLED[0])

    async def details(self) -> str:
        await self._outcome_there()
        return (
            self._call.details
            if self._call.code is not None
            else await self._inner_or_cancelled("details", CANCELLED[1])
        )

    async def debug_error_string(self) -> str | None:
        await self._outcome_there()
        return await self._inner_or_cancelled("debug_error_string", "")  # type: ignore[no-any-return]

    async def _inner_or_cancelled(self, name: str, otherwise: Any) -> Any:
        inner = self._call.inner
        return otherwise if inner is None else await getattr(inner, name)()

    def _run_callbacks(self) -> None:
        callbacks, self._callbacks = self._callbacks or (), None
        for callback in callbacks:
            run_callback(callback, self, now=self._clock.now)


class _OneAnswer(_Common):
    """The answer is one message."""

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._settled:
            yield from self._join().__await__() if self._driving else self._drive()
        return self._result()

    def _on_settled(self) -> None:
        if self._callbacks:
            self._run_callbacks()
        if self._call.waiter is not None:
            self._call.waiter.set()

    def _ended(self) -> bool:
        return self._settled

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._settled:
            run_callback(callback, self, now=self._clock.now)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self._call.inner is not None:
            self._watch()

    async def wait_for_connection(self) -> None:
        await self._join()
        self._result()


class _ManyAnswers(_Common):
    """The answer is a stream. The pipeline's outcome says that it is open; its end is grpc's own call's."""

    _first: Any = Outcome.NOTHING
    _style = ""
    _iterator: AsyncIterator[Any] | None = None

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and call.inner is not None and not call.inner.done():
            call.inner.cancel()

    def _on_settled(self) -> None:
        self._first = Outcome.NOTHING if self._outcome is None else self._outcome.response
        if self._call.waiter is not None:
            self._call.waiter.set()
        if not self._is_open():
            self._run_callbacks()
            return
        if self._callbacks:
            self._call.when_ended(lambda _code, _details: self._run_callbacks())
        _watch_end(self._call)

    def _is_open(self) -> bool:
        return self._outcome is not None and self._outcome.error is None

    def _ended(self) -> bool:
        return bool(self._call.inner.done()) if self._is_open() else self._settled

    def cancel(self) -> bool:
        if self._settled:
            return bool(self._is_open() and self._call.inner.cancel())
        return super().cancel()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._settled and self._ended():
            run_callback(callback, self, now=self._clock.now)
            return
        if self._callbacks is None:
            self._callbacks = []
            if self._settled:
                self._call.when_ended(lambda _code, _details: self._run_callbacks())
        self._callbacks.append(callback)
        if not self._settled and self._call.inner is not None:
            self._watch()

    async def wait_for_connection(self) -> None:
        await self._open()
        try:
            await self._call.inner.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise self._with_report(error) from None

    async def _open(self) -> None:
        if not self._settled:
            await (self._join() if self._driving else self._drive())
        self._result()

    def _use(self, style: str) -> None:
        if self._style not in ("", style):
            raise grpc.aio.UsageError(_MIXED)
        self._style = style

    async def read(self) -> Any:
        # At its end a stream says so in both styles.
        if self._style != "read" and not (self._settled and self._ended()):
            self._use("read")
        return await self._next()

    async def _next(self) -> Any:
        await self._open()
        if self._first is not Outcome.NOTHING:
            first, self._first = self._first, Outcome.NOTHING
            return first
        try:
            return await self._call.inner.read()
        except grpc.aio.AioRpcError as error:
            raise self._with_report(error) from None

    def __aiter__(self) -> AsyncIterator[Any]:
        self._use("iterate")
        if self._iterator is None:
            self._iterator = self._iterate()
        return self._iterator

    async def _iterate(self) -> AsyncIterator[Any]:
        message = await self._next()
        read = self._call.inner.read
        try:
            while message is not grpc.aio.EOF:
                yield message
                message = await read()
        except grpc.aio.AioRpcError as error:
            raise self._with_report(error) from None

    def _with_report(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        return as_call_error(error, self.kit_report())


def _watch_end(call: Call) -> None:
    """Runs `Call.at_end` when the stream ends. It refers to the notes only, so that an abandoned stream is freed."""

    def ended(inner: Any) -> None:
        code = _at_once(inner.code(), grpc.StatusCode.UNKNOWN)
        details = _at_once(inner.details(), "") or ""
        at_end, call.at_end = call.at_end, ()
        for tell in at_end:
            tell(code, details)

    call.inner.add_done_callback(ended)


def _at_once(coroutine: Any, default: Any) -> Any:
    """The result of a coroutine that need not wait, as those of a finished call do not."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    return default


class _ManyRequests(_Common):
    """The client streams."""

    @property
    def _done_writing_flag(self) -> bool:
        # Intercepted calls of grpc.aio ask for it.
        inner = self._call.inner
        return bool(inner is not None and getattr(inner, "_done_writing_flag", False))

    async def write(self, request: Any) -> None:
        await (await self._writable()).write(request)

    async def done_writing(self) -> None:
        await (await self._writable()).done_writing()

    async def _writable(self) -> Any:
        inner = await self._sent()
        if inner is None:
            self._result()
            raise asyncio.InvalidStateError("RPC already finished.")
        return inner


class UnaryUnaryCall(_OneAnswer, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one answer."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)


class StreamUnaryCall(_ManyRequests, _OneAnswer, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many requests, one answer."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)

    async def wait_for_connection(self) -> None:
        inner = await self._sent()
        if inner is None:
            self._result()
        else:
            await inner.wait_for_connection()


class UnaryStreamCall(_ManyAnswers, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, many answers."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)


class StreamStreamCall(_ManyRequests, _ManyAnswers, grpc.aio.StreamStreamCall[Any, Any]):
    """Many requests, many answers."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)
