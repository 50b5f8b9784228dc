"""The database of the workspaces and of the operations that delete them.

SQLAlchemy Core on SQLite. What is acknowledged is on disk (synchronous=FULL). Times are microseconds since 1970, UTC.
PRAGMA user_version holds the version of the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.errors import ConfigurationError
from services.workspace.pages import Position

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5_000

_metadata = sa.MetaData()
_workspaces = sa.Table(
    "workspaces",
    _metadata,
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("update_time", sa.BigInteger, nullable=False),
    # Set from the moment that it is being deleted.
    sa.Column("operation", sa.String(32), nullable=True),
    sa.Index("workspaces_by_age", "create_time", "id"),
)
_operations = sa.Table(
    "operations",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=True),
    sa.Index("operations_by_age", "create_time", "id"),
    sa.Index("operations_by_workspace", "workspace"),
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """One row."""

    id: str
    display_name: str
    create_time: int
    update_time: int
    #: Id of the operation that deletes it, or None.
    operation: str | None

    @property
    def position(self) -> Position:
        return self.create_time, self.id


@dataclass(frozen=True, slots=True)
class Operation:
    """The deletion of one workspace."""

    id: str
    workspace: str
    create_time: int
    #: None while it runs.
    end_time: int | None

    @property
    def position(self) -> Position:
        return self.create_time, self.id


class Store:
    """Each method is one transaction. Writers queue up for at most the busy timeout."""

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
                await _migrate(connection, self._path)
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
        async with self._reading() as connection:
            await connection.exec_driver_sql("PRAGMA user_version")

    async def create(self, identifier: str, display_name: str, now: int) -> Workspace | None:
        """The new workspace; None where the id is taken."""
        made = Workspace(identifier, display_name, now, now, None)
        row = {"id": identifier, "display_name": display_name, "create_time": now, "update_time": now}
        try:
            async with self._writing() as connection:
                await connection.execute(_workspaces.insert().values(row))
        except IntegrityError:
            return None
        return made

    async def get(self, identifier: str) -> Workspace | None:
        """One workspace, or None."""
        async with self._reading() as connection:
            return await _workspace(connection, identifier)

    async def list_workspaces(self, limit: int, after: Position | None) -> list[Workspace]:
        """At most `limit` workspaces behind `after`, oldest first."""
        return [Workspace(*row) for row in await self._rows(_workspaces, limit, after)]

    async def rename(self, identifier: str, display_name: str, now: int) -> Workspace | None:
        """The workspace as it is now; None where there is none. One that is being deleted is left as it is."""
        async with self._writing() as connection:
            found = await _workspace(connection, identifier)
            if found is None or found.operation is not None or found.display_name == display_name:
                return found
            update_time = max(now, found.update_time)
            change = _workspaces.update().where(_workspaces.c.id == identifier)
            await connection.execute(change.values(display_name=display_name, update_time=update_time))
            return Workspace(identifier, display_name, found.create_time, update_time, None)

    async def begin_deletion(self, identifier: str, operation: str, now: int) -> Operation | None:
        """Marks the workspace as being deleted and writes the operation, both or none of it.

        A workspace that is being deleted, or has been and is not there again, gives the operation that did it, as
        long as that is kept. None where there never was one.
        """
        async with self._writing() as connection:
            found = await _workspace(connection, identifier)
            if found is None:
                last = sa.select(_operations).where(_operations.c.workspace == identifier)
                row = (await connection.execute(last.order_by(_operations.c.create_time.desc()).limit(1))).first()
                return None if row is None else Operation(*row)
            if found.operation is not None:
                return await _operation(connection, found.operation)
            await connection.execute(
                _operations.insert().values(id=operation, workspace=identifier, create_time=now, end_time=None)
            )
            await connection.execute(
                _workspaces.update().where(_workspaces.c.id == identifier).values(operation=operation, update_time=now)
            )
            return Operation(operation, identifier, now, None)

    async def finish_deletion(self, operation: str, now: int) -> None:
        """The workspace's row goes and the operation is done, both or none of it."""
        async with self._writing() as connection:
            await connection.execute(_workspaces.delete().where(_workspaces.c.operation == operation))
            change = _operations.update().where(_operations.c.id == operation, _operations.c.end_time.is_(None))
            await connection.execute(change.values(end_time=now))

    async def get_operation(self, identifier: str) -> Operation | None:
        """One operation, or None."""
        async with self._reading() as connection:
            return await _operation(connection, identifier)

    async def list_operations(self, limit: int, after: Position | None) -> list[Operation]:
        """At most `limit` operations behind `after`, oldest first."""
        return [Operation(*row) for row in await self._rows(_operations, limit, after)]

    async def unfinished(self) -> list[Operation]:
        """Every operation that is not done, oldest first."""
        async with self._reading() as connection:
            wanted = sa.select(_operations).where(_operations.c.end_time.is_(None))
            rows = await connection.execute(wanted.order_by(_operations.c.create_time, _operations.c.id))
            return [Operation(*row) for row in rows]

    async def forget_operation(self, identifier: str) -> Operation | None:
        """Forgets an operation if it is done, and returns it as it was; None where there is none."""
        async with self._writing() as connection:
            found = await _operation(connection, identifier)
            if found is not None and found.end_time is not None:
                await connection.execute(_operations.delete().where(_operations.c.id == identifier))
            return found

    async def forget_ended_before(self, time: int) -> None:
        """Forgets the operations that were done before `time`."""
        async with self._writing() as connection:
            await connection.execute(_operations.delete().where(_operations.c.end_time < time))

    async def _rows(self, table: sa.Table, limit: int, after: Position | None) -> Sequence[Sequence[Any]]:
        order = sa.tuple_(table.c.create_time, table.c.id)
        wanted = sa.select(table).order_by(table.c.create_time, table.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(order > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
        async with self._reading() as connection:
            return (await connection.execute(wanted)).all()

    def _writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        if self._engine is None:
            raise RuntimeError("the store is not open")
        return self._engine.begin()

    def _reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        if self._engine is None:
            raise RuntimeError("the store is not open")
        return self._engine.execution_options(reading=True).begin()


async def _workspace(connection: AsyncConnection, identifier: str) -> Workspace | None:
    row = (await connection.execute(sa.select(_workspaces).where(_workspaces.c.id == identifier))).first()
    return None if row is None else Workspace(*row)


async def _operation(connection: AsyncConnection, identifier: str) -> Operation | None:
    row = (await connection.execute(sa.select(_operations).where(_operations.c.id == identifier))).first()
    return None if row is None else Operation(*row)


async def _migrate(connection: AsyncConnection, path: Path) -> None:
    version = (await connection.execute(sa.text("PRAGMA user_version"))).scalar_one()
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} has schema version {version}, written by a newer release; this one knows up to {SCHEMA_VERSION}. "
            "Install that release again, or use another data folder."
        )
    if version < SCHEMA_VERSION:
        await connection.run_sync(_metadata.create_all)
        await connection.execute(sa.text(f"PRAGMA user_version = {SCHEMA_VERSION}"))


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
