"""Every pair of a client and a server that the interop cases are played between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import kit
from kit import observe
from kit.auth import Principal
from kit.resilience.idempotency import IdempotencyKeyMode
from kit.server._call import ServerCall
from kit.server.idempotency import MemoryStore
from tests.conformance.interop.service import (
    Generated,
    generate,
    servicer,
    synchronous_servicer,
    writing_servicer,
)

#: How the handlers of the server with everything are written.
SERVICERS = {
    "generators": servicer,
    "context.read and context.write": writing_servicer,
    "synchronous": synchronous_servicer,
}
EVERYTHING = [f"kit.Server with everything, {style}" for style in SERVICERS]
#: Calls without a key pass; with one they are deduplicated.
KEYS_TAKEN = kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.OPTIONAL))


class Anybody:
    """Knows everybody, and nobody's name."""

    async def authenticate(self, call: ServerCall) -> Principal | None:
        return Principal("anybody")


@asynccontextmanager
async def everything(generated: Generated, style: str) -> AsyncIterator[Served]:
    """A server with every layer that there is."""
    played = SERVICERS[style](generated)
    telemetry = observe.setup("interop", exporter=InMemorySpanExporter())
    assert telemetry is not None
    server = kit.Server(
        "interop",
        listen="127.0.0.1:0",
        register=False,
        grace=0,
        authenticators=[Anybody()],
        audit=True,
        access_log=True,
        idempotency=MemoryStore(),
        errors={LookupError: kit.errors.NotFound},
        policy={"/kitinterop.v1.TestService/UnaryCall": KEYS_TAKEN},
    )
    server.add(played, generated.rpc.add_TestServiceServicer_to_server)
    try:
        async with server:
            yield Served(server.address, played)
    finally:
        telemetry.shutdown()


@dataclass(frozen=True, slots=True)
class Pair:
    """A client, and the servicer at the other end."""

    #: Which of the three.
    client: str
    pb: Any
    stub: Any
    #: A stub of the service that no server has.
    unimplemented: Any
    servicer: Any


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("interop"))


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    address: str
    servicer: Any


@pytest.fixture(scope="module", params=["grpc.aio server", "kit.server_interceptors", "kit.Server", *EVERYTHING])
async def served(request: pytest.FixtureRequest, generated: Generated) -> AsyncIterator[Served]:
    if request.param in EVERYTHING:
        async with everything(generated, request.param.partition(", ")[2]) as whole:
            yield whole
        return
    played = servicer(generated)
    add = generated.rpc.add_TestServiceServicer_to_server
    if request.param == "kit.Server":
        server = kit.Server("interop", listen="127.0.0.1:0", register=False, grace=0).add(played, add)
        async with server:
            yield Served(server.address, played)
        return
    interceptors = kit.server_interceptors() if request.param == "kit.server_interceptors" else []
    stock = grpc.aio.server(interceptors=interceptors)
    add(played, stock)
    port = stock.add_insecure_port("127.0.0.1:0")
    await stock.start()
    try:
        yield Served(f"127.0.0.1:{port}", played)
    finally:
        await stock.stop(0)


@pytest.fixture(scope="module", params=["grpc.aio", "kit.client_interceptors", "kit.channel"])
async def pair(request: pytest.FixtureRequest, served: Served, generated: Generated) -> AsyncIterator[Pair]:
    channel: grpc.aio.Channel
    if request.param == "kit.channel":
        channel = kit.channel(served.address)
    else:
        interceptors = kit.client_interceptors() if request.param == "kit.client_interceptors" else []
        channel = grpc.aio.insecure_channel(served.address, interceptors=interceptors)
    async with channel:
        yield Pair(
            request.param,
            generated.pb,
            generated.rpc.TestServiceStub(channel),
            generated.rpc.UnimplementedServiceStub(channel),
            served.servicer,
        )
