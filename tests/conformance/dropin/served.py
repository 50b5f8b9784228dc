"""A stock grpc.aio server with a method for everything that the drop-in tests look at. Messages are plain bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

#: One request, one answer: gives it back.
ECHO = "/dropin.Calls/Echo"
#: One request, one answer: says that it came, and answers when it is released.
HOLD = "/dropin.Calls/Hold"
#: One request, one answer: NOT_FOUND, with metadata of both kinds.
FAIL = "/dropin.Calls/Fail"
#: One request, many answers: its words. After a word "..." nothing more comes, and no end.
WORDS = "/dropin.Calls/Words"
#: Many requests, one answer: all of them put together.
JOIN = "/dropin.Calls/Join"
#: Many requests, one answer: refused before a request is read.
REFUSE = "/dropin.Calls/Refuse"
#: Many requests, many answers: each one back.
RELAY = "/dropin.Calls/Relay"

INITIAL = (("from-server", "answer"), ("from-server-bin", b"\x06\x06"))
TRAILING = (("at-the-end", "trace"), ("at-the-end-bin", b"\x05\x05"))


class Served:
    """The server's handlers, and what they saw."""

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[tuple[tuple[str, str | bytes], ...]] = []
        self.arrived = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()

    def header(self, key: str) -> str | bytes | None:
        """A key of the last call's metadata."""
        return dict(self.seen[-1]).get(key)

    async def _begin(self, context: Any) -> None:
        self.seen.append(tuple(context.invocation_metadata() or ()))
        self.arrived.set()
        if self.header("metadata"):
            await context.send_initial_metadata(INITIAL)
            context.set_trailing_metadata(TRAILING)

    async def _hold(self) -> None:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def echo(self, request: bytes, context: Any) -> bytes:
        await self._begin(context)
        return request

    async def hold(self, request: bytes, context: Any) -> bytes:
        await self._begin(context)
        await self._hold()
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        await self._begin(context)
        await context.send_initial_metadata(INITIAL)
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing", TRAILING)
        return request

    async def words(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await self._begin(context)
        try:
            for word in request.split():
                if word == b"...":
                    await self._hold()
                elif word == b"!":
                    await context.abort(grpc.StatusCode.ABORTED, "broken off", TRAILING)
                else:
                    yield word
        except GeneratorExit:
            # The call was cancelled while a word was being sent.
            self.cancelled.set()
            raise

    async def join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        await self._begin(context)
        return b"".join([request async for request in requests])

    async def refuse(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        await self._begin(context)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", TRAILING)
        return b""

    async def relay(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await self._begin(context)
        async for request in requests:
            if request == b"!":
                await context.abort(grpc.StatusCode.ABORTED, "broken off", TRAILING)
            yield request

    async def start(
        self, *, options: Any = (), address: str = "127.0.0.1:0", credentials: Any = None
    ) -> grpc.aio.Server:
        """Serves on `address`; the caller stops it."""
        server = grpc.aio.server(options=options)
        handlers: dict[str, Any] = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Hold": grpc.unary_unary_rpc_method_handler(self.hold),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Words": grpc.unary_stream_rpc_method_handler(self.words),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "Refuse": grpc.stream_unary_rpc_method_handler(self.refuse),
            "Relay": grpc.stream_stream_rpc_method_handler(self.relay),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("dropin.Calls", handlers),))
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        self.address = f"127.0.0.1:{port}"
        await server.start()
        return server


class Stub:
    """The methods, over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.Echo: Any = channel.unary_unary(ECHO)
        self.Hold: Any = channel.unary_unary(HOLD)
        self.Fail: Any = channel.unary_unary(FAIL)
        self.Words: Any = channel.unary_stream(WORDS)
        self.Join: Any = channel.stream_unary(JOIN)
        self.Refuse: Any = channel.stream_unary(REFUSE)
        self.Relay: Any = channel.stream_stream(RELAY)
