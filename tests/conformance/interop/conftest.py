"""Every pair of a client and a server that the interop cases are played between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest

import kit
from tests.conformance.interop.service import Generated, generate, servicer


@dataclass(frozen=True, slots=True)
class Pair:
    """A client, and the servicer at the other end."""

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


@pytest.fixture(scope="module", params=["grpc.aio server", "kit.server_interceptors", "kit.Server"])
async def served(request: pytest.FixtureRequest, generated: Generated) -> AsyncIterator[Served]:
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
            generated.pb,
            generated.rpc.TestServiceStub(channel),
            generated.rpc.UnimplementedServiceStub(channel),
            served.servicer,
        )
