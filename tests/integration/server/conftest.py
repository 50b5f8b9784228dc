"""A kit server of the tests' own on a free port, and a stock channel to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest

from kit.server import Server
from tests.integration.server.echo import Context, Echo, add_echo


@dataclass(slots=True)
class Served:
    """A running server, its servicer, and a stock channel to it."""

    server: Server
    echo: Echo
    channel: grpc.aio.Channel


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers; all are stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(act: Callable[[str, Context], Awaitable[object]] | None = None, **options: Any) -> Served:
            echo = Echo(act)
            server = Server("echo", register=False, **{"grace": 0.0, **options}).add(echo, add_echo)
            await stack.enter_async_context(server)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
            return Served(server, echo, channel)

        yield start
