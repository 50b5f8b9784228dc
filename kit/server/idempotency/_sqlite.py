"""Transactions on SQLite: one writer at a time, and what waits for it is committed together.

The store's own operations run on a thread of their own, on plain sqlite3: a fifth of what the same statements cost by
aiosqlite, whose every step is a hop between threads. Whatever was asked for while a commit was under way goes into the
next one. A handler's own transaction is an aiosqlite connection, as the handler's code is async; it holds off the other
writers of this process until it ends, instead of letting them find the file locked.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.clock import SYSTEM
from kit.errors import ConfigurationError
from kit.server.idempotency import _rows
from kit.server.idempotency._drivers import committed, translated
from kit.server.idempotency.store import StoreError

__all__ = ["SqliteDriver"]

_T = TypeVar("_T")
#: Changes with each start of a Linux machine; the monotonic clock of all its processes counts from there.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: Seconds between two tries to open a file that other processes are opening.
_AGAIN = 0.05

_Waiting = tuple[Callable[[sa.Connection], Any], bool, "asyncio.Future[Any]"]


class SqliteDriver:
    """A file, shared by the processes of one machine."""

    def __init__(self, path: str, engine: AsyncEngine | None, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._users = engine
        self._effects: AsyncEngine | None = None
        self._engine: sa.Engine | None = None
        #: By whether they are durable; used on the writing thread only.
        self._writing: dict[bool, sa.Connection] = {}
        self._reading: sa.Connection | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._gate = asyncio.Lock()
        self._queue: list[_Waiting] = []
        self._draining: asyncio.Task[None] | None = None
        self._offset = 0.0

    async def open(self) -> None:
        """Makes the file and the tables."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kit-idempotency-write")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="kit-idempotency-read")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except (OSError, sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            raise ConfigurationError(f"idempotency: the file {self._path} cannot be opened: {error}") from error
        engine = self._users
        if engine is None:
            url = sa.URL.create("sqlite+aiosqlite", database=self._path)
            engine = create_async_engine(url, connect_args={"timeout": self._timeout})
        # A copy of the engine, on the same connections: the user's own transactions begin as they did.
        self._effects = engine.execution_options()
        event.listen(self._effects.sync_engine, "begin", _begin)

    async def close(self) -> None:
        """Ends the threads and the connections, where they are not the user's."""
        if self._draining is not None:
            await asyncio.wait([self._draining])
        if self._writer is not None and self._reader is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._close)
            self._writer.shutdown()
            self._reader.shutdown()
            self._writer = self._reader = None
        if self._effects is not None and self._users is None:
            await self._effects.dispose()
        self._effects = None

    def now(self) -> float:
        """The machine's monotonic clock, shifted to where all processes that use the file have it."""
        return SYSTEM.now() + self._offset

    async def read_clock(self) -> None:
        """The clock is this machine's own."""

    async def write(self, operation: Callable[[sa.Connection], _T], *, durable: bool) -> _T:
        """Puts the operation into the next commit, and waits for that."""
        if self._writer is None:
            raise StoreError("the store is not open")
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._queue.append((operation, durable, future))
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        return await future

    async def read(self, operation: Callable[[sa.Connection], _T]) -> _T:
        """Beside the writers: they do not hold up readers."""

        connection = self._reading
        if self._reader is None or connection is None:
            raise StoreError("the store is not open")

        def run() -> _T:
            with connection.begin():
                return operation(connection)

        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._reader, run)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for a handler; the only writer while it lasts."""
        async with self._gate:
            if self._effects is None:
                raise StoreError("the store is not open")
            async with committed(self._effects, self._timeout) as connection:
                yield connection

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                async with self._gate:
                    # Who has been given up needs no answer, and must not hold up the others.
                    batch, self._queue = [waiting for waiting in self._queue if not waiting[2].done()], []
                    outcomes = await loop.run_in_executor(self._writer, self._commit, batch)
                for (_, _, future), outcome in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue
                    if isinstance(outcome, Exception):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)
        finally:
            self._draining = None

    # On the writing thread

    def _open(self) -> None:
        Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        url = sa.URL.create("sqlite", database=self._path)
        # No thread uses a connection of another; but the one that closes them is not the one that opened them all.
        engine = sa.create_engine(url, connect_args={"timeout": self._timeout, "check_same_thread": False})
        event.listen(engine, "connect", _prepare)
        self._engine = engine
        writers = engine.execution_options()
        event.listen(writers, "begin", _begin)
        until = time.monotonic() + self._timeout
        while True:
            try:
                with writers.begin() as connection:
                    _rows.make_tables(connection)
                    self._offset = _offset(connection)
                break
            except OperationalError as error:
                # Others open it too, and turn to the write-ahead log: SQLite does not wait for that by itself.
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(_AGAIN)
        for durable in (False, True):
            self._writing[durable] = connection = writers.connect()
            driver: Any = connection.connection.driver_connection
            # What a loss of power takes away of a claim is no harm: whoever held it is gone as well.
            driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        self._reading = engine.connect()

    def _close(self) -> None:
        for connection in self._writing.values():
            connection.close()
        if self._reading is not None:
            self._reading.close()
        if self._engine is not None:
            self._engine.dispose()

    def _commit(self, batch: list[_Waiting]) -> list[Any]:
        """The outcome of each operation, or what is to be raised there. Never raises."""
        try:
            connection = self._writing[any(durable for _, durable, _ in batch)]
            with translated(), connection.begin():
                return [operation(connection) for operation, _, _ in batch]
        except Exception as error:  # noqa: BLE001 - the waiting ones raise it
            if len(batch) == 1 or isinstance(error.__cause__, OperationalError):
                return [error] * len(batch)
        # One of them has spoilt it for all.
        return [outcome for waiting in batch for outcome in self._commit([waiting])]


def _prepare(connection: Any, _record: object) -> None:
    # Transactions begin where `_begin` says so, and not where sqlite3 thinks.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL").close()


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and then writes is refused where another one has written in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _offset(connection: sa.Connection) -> float:
    now, wall = SYSTEM.now(), SYSTEM.wall()
    try:
        boot = _BOOT.read_text("ascii").strip()
    except OSError:
        # Elsewhere the wall clock has to do.
        return wall - now
    return _rows.timeline(connection, boot, now, wall)
