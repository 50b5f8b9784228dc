"""A service with all four shapes whose policy is declared by descriptors, and a stub for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue

from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import NO_SIDE_EFFECTS, Rpc, declare

_RETRY = policy_pb2.RetryPolicy(max_attempts=4, initial_backoff=Duration(nanos=1_000_000))
_HURRY = policy_pb2.MethodPolicy(per_try_timeout=Duration(nanos=100_000_000))

PATH = declare(
    Rpc(name="Unary", level=NO_SIDE_EFFECTS),
    Rpc(name="Unsafe"),
    Rpc(
        name="Hurried",
        level=NO_SIDE_EFFECTS,
        policy=_HURRY,
    ),
    Rpc(name="Down", level=NO_SIDE_EFFECTS, server_streaming=True),
    Rpc(name="Up", level=NO_SIDE_EFFECTS, client_streaming=True),
    Rpc(name="Both", level=NO_SIDE_EFFECTS, client_streaming=True, server_streaming=True),
    service=policy_pb2.MethodPolicy(timeout=Duration(seconds=20), retry=_RETRY),
    package="kit.tests.echo.v1",
)
UNARY, UNSAFE, HURRIED, DOWN, UP, BOTH = (f"{PATH}/{n}" for n in ("Unary", "Unsafe", "Hurried", "Down", "Up", "Both"))

Context = grpc.aio.ServicerContext[StringValue, StringValue]


class Echo:
    """Answers with what it was sent. `act` runs first in every handler, given the method's short name."""

    def __init__(self, act: Callable[[str, Context], Awaitable[object]] | None = None) -> None:
        self._act = act
        self.cancelled = asyncio.Event()

    async def _first(self, name: str, context: Context) -> None:
        if self._act is not None:
            try:
                await self._act(name, context)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    async def unary(self, request: StringValue, context: Context) -> StringValue:
        await self._first("Unary", context)
        return request

    async def down(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        await self._first("Down", context)
        try:
            for part in request.value.split():
                yield StringValue(value=part)
            if request.value.endswith("..."):
                await asyncio.Event().wait()
        except (asyncio.CancelledError, GeneratorExit):
            # The latter where the call is cancelled while a message is being sent.
            self.cancelled.set()
            raise

    async def up(self, requests: AsyncIterator[StringValue], context: Context) -> StringValue:
        await self._first("Up", context)
        return StringValue(value=" ".join([request.value async for request in requests]))

    async def both(self, requests: AsyncIterator[StringValue], context: Context) -> AsyncIterator[StringValue]:
        await self._first("Both", context)
        async for request in requests:
            yield request


def add_echo(echo: Any, server: Any) -> None:
    """What protoc would have generated as add_EchoServicer_to_server."""
    coders: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(echo.unary, **coders),
        "Unsafe": grpc.unary_unary_rpc_method_handler(echo.unary, **coders),
        "Hurried": grpc.unary_unary_rpc_method_handler(echo.unary, **coders),
        "Down": grpc.unary_stream_rpc_method_handler(echo.down, **coders),
        "Up": grpc.stream_unary_rpc_method_handler(echo.up, **coders),
        "Both": grpc.stream_stream_rpc_method_handler(echo.both, **coders),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PATH.removeprefix("/"), handlers),))
    server.add_registered_method_handlers(PATH.removeprefix("/"), handlers)


class EchoStub:
    """What protoc would have generated as EchoStub."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        coders: dict[str, Any] = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.Unary: Any = channel.unary_unary(UNARY, **coders)
        self.Unsafe: Any = channel.unary_unary(UNSAFE, **coders)
        self.Hurried: Any = channel.unary_unary(HURRIED, **coders)
        self.Down: Any = channel.unary_stream(DOWN, **coders)
        self.Up: Any = channel.stream_unary(UP, **coders)
        self.Both: Any = channel.stream_stream(BOTH, **coders)


def text(value: str = "hello") -> StringValue:
    """A message."""
    return StringValue(value=value)
