"""Passes a request on: one call upstream, its answer or its stream back. Drivers only; `transcode` decides the rest.

In each of them the call is cancelled when the client goes away, and the reverse: whatever ends the call ends the
answer with a status or, once that is out, with a last record that says why.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.exchange import ClientGoneError, Exchange, Header, Watch
from gateway.framing import FRAMINGS, Framing
from gateway.problem import Problem, RefusedError, of_call, to_json
from gateway.transcode.accept import Form
from gateway.transcode.routes import Route, Rpc

__all__ = ["Call", "Streams", "answer", "forward_stream", "forward_unary"]

#: Seconds after which a unary call's client is watched.
_WATCH_DELAY = 0.05
_STOPPING = Problem(
    status=503,
    code="UNAVAILABLE",
    reason="GATEWAY_STOPPING",
    domain="gateway",
    detail="The gateway is being stopped. Ask again in a moment.",
    retry_after=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that is to be made."""

    rpc: Rpc
    route: Route
    #: The multi-callable.
    make: Any
    request: Message
    metadata: tuple[tuple[str, str], ...]
    #: Seconds, or None to leave it to the method's policy.
    timeout: float | None


class Streams:
    """The streams that are under way, so that they can be told to end when the gateway stops."""

    def __init__(self) -> None:
        self._ends: set[Callable[[], object]] = set()
        self.stopping = False

    def add(self, end: Callable[[], object]) -> None:
        """Registers what ends a stream; while stopping it is called at once."""
        self._ends.add(end)
        if self.stopping:
            end()

    def remove(self, end: Callable[[], object]) -> None:
        """Forgets it."""
        self._ends.discard(end)

    def stop(self) -> None:
        """Ends every stream, from now on."""
        self.stopping = True
        for end in tuple(self._ends):
            end()


async def forward_unary(exchange: Exchange, call: Call) -> None:
    """One message in, one out. Raises RefusedError, ClientGoneError."""
    made = call.make(call.request, metadata=call.metadata, timeout=call.timeout)
    await answer(exchange, await _outcome(exchange, call, made))


async def _outcome(exchange: Exchange, call: Call, made: Any) -> Any:
    watch = Watch(exchange, made.cancel, delay=_WATCH_DELAY)
    try:
        return await made
    except asyncio.CancelledError:
        if watch.gone:
            raise ClientGoneError from None
        raise
    except grpc.aio.AioRpcError as error:
        if watch.gone:
            raise ClientGoneError from None
        raise RefusedError(of_call(error, call.rpc.upstream)) from error
    finally:
        watch.close()
        made.cancel()


async def answer(exchange: Exchange, message: Any) -> None:
    """Sends what a unary method answered: JSON, or an HttpBody as it is."""
    if isinstance(message, bytes):
        await exchange.answer(200, message, (b"content-type", b"application/json"))
    else:
        await exchange.answer(200, message.data, (b"content-type", _content_type(message)))


def _content_type(answer: Any) -> bytes:
    declared: str = answer.content_type
    return declared.encode("ascii", "ignore").replace(b"\r", b"").replace(b"\n", b"") or b"application/octet-stream"


async def forward_stream(exchange: Exchange, call: Call, form: Form, streams: Streams, *, heartbeat: float) -> None:
    """One message in, many out. Raises RefusedError and ClientGoneError only before the status is sent.

    The status waits for the first message, so that a call that fails at once is a real HTTP error; after `heartbeat`
    seconds of silence it is sent all the same, and so is a sign of life after every further such silence.
    """
    if exchange.method == "HEAD":
        await _forward_head(exchange, call, form, streams, patience=heartbeat)
        return
    if call.rpc.raw:
        await _forward_bytes(exchange, call, streams)
        return
    writer = _Writer(exchange, FRAMINGS[form])
    made = call.make(call.request, metadata=call.metadata, timeout=call.timeout)
    beat = asyncio.get_running_loop().create_task(writer.beat(heartbeat))
    try:
        async with _ended_with_client(exchange, call, made, streams, writer.started) as problem:
            async for json in made:
                await writer.record(json)
        beat.cancel()
        await (writer.end() if problem.found is None else writer.error(problem.found))
    finally:
        beat.cancel()
        made.cancel()


async def _forward_bytes(exchange: Exchange, call: Call, streams: Streams) -> None:
    """A stream of HttpBody is one body; an error after its beginning can only cut it off."""
    made = call.make(call.request, metadata=call.metadata, timeout=call.timeout)
    try:
        async with _ended_with_client(exchange, call, made, streams, lambda: exchange.started) as problem:
            async for piece in made:
                if not exchange.started:
                    await exchange.start(200, ((b"content-type", _content_type(piece)), *_STREAM_HEADERS))
                await exchange.write(piece.data)
        if problem.found is not None:
            raise BrokenStreamError(problem.found)
        if not exchange.started:
            await exchange.start(200, ((b"content-type", b"application/octet-stream"),))
        await exchange.end()
    finally:
        made.cancel()


async def _forward_head(exchange: Exchange, call: Call, form: Form, streams: Streams, *, patience: float) -> None:
    """What a GET would begin with: the stream is left when its first message has come, or after `patience` seconds."""
    made = call.make(call.request, metadata=call.metadata, timeout=call.timeout)
    content_type = b"application/octet-stream" if call.rpc.raw else FRAMINGS[form].content_type
    try:
        async with _ended_with_client(exchange, call, made, streams, lambda: exchange.started):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    async for first in made:
                        content_type = _content_type(first) if call.rpc.raw else content_type
                        break
        await exchange.start(200, ((b"content-type", content_type), *_STREAM_HEADERS))
        await exchange.end()
    finally:
        made.cancel()


class BrokenStreamError(Exception):
    """A body of bytes cannot be completed: the connection has to be closed to say so."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(slots=True)
class _Found:
    found: Problem | None = None


@contextlib.asynccontextmanager
async def _ended_with_client(
    exchange: Exchange, call: Call, made: Any, streams: Streams, started: Callable[[], bool]
) -> AsyncIterator[_Found]:
    """Cancels the call with the client and with the gateway; an error is raised before the start and kept after it."""
    outcome = _Found()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        made.cancel()

    watch = Watch(exchange, made.cancel, delay=0)
    streams.add(stop)
    try:
        yield outcome
    except (asyncio.CancelledError, grpc.aio.AioRpcError) as error:
        if watch.gone:
            raise ClientGoneError from None
        if stopped:
            outcome.found = _STOPPING
        elif isinstance(error, grpc.aio.AioRpcError):
            outcome.found = of_call(error, call.rpc.upstream)
        else:
            raise
        if not started():
            raise RefusedError(outcome.found) from error
    finally:
        streams.remove(stop)
        watch.close()


_STREAM_HEADERS: tuple[Header, ...] = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class _Writer:
    """Writes records and, in silences, heartbeats; one at a time, so that each stays whole and the order holds."""

    def __init__(self, exchange: Exchange, framing: Framing) -> None:
        self._exchange = exchange
        self._framing = framing
        self._lock = asyncio.Lock()
        self._first = True
        self._silent = True

    def started(self) -> bool:
        return self._exchange.started

    async def record(self, json: bytes) -> None:
        self._silent = False
        async with self._lock:
            await self._begin()
            first, self._first = self._first, False
            await self._exchange.write(self._framing.record(json, first=first))

    async def beat(self, interval: float) -> None:
        while True:
            self._silent = True
            await asyncio.sleep(interval)
            if self._silent:
                async with self._lock:
                    await self._begin()
                    await self._exchange.write(self._framing.heartbeat)

    async def end(self) -> None:
        await self._begin()
        await self._exchange.end(self._framing.end)

    async def error(self, problem: Problem) -> None:
        exchange, framing = self._exchange, self._framing
        json = to_json(problem.document(instance=exchange.path, request_id=exchange.request_id))
        await exchange.end(framing.error(json, first=self._first) + framing.end_after_error)

    async def _begin(self) -> None:
        if self._exchange.started:
            return
        await self._exchange.start(200, ((b"content-type", self._framing.content_type), *_STREAM_HEADERS))
        if self._framing.begin:
            await self._exchange.write(self._framing.begin)
