"""An echo server in the process, and stubs over `kit.channel` and over a stock channel with the kit's interceptors."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.testing import Faults, InProcess
from tests.integration.client.echo import Context, Echo, EchoStub, add_echo


@dataclass(slots=True)
class Client:
    """A client of a running echo server."""

    stub: EchoStub
    channel: grpc.aio.Channel
    faults: Faults
    echo: Echo
    #: The server's, or "" where the channel does not know it.
    endpoint: str


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture(params=["kit.channel", "stock"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Starts an echo server and connects to it in both ways."""
    async with AsyncExitStack() as stack:

        async def start(
            act: Callable[[str, Context], Awaitable[object]] | None = None, policy: Any = None, retry_u: float = 0.5
        ) -> Client:
            echo = Echo(act)
            process = await stack.enter_async_context(InProcess(echo, add_echo, policy=policy))
            if request.param == "kit.channel":
                return Client(EchoStub(process.channel), process.channel, process.faults, echo, process.address)
            steady = random.Random(retry_u)
            channel = grpc.aio.insecure_channel(
                process.address, interceptors=kit.client_interceptors(policy=policy, rng=steady)
            )
            await stack.enter_async_context(channel)
            return Client(EchoStub(channel), channel, process.faults, echo, "")

        yield start


@pytest.fixture
async def client(connect: Connect) -> Client:
    """A client of a server that just echoes."""
    return await connect()
