"""The database file: SQLAlchemy Core on SQLite. What is acknowledged is on disk (synchronous=FULL)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.workspace.tables import migrate

BUSY_TIMEOUT_MS = 5_000


class Database:
    """One file. Writers queue up for at most the busy timeout."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: AsyncEngine | None = None

    async def open(self) -> None:
        """Opens the database and makes the tables. ConfigurationError where a newer program has written it."""
        engine = create_async_engine(sa.URL.create("sqlite+aiosqlite", database=str(self._path)))
        sa.event.listen(engine.sync_engine, "connect", _configure)
        sa.event.listen(engine.sync_engine, "begin", _begin)
        try:
            async with engine.begin() as connection:
                await migrate(connection, self._path)
        except BaseException:
            await engine.dispose()
            raise
        self._engine = engine

    async def close(self) -> None:
        """Closes it; a second time does nothing."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def ping(self) -> None:
        """Reads the database's header; raises where that fails."""
        async with self.reading() as connection:
            await connection.exec_driver_sql("PRAGMA user_version")

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One transaction that may write."""
        if self._engine is None:
            raise RuntimeError("the store is not open")
        return self._engine.begin()

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One transaction that only reads; it waits for no writer."""
        if self._engine is None:
            raise RuntimeError("the store is not open")
        return self._engine.execution_options(reading=True).begin()


def _configure(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would do so too late, and not for reads.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
    finally:
        cursor.close()


def _begin(connection: sa.Connection) -> None:
    # IMMEDIATE takes the write lock first: a read that turns into a write later cannot fail on a stale snapshot.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
