"""The importer's database file: opened, brought up to date, and changed as a whole or not at all.

SQLAlchemy Core on SQLite. What is acknowledged is on disk (synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit.errors import ConfigurationError
from services.importer.schema import LaterVersionError, upgrade

_BUSY_TIMEOUT_MS = 5_000


class _HasDatabase(Protocol):
    database: Database


_P = ParamSpec("_P")
_T = TypeVar("_T")
_S = TypeVar("_S", bound=_HasDatabase)
_Method = Callable[Concatenate[_S, _P], Coroutine[Any, Any, _T]]


def whole(method: _Method[_S, _P, _T]) -> _Method[_S, _P, _T]:
    """Lets a method run to its end when its caller is cancelled: no connection is left in the middle of a change."""

    async def run(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        running = self.database.running
        task = asyncio.ensure_future(method(self, *args, **kwargs))
        running.add(task)
        task.add_done_callback(running.discard)
        return await asyncio.shield(task)

    functools.update_wrapper(run, method)
    return run


class Database:
    """One process uses the file; ImportStore, PlanStore and KnownStore work on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: AsyncEngine | None = None
        #: Changes under way: see whole.
        self.running: set[asyncio.Future[Any]] = set()
        self.database = self

    async def open(self) -> None:
        """Opens the database, makes it where there is none. Raises ConfigurationError when it is of a later version."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{self._path}", pool_size=1, max_overflow=0)
        sa.event.listen(engine.sync_engine, "connect", _configure)
        self._engine = engine
        async with engine.begin() as connection:
            try:
                await connection.run_sync(upgrade)
            except LaterVersionError as error:
                raise ConfigurationError(f"{self._path} was written by a later version ({error})") from None

    async def close(self) -> None:
        """Closes the database, after what is under way."""
        if self.running:
            await asyncio.wait(self.running)
        if self._engine is not None:
            await self._engine.dispose()

    @whole
    async def ping(self) -> None:
        """Reads the database's header; raises where that fails."""
        async with self.begin() as connection:
            await connection.exec_driver_sql("PRAGMA user_version")

    def begin(self) -> Any:
        """A transaction: `async with` gives the connection."""
        assert self._engine is not None, "open() comes first"
        return self._engine.begin()


def _configure(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
