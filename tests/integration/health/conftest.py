"""Servers of the tests' own with dependencies that fail when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.server import Server


class Switch:
    """A dependency that is well or not."""

    def __init__(self, well: bool = True) -> None:
        self.well = well
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.well


Enter = Callable[[Server], Awaitable[Server]]


@pytest.fixture
async def enter() -> AsyncIterator[Enter]:
    """Starts servers; all are stopped at the end of the test."""
    async with AsyncExitStack() as stack:
        yield stack.enter_async_context


def server(**options: Any) -> Server:
    return Server("shop", **{"register": False, "grace": 0.0, "health_listen": "", **options})


def stub(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def ask(name: str) -> Any:
    return health_pb2.HealthCheckRequest(service=name)


async def says(channel: grpc.aio.Channel, name: str) -> str:
    """What the server says of a name, by its word."""
    answer = await stub(channel).Check(ask(name), timeout=10)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def until(channel: grpc.aio.Channel, name: str, wanted: str) -> None:
    """Returns when the server says so, as its Watch tells."""
    watching = stub(channel).Watch(ask(name))
    async with asyncio.timeout(20):
        async for answer in watching:
            if health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == wanted:
                break
    watching.cancel()
