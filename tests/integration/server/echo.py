"""A service of every shape and style, without a .proto: messages are google.protobuf.StringValue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

SERVICE = "test.Echo"
#: Every method, by name: (requests stream, responses stream).
METHODS = {
    "UnaryUnary": (False, False),
    "UnaryStream": (False, True),
    "UnaryWrite": (False, True),
    "StreamUnary": (True, False),
    "StreamStream": (True, True),
    "ReadWrite": (True, True),
}
Context = grpc.aio.ServicerContext[StringValue, StringValue]


class Echo:
    """Calls `act` with the text of the (first) request and the context, then answers with the same text."""

    def __init__(self, act: Callable[[str, Context], Awaitable[object]] | None = None) -> None:
        self.act = act
        #: Names of the methods whose handler ended, whatever happened.
        self.ended: list[str] = []

    async def _do(self, text: str, context: Context) -> None:
        if self.act is not None:
            await self.act(text, context)

    async def UnaryUnary(self, request: StringValue, context: Context) -> StringValue:
        try:
            await self._do(request.value, context)
            return request
        finally:
            self.ended.append("UnaryUnary")

    async def UnaryStream(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        try:
            yield request
            await self._do(request.value, context)
            yield request
        finally:
            self.ended.append("UnaryStream")

    async def UnaryWrite(self, request: StringValue, context: Context) -> None:
        try:
            await context.write(request)
            await self._do(request.value, context)
            await context.write(request)
        finally:
            self.ended.append("UnaryWrite")

    async def StreamUnary(self, requests: AsyncIterator[StringValue], context: Context) -> StringValue:
        try:
            texts = [request.value async for request in requests]
            await self._do(texts[0], context)
            return StringValue(value="".join(texts))
        finally:
            self.ended.append("StreamUnary")

    async def StreamStream(self, requests: AsyncIterator[StringValue], context: Context) -> AsyncIterator[StringValue]:
        try:
            async for request in requests:
                await self._do(request.value, context)
                yield request
        finally:
            self.ended.append("StreamStream")

    async def ReadWrite(self, _requests: AsyncIterator[StringValue], context: Context) -> None:
        try:
            while isinstance(request := await context.read(), StringValue):
                await self._do(request.value, context)
                await context.write(request)
        finally:
            self.ended.append("ReadWrite")


def add_echo(servicer: Echo, server: Any) -> None:
    """As generated code does."""
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    handlers: dict[str, Any] = {
        name: makers[shape](
            getattr(servicer, name),
            request_deserializer=StringValue.FromString,
            response_serializer=StringValue.SerializeToString,
        )
        for name, shape in METHODS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


def start_call(channel: grpc.aio.Channel, name: str, text: str = "x", **options: Any) -> Any:
    """Starts a call of any shape; streams send one request."""
    streams_in, streams_out = METHODS[name]
    make: Any = getattr(channel, f"{'stream' if streams_in else 'unary'}_{'stream' if streams_out else 'unary'}")
    stub = make(f"/{SERVICE}/{name}", StringValue.SerializeToString, StringValue.FromString)
    request: Any = StringValue(value=text)
    return stub([request] if streams_in else request, **options)


async def call(channel: grpc.aio.Channel, name: str, text: str = "x", **options: Any) -> list[str]:
    """Makes a call of any shape and returns the texts that came back."""
    return await answers(start_call(channel, name, text, **options), name)


async def answers(started: Any, name: str) -> list[str]:
    """The texts that a call of method `name` brings."""
    if METHODS[name][1]:
        return [response.value async for response in started]
    return [(await started).value]


async def failure(channel: grpc.aio.Channel, name: str, text: str = "x", **options: Any) -> grpc.aio.AioRpcError:
    """Makes a call that must fail, and returns its error."""
    try:
        async with asyncio.timeout(10):
            texts = await call(channel, name, text, **options)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"{name} answered {texts}")
