"""Every test here runs twice: over a bare grpc.aio channel, which proves what is expected, and over `kit.channel`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import grpc
import grpc.aio
import pytest

import kit
from tests.conformance.dropin.served import Served, Stub

#: Opens a channel to an address (None: to the server) with arguments that grpc.aio and the kit share.
Open: TypeAlias = Callable[..., grpc.aio.Channel]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    calls = Served()
    server = await calls.start()
    yield calls
    calls.release.set()
    await server.stop(0)


def bare(target: str, *, credentials: Any = None, **arguments: Any) -> grpc.aio.Channel:
    """grpc.aio's own channel, with the arguments of `kit.channel`."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, **arguments)
    return grpc.aio.secure_channel(target, credentials, **arguments)


#: Policies that change nothing for who calls while nothing fails: attempts may be repeated, or run beside each other.
POLICIES = {
    "retried": kit.MethodPolicy(
        idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
        retry=kit.RetryPolicy(max_attempts=3, replay_buffer_bytes=100_000),
    ),
    "hedged": {
        "/dropin.Calls/Words": kit.MethodPolicy(
            idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
            hedging=kit.HedgingPolicy(max_attempts=2, hedging_delay=1000.0),
        )
    },
}


@pytest.fixture(params=["grpc.aio", "kit.channel"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def open_channel(kind: str, served: Served) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        def opened(target: str | None = None, **arguments: Any) -> grpc.aio.Channel:
            make: Any = bare if kind == "grpc.aio" else kit.channel
            if kind in POLICIES:
                arguments["policy"] = POLICIES[kind]
            channel: grpc.aio.Channel = make(served.address if target is None else target, **arguments)
            stack.push_async_callback(channel.close)
            return channel

        yield opened


@pytest.fixture
async def channel(open_channel: Open) -> grpc.aio.Channel:
    return open_channel()


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return Stub(channel)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that refuses connections: bound, and not listened on; a server of grpc's may bind it as well."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"
