"""The call objects of which a side is a stream, or both.

A stream that its caller abandons is cancelled: nothing that runs for it refers to the call object itself.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from kit.callbacks import run_callback
from kit.client._requests import unserialisable
from kit.client.calls import CommonCall, OneAnswerCall
from kit.client.driven import Driven, at_once
from kit.clock import Clock
from kit.layers.report import as_call_error
from kit.pipeline import Call, Handler, Outcome

__all__ = ["StreamStreamCall", "StreamUnaryCall", "UnaryStreamCall"]

_MIXED = "The iterator and read/write APIs may not be mixed on a single RPC."
_FINISHED = "RPC already finished."
_HALF_CLOSED = 'RPC is half closed after calling "done_writing".'


class _ManyAnswers(CommonCall):
    """The answer is a stream. The pipeline's outcome says that it is open; its end is grpc's own call's."""

    _first: Any = Outcome.NOTHING
    _style = ""
    _iterator: AsyncIterator[Any] | None = None
    _apart: _Apart | None = None

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is None:
            return
        if call.inner is not None and not call.inner.done():
            call.inner.cancel()
        if self._apart is not None:
            self._apart.cancel()

    def _drive_by_task(self) -> None:
        self._driving = True
        self._apart = _Apart(self)

    def _watch(self) -> None:
        if self._settled or self._driving or self._watching:
            return
        self._watching = True
        stream = weakref.ref(self)

        def ended(inner: Any) -> None:
            found = stream()
            if found is not None:
                found._inner_done(inner)

        self._call.inner.add_done_callback(ended)

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
        if self._apart is None:
            return super().cancel()
        if not self._apart.cancel():
            return False
        self._cancelled = True
        return True

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
        except (TypeError, ValueError) as error:
            found = unserialisable(self._call.method, self._call.request, error)
            raise found from found.__cause__

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


class _Apart(Driven):
    """Drives a stream by a task that does not refer to it: abandoned by its caller, it is freed, and then cancelled."""

    def __init__(self, stream: _ManyAnswers) -> None:
        self._stream = weakref.ref(stream)
        self._call, self._clock = stream._call, stream._clock
        self._coroutine, self._waiting = stream._coroutine, stream._waiting
        self._drive_by_task()

    def _on_settled(self) -> None:
        stream = self._stream()
        if stream is not None:
            stream._settle(self._outcome, self._failure)


def _watch_end(call: Call) -> None:
    """Runs `Call.at_end` when the stream ends. It refers to the notes only, so that an abandoned stream is freed."""

    def ended(inner: Any) -> None:
        code = at_once(inner.code(), grpc.StatusCode.UNKNOWN)
        details = at_once(inner.details(), "") or ""
        at_end, call.at_end = call.at_end, ()
        for tell in at_end:
            tell(code, details)

    call.inner.add_done_callback(ended)


class _ManyRequests(CommonCall):
    """The client streams."""

    @property
    def _done_writing_flag(self) -> bool:
        # Intercepted calls of grpc.aio ask for it.
        if self._call.replay is not None:
            return bool(self._call.replay.half_closed)
        inner = self._call.inner
        return bool(inner is not None and getattr(inner, "_done_writing_flag", False))

    async def write(self, request: Any) -> None:
        replay = self._call.replay
        if replay is None:
            inner = await self._writable()
            try:
                await inner.write(request)
            except TypeError as bad:
                found = unserialisable(self._call.method, request, bad)
                raise found from found.__cause__
            return
        self._check_style(replay)
        if replay.over or self._cancelled:
            raise asyncio.InvalidStateError(_FINISHED)
        if replay.half_closed:
            raise asyncio.InvalidStateError(_HALF_CLOSED)
        # If the attempt fails, somebody has to see to the next one.
        self._watch()
        try:
            if await replay.write(request):
                return
            await self._outcome_there()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._result()
        # It was open, or an answer came before everything was sent.
        code = await self.code()
        if code is grpc.StatusCode.OK:
            return
        if self.cancelled():
            raise asyncio.CancelledError
        error = grpc.aio.AioRpcError(
            code, await self.initial_metadata(), await self.trailing_metadata(), details=await self.details()
        )
        raise as_call_error(error, self.kit_report())

    async def done_writing(self) -> None:
        replay = self._call.replay
        if replay is None:
            await (await self._writable()).done_writing()
            return
        self._check_style(replay)
        replay.end()

    def _check_style(self, replay: Any) -> None:
        if not replay.is_written:
            raise grpc.aio.UsageError(_MIXED)

    async def _writable(self) -> Any:
        inner = await self._sent()
        if inner is None:
            self._result()
            raise asyncio.InvalidStateError(_FINISHED)
        return inner

    async def _connected(self) -> None:
        """Returns when an attempt can be written to; raises the call's failure when there is none any more."""
        call = self._call
        while (inner := await self._sent()) is not None:
            try:
                await inner.wait_for_connection()
            except grpc.aio.AioRpcError:
                if call.replay is None:
                    raise
            else:
                return
            self._watch()
            while call.inner is inner and not self._settled:
                if call.waiter is None or call.waiter.is_set():
                    call.waiter = asyncio.Event()
                await call.waiter.wait()
            if self._settled:
                break
        self._result()


class StreamUnaryCall(_ManyRequests, OneAnswerCall, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many requests, one answer."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)

    async def wait_for_connection(self) -> None:
        await self._connected()


class UnaryStreamCall(_ManyAnswers, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, many answers."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)


class StreamStreamCall(_ManyRequests, _ManyAnswers, grpc.aio.StreamStreamCall[Any, Any]):
    """Many requests, many answers."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)

    async def wait_for_connection(self) -> None:
        # Where requests are kept, the stream is open with its first answer, for which some may have to be written.
        await (super().wait_for_connection() if self._call.replay is None else self._connected())
