"""A store in SQLite or PostgreSQL, by SQLAlchemy Core.

Clocks. Leases and times of expiry are instants, so all owners must count on one clock. On SQLite that is the monotonic
clock of the machine, shifted once for each start of it: an hour more or less on the wall clock changes nothing. On
PostgreSQL it is the database's own clock; the machines' clocks may differ as they like.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kit.clock import Clock
from kit.durations import check_seconds
from kit.errors import ConfigurationError
from kit.server.idempotency import _rows
from kit.server.idempotency._drivers import Driver, translated
from kit.server.idempotency._postgres import PostgresDriver
from kit.server.idempotency._sqlite import SqliteDriver
from kit.server.idempotency.store import CallKey, Claim, LeaseLostError, Ticket

__all__ = ["SqlStore"]


class SqlStore:
    """An `IdempotencyStore` in a database that all processes of a service share."""

    shared = True

    def __init__(
        self,
        database: str | AsyncEngine,
        *,
        lease: float = 15.0,
        timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        """`database` is "sqlite:////path/to/file", "postgresql://user@host/name" or an engine of sqlite+aiosqlite or
        postgresql+asyncpg; an engine stays its owner's, who closes it.

        `lease` is in seconds: what a killed process had begun is executed again after that. It must be longer than
        anything blocks the event loop. `timeout` is how long a call waits for the database. Every process must be given
        the same. `clock` stands in for the shared clock in tests. Raises ConfigurationError.
        """
        for name, value in (("lease", lease), ("timeout", timeout)):
            check_seconds(name, value)
            if value <= 0:
                raise ConfigurationError(f"idempotency: {name} must be longer than 0 seconds, not {value}")
        self.lease = float(lease)
        self.timeout = float(timeout)
        self._driver = _driver(database, self.timeout)
        self._now = self._driver.now if clock is None else clock.now

    async def open(self) -> None:
        """Makes the tables where there are none. Raises ConfigurationError, also for tables of a later version."""
        await self._driver.open()

    async def close(self) -> None:
        """Ends the connections."""
        await self._driver.close()

    async def claim(self, key: CallKey, fingerprint: bytes, owner: str, *, ttl: float) -> Claim:
        """Takes the key for `owner` where it is free."""

        def operation(connection: sa.Connection) -> Claim:
            return _rows.claim(connection, key, fingerprint, owner, now=self._now(), lease=self.lease, ttl=ttl)

        return await self._driver.write(operation, durable=False)

    async def look(self, key: CallKey, fingerprint: bytes, owner: str) -> Claim:
        """What a claim would come to."""
        return await self._driver.read(
            lambda connection: _rows.look(connection, key, fingerprint, owner, now=self._now())
        )

    async def renew(self, tickets: Sequence[Ticket]) -> frozenset[Ticket]:
        """Begins the lease of each ticket anew."""
        return await self._driver.write(
            lambda connection: _rows.renew(connection, tickets, now=self._now(), lease=self.lease), durable=False
        )

    async def complete(self, ticket: Ticket, answer: bytes, *, ttl: float) -> bool:
        """Keeps the answer."""
        return await self._driver.write(
            lambda connection: _rows.complete(connection, ticket, answer, now=self._now(), ttl=ttl), durable=True
        )

    async def release(self, ticket: Ticket) -> bool:
        """Frees the key."""
        return await self._driver.write(lambda connection: _rows.release(connection, ticket), durable=False)

    async def sweep(self, limit: int) -> int:
        """Forgets what is over."""
        await self._driver.read_clock()
        return await self._driver.write(
            lambda connection: _rows.sweep(connection, limit, now=self._now()), durable=False
        )

    @asynccontextmanager
    async def transaction(
        self, ticket: Ticket | None, answer: Callable[[], bytes], *, ttl: float
    ) -> AsyncIterator[AsyncConnection]:
        """Gives the connection. Do not commit it: the end of the block does, with the answer."""
        async with self._driver.transaction() as connection:
            if ticket is not None:
                await self._hold(connection, ticket)
            yield connection
            if ticket is not None:
                kept = answer()
                with translated():
                    good = await connection.run_sync(
                        lambda sync: _rows.complete(sync, ticket, kept, now=self._now(), ttl=ttl)
                    )
                if not good:
                    raise LeaseLostError(f"the call with the key {ticket.key.key} was taken over")

    async def _hold(self, connection: AsyncConnection, ticket: Ticket) -> None:
        """Locks the record, so that nobody takes it over while the effect is written."""
        with translated():
            good = await connection.run_sync(
                lambda sync: _rows.renew(sync, [ticket], now=self._now(), lease=self.lease)
            )
        if not good:
            raise LeaseLostError(f"the call with the key {ticket.key.key} was taken over")


def _driver(database: object, timeout: float) -> Driver:
    """The driver of a URL or an engine."""
    engine = database if isinstance(database, AsyncEngine) else None
    try:
        url = engine.url if engine is not None else sa.make_url(database)  # type: ignore[arg-type]
    except sa.exc.ArgumentError as error:
        raise ConfigurationError(
            f'idempotency: {database!r} is no URL; write "sqlite:////path/to/file" or "postgresql://user@host/name"'
        ) from error
    if url.get_backend_name() == "sqlite":
        _check_installed("aiosqlite", "idempotency")
        if not url.database or url.database == ":memory:":
            raise ConfigurationError("idempotency: SQLite needs a file; for tests there is MemoryStore")
        return SqliteDriver(url.database, engine, timeout)
    if url.get_backend_name() == "postgresql":
        _check_installed("asyncpg", "postgres")
        return PostgresDriver(url, engine, timeout)
    raise ConfigurationError(f"idempotency: {url.get_backend_name()} is neither sqlite nor postgresql")


def _check_installed(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise ConfigurationError(f"idempotency: {package} is needed: pip install 'grpc-service-kit[{extra}]'")
