"""A gateway over a real HTTP server on a free port, before a real gRPC server that serves the shelf."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf import message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

import kit
from gateway.app import Gateway
from gateway.server import HttpServer, listen
from tests.unit.gateway import shelf

Handler = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]


class Upstream:
    """A gRPC server whose methods are the handlers that a test gives it; the others are not implemented."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.health = health.HealthServicer()
        self.address = ""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

    async def start(self) -> None:
        handlers: dict[str, Any] = {}
        for method in shelf.service().methods:
            shapes: Mapping[tuple[bool, bool], Any] = {
                (False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, False): grpc.stream_unary_rpc_method_handler,
            }
            make = shapes[method.client_streaming, method.server_streaming]
            call = self._streaming(method.name) if method.server_streaming else self._calling(method.name)
            handlers[method.name] = make(
                call,
                request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
        generic = grpc.method_handlers_generic_handler("shelf.v1.Shelf", handlers)
        self._server.add_generic_rpc_handlers((generic,))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    def _calling(self, name: str) -> Handler:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if name not in self.handlers:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            return await self.handlers[name](request, context)

        return handle

    def _streaming(self, name: str) -> Handler:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if name not in self.handlers:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            async for answer in self.handlers[name](request, context):
                yield answer

        return handle

    async def stop(self) -> None:
        await self._server.stop(None)


@dataclass
class Door:
    """One running gateway, a client to it and the upstream behind it."""

    upstream: Upstream
    gateway: Gateway
    server: HttpServer
    client: httpx.AsyncClient
    port: int
    serving: asyncio.Task[None] = field(repr=False)


@contextlib.asynccontextmanager
async def opened(folder: Path, *, target: str | None = None, **options: Any) -> AsyncIterator[Door]:
    """Starts all three. `options` are the configuration's; `target` stands in for the upstream's address."""
    upstream = Upstream()
    await upstream.start()
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        config = shelf.config(folder, grace=5.0, access_log=False, **options)
        gateway = Gateway(
            config, port=port, open_channel=lambda _: kit.channel(target if target is not None else upstream.address)
        )
        server = HttpServer(gateway, grace=5.0)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        await server.ready.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            try:
                yield Door(upstream, gateway, server, client, port, serving)
            finally:
                await client.aclose()
                gateway.streams.stop()
                server.should_exit = True
                await serving
                await upstream.stop()


async def lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Lines of a streamed answer as they come, blank ones too."""
    rest = ""
    async for piece in answer.aiter_text():
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line
    if rest:
        yield rest
