"""What the two databases have in common: how a store's operation reaches one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kit.errors import KitError
from kit.server.idempotency.store import StoreError

__all__ = ["Driver", "committed", "to_the_end", "translated"]

_T = TypeVar("_T")


class Driver(Protocol):
    """Runs operations in transactions. Raises StoreError where the database does not."""

    async def open(self) -> None:
        """Makes the tables; ConfigurationError where that cannot be."""
        ...

    async def close(self) -> None:
        """Lets go of everything."""
        ...

    def now(self) -> float:
        """Seconds on the clock that all who use the database share."""
        ...

    async def read_clock(self) -> None:
        """Sets that clock by the database's."""
        ...

    async def write(self, operation: Callable[[sa.Connection], _T], *, durable: bool) -> _T:
        """Commits what the operation does. `durable`: it outlives a loss of power, and not only a crash."""
        ...

    async def read(self, operation: Callable[[sa.Connection], _T]) -> _T:
        """Runs an operation that writes nothing."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction for a handler, which may write; committed at the end of the block."""
        ...


@contextmanager
def translated() -> Iterator[None]:
    """Whatever a database or its driver raises becomes StoreError; errors of the kit pass."""
    try:
        yield
    except KitError:
        raise
    except Exception as error:
        raise StoreError(f"{type(error).__name__}: {error}") from error


async def to_the_end(work: Coroutine[Any, Any, None], timeout: float) -> None:
    """Lets it end even where the call is cancelled meanwhile; then `timeout` seconds at most.

    A commit that is half-way is neither yes nor no, and a connection that is half closed is of no use.
    """
    task = asyncio.ensure_future(work)
    try:
        with translated():
            await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=timeout)
        raise


@asynccontextmanager
async def committed(engine: AsyncEngine, timeout: float) -> AsyncIterator[AsyncConnection]:
    """A transaction of a connection of its own, committed at the end of the block and rolled back where that raises."""
    with translated():
        connection = await engine.connect()
    try:
        with translated():
            begun = await connection.begin()
        yield connection
        await to_the_end(begun.commit(), timeout)
    finally:
        await to_the_end(connection.close(), timeout)
