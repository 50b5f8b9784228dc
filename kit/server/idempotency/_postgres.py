"""Transactions on PostgreSQL, by asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.clock import SYSTEM
from kit.errors import ConfigurationError
from kit.server.idempotency import _rows
from kit.server.idempotency._drivers import committed, translated
from kit.server.idempotency.store import StoreError

__all__ = ["PostgresDriver"]

_T = TypeVar("_T")
#: Two processes that make the tables at the same time are in each other's way.
_MAKE_TRIES = 5


class PostgresDriver:
    """An engine of its own for a URL, or the user's."""

    def __init__(self, url: sa.URL | None, engine: AsyncEngine | None, timeout: float) -> None:
        self._url = url
        self._engine = engine
        self._own = engine is None
        #: The same connections, with each statement in a transaction of its own.
        self._alone: AsyncEngine | None = None
        self._timeout = timeout
        #: What is to be added to this machine's clock so that it is the database's.
        self._offset = 0.0

    async def open(self) -> None:
        """Makes the tables."""
        if self._engine is None:
            assert self._url is not None
            self._engine = create_async_engine(
                self._url.set(drivername="postgresql+asyncpg"),
                pool_timeout=self._timeout,
                connect_args={"timeout": self._timeout, "command_timeout": self._timeout},
            )
        for last in [False] * (_MAKE_TRIES - 1) + [True]:
            try:
                async with self._engine.begin() as connection:
                    await connection.run_sync(_rows.make_tables)
                break
            except ConfigurationError:
                raise
            except DBAPIError as error:
                if last:
                    raise ConfigurationError(f"idempotency: the tables cannot be made: {error}") from error
            except Exception as error:
                raise ConfigurationError(
                    f"idempotency: the database {self._engine.url!r} cannot be opened: {error}"
                ) from error
        self._alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        await self.read_clock()

    async def close(self) -> None:
        """Ends the connections, where they are not the user's."""
        self._alone = None
        if self._own and self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    def now(self) -> float:
        """The database's clock, as of when it was last read."""
        return SYSTEM.now() + self._offset

    async def read_clock(self) -> None:
        """The database's clock is the one that all owners share; machines' clocks differ."""
        before = SYSTEM.now()
        seconds = await self.write(lambda connection: connection.execute(_CLOCK).scalar_one(), durable=False)
        self._offset = float(seconds) - (before + SYSTEM.now()) / 2

    async def write(self, operation: Callable[[sa.Connection], _T], *, durable: bool) -> _T:
        """Each statement is a transaction of its own, and durable: operations need no other, and round trips cost.

        Each operation may be done twice: a connection that had died is replaced.
        """
        # In a task of its own: what is cancelled half-way costs its connection. Whoever is cancelled waits for it all
        # the same, so that what is asked for next comes after it.
        work = asyncio.get_running_loop().create_task(self._write(operation))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def read(self, operation: Callable[[sa.Connection], _T]) -> _T:
        """The same."""
        return await self.write(operation, durable=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for a handler."""
        if self._engine is None:
            raise StoreError("the store is not open")
        async with committed(self._engine, self._timeout) as connection:
            yield connection

    async def _write(self, operation: Callable[[sa.Connection], _T]) -> _T:
        with translated():
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._once(operation)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    return await self._once(operation)

    async def _once(self, operation: Callable[[sa.Connection], _T]) -> _T:
        if self._alone is None:
            raise StoreError("the store is not open")
        async with self._alone.connect() as connection:
            return await connection.run_sync(operation)


_CLOCK = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
