"""What the tests of a channel's care have in common."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from kit.client._keeper import CONNECT_TIMEOUT
from kit.client.events import ChannelEvent
from kit.server import Server
from kit.testing import Faults, VirtualClock
from tests.integration.client.echo import Echo, add_echo

__all__ = ["CHECK", "Clock", "Half", "Servers", "Told", "eventually", "free_address"]

CHECK = "/grpc.health.v1.Health/Check"
_E = TypeVar("_E", bound=ChannelEvent)


class Told:
    """What a channel told."""

    def __init__(self) -> None:
        self.events: list[ChannelEvent] = []
        self._news = asyncio.Event()

    def __call__(self, event: ChannelEvent) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def one(self, kind: type[_E], count: int = 1) -> _E:
        """Waits for the `count`-th event of a kind."""
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.of(kind)[count - 1]


class Clock(VirtualClock):
    """Says when somebody begins to wait for longer than a connection may take."""

    def __init__(self) -> None:
        super().__init__()
        self._resting = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if abs(seconds - CONNECT_TIMEOUT) > 1e-6:
            self._resting.set()
        await super().sleep(seconds)

    async def rest(self) -> None:
        """Waits until somebody begins to sleep anew."""
        async with asyncio.timeout(10):
            await self._resting.wait()
        self._resting.clear()


class Half(random.Random):
    """Spreads nothing."""

    def random(self) -> float:
        return 0.5


class Servers:
    """Echo servers of one test, each with its faults."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def start(self, address: str = "127.0.0.1:0") -> tuple[Server, Faults]:
        faults = Faults()
        server = Server("echo", listen=address, register=False, interceptors=(faults,), grace=0.0)
        server.add(Echo(), add_echo)
        await self._stack.enter_async_context(server)
        return server, faults


async def eventually(holds: Callable[[], bool]) -> None:
    """Lets the loop turn, and other threads run, until it holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.to_thread(bool)


def free_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"
