"""A gateway over a real HTTP server on a free port, before a real gRPC server that serves the shelf."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

import kit
from gateway.app import Gateway
from gateway.config import Config, load
from gateway.server import HttpServer, listen
from loganalyzer.importer.v1 import importer_pb2
from loganalyzer.search.v1 import search_pb2
from loganalyzer.workspace.v1 import workspace_pb2
from tests.unit.gateway import shelf

Handler = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]


class Upstream:
    """A gRPC server whose methods are the handlers that a test gives it; the others are not implemented."""

    def __init__(self, services: Sequence[ServiceDescriptor] | None = None) -> None:
        self._services = [shelf.service()] if services is None else services
        self.handlers: dict[str, Handler] = {}
        self.health = health.HealthServicer()
        self.address = ""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

    async def start(self) -> None:
        for service in self._services:
            self._serve(service)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    def _serve(self, service: ServiceDescriptor) -> None:
        handlers: dict[str, Any] = {}
        for method in service.methods:
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
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))

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
    config = shelf.config(folder, grace=5.0, access_log=False, **options)
    async with _opened(config, [shelf.service()], target) as door:
        yield door


@contextlib.asynccontextmanager
async def analyzer(**options: Any) -> AsyncIterator[Door]:
    """The same for the log analyzer's own services, all of them in one upstream."""
    config = replace(load(None, {}), register=False, grace=5.0, access_log=False, **options)
    modules = (search_pb2, importer_pb2, workspace_pb2)
    services = [one for module in modules for one in module.DESCRIPTOR.services_by_name.values()]
    async with _opened(config, services, None) as door:
        yield door


@contextlib.asynccontextmanager
async def _opened(config: Config, services: Sequence[ServiceDescriptor], target: str | None) -> AsyncIterator[Door]:
    upstream = Upstream(services)
    await upstream.start()
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
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
