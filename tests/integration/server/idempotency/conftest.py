"""Servers that keep keys, each time in another store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import kit
from kit.server.idempotency import IdempotencyStore, MemoryStore, SqlStore
from tests.integration.server.idempotency.shop import Act, Answered, Shop, add_shop, declared, send
from tests.support.postgres import postgres

__all__ = ["postgres"]


@dataclass
class Served:
    """A running server, its servicer, and a stock channel to it."""

    server: kit.Server
    shop: Shop
    channel: grpc.aio.Channel

    async def send(self, text: str, *keys: str, **options: Any) -> Answered:
        return await send(self.channel, text, *keys, **options)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers; all are stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(store: object, act: Act | None = None, **options: Any) -> Served:
            shop = Shop(act)
            arguments = {"grace": 0.0, "policy": declared(), **options}
            server = kit.Server("shop", register=False, idempotency=store, **arguments).add(shop, add_shop)  # type: ignore[arg-type]
            await stack.enter_async_context(server)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
            return Served(server, shop, channel)

        yield start


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'keys.db'}"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> IdempotencyStore:
    """A store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "sqlite":
        return SqlStore(f"sqlite:///{tmp_path / 'keys.db'}")
    return SqlStore(request.getfixturevalue("postgres").new_database())


class Deaf(SqlStore):
    """Renews nothing, and is told that all is well."""

    async def renew(self, tickets: Any) -> Any:
        return frozenset(tickets)
