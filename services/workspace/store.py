"""The workspaces and the operations that delete them, in the database. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.workspace.database import Database
from services.workspace.pages import Position
from services.workspace.tables import SCHEMA_VERSION, saved_queries
from services.workspace.tables import operations as _operations
from services.workspace.tables import workspaces as _workspaces

__all__ = ["SCHEMA_VERSION", "Operation", "Store", "Workspace"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """One row."""

    id: str
    display_name: str
    create_time: int
    update_time: int
    #: Id of the operation that deletes it, or None.
    operation: str | None
    #: Retention: microseconds, None for ever; bytes, 0 for no limit.
    max_age: int | None = None
    max_bytes: int = 0

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


class Store(Database):
    """Each method is one transaction."""

    async def create(
        self, identifier: str, display_name: str, now: int, *, max_age: int | None = None, max_bytes: int = 0
    ) -> Workspace | None:
        """The new workspace; None where the id is taken."""
        made = Workspace(identifier, display_name, now, now, None, max_age, max_bytes)
        row = {
            "id": identifier,
            "display_name": display_name,
            "create_time": now,
            "update_time": now,
            "max_age_us": max_age,
            "max_bytes": max_bytes,
        }
        try:
            async with self.writing() as connection:
                await connection.execute(_workspaces.insert().values(row))
        except IntegrityError:
            return None
        return made

    async def get(self, identifier: str) -> Workspace | None:
        """One workspace, or None."""
        async with self.reading() as connection:
            return await _workspace(connection, identifier)

    async def list_workspaces(self, limit: int, after: Position | None) -> list[Workspace]:
        """At most `limit` workspaces behind `after`, oldest first."""
        return [Workspace(*row) for row in await self._rows(_workspaces, limit, after)]

    async def change(self, identifier: str, changes: Mapping[str, Any], now: int) -> Workspace | None:
        """Sets fields of `Workspace`, and gives it as it is now; None where there is none.

        One that is being deleted is left as it is; what changes nothing leaves the update time alone.
        """
        async with self.writing() as connection:
            found = await _workspace(connection, identifier)
            if found is None or found.operation is not None:
                return found
            changed = replace(found, **changes)
            if changed == found:
                return found
            changed = replace(changed, update_time=max(now, found.update_time))
            await connection.execute(
                _workspaces.update()
                .where(_workspaces.c.id == identifier)
                .values(
                    display_name=changed.display_name,
                    max_age_us=changed.max_age,
                    max_bytes=changed.max_bytes,
                    update_time=changed.update_time,
                )
            )
            return changed

    async def begin_deletion(self, identifier: str, operation: str, now: int) -> Operation | None:
        """Marks the workspace as being deleted and writes the operation, both or none of it.

        A workspace that is being deleted, or has been and is not there again, gives the operation that did it, as
        long as that is kept. None where there never was one.
        """
        async with self.writing() as connection:
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
        """The workspace's row and its saved queries go and the operation is done, all or none of it."""
        async with self.writing() as connection:
            doomed = sa.select(_workspaces.c.id).where(_workspaces.c.operation == operation)
            await connection.execute(saved_queries.delete().where(saved_queries.c.workspace.in_(doomed)))
            await connection.execute(_workspaces.delete().where(_workspaces.c.operation == operation))
            change = _operations.update().where(_operations.c.id == operation, _operations.c.end_time.is_(None))
            await connection.execute(change.values(end_time=now))

    async def get_operation(self, identifier: str) -> Operation | None:
        """One operation, or None."""
        async with self.reading() as connection:
            return await _operation(connection, identifier)

    async def list_operations(self, limit: int, after: Position | None) -> list[Operation]:
        """At most `limit` operations behind `after`, oldest first."""
        return [Operation(*row) for row in await self._rows(_operations, limit, after)]

    async def unfinished(self) -> list[Operation]:
        """Every operation that is not done, oldest first."""
        async with self.reading() as connection:
            wanted = sa.select(_operations).where(_operations.c.end_time.is_(None))
            rows = await connection.execute(wanted.order_by(_operations.c.create_time, _operations.c.id))
            return [Operation(*row) for row in rows]

    async def forget_operation(self, identifier: str) -> Operation | None:
        """Forgets an operation if it is done, and returns it as it was; None where there is none."""
        async with self.writing() as connection:
            found = await _operation(connection, identifier)
            if found is not None and found.end_time is not None:
                await connection.execute(_operations.delete().where(_operations.c.id == identifier))
            return found

    async def forget_ended_before(self, time: int) -> None:
        """Forgets the operations that were done before `time`."""
        async with self.writing() as connection:
            await connection.execute(_operations.delete().where(_operations.c.end_time < time))

    async def _rows(self, table: sa.Table, limit: int, after: Position | None) -> Sequence[Sequence[Any]]:
        order = sa.tuple_(table.c.create_time, table.c.id)
        wanted = sa.select(table).order_by(table.c.create_time, table.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(order > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
        async with self.reading() as connection:
            return (await connection.execute(wanted)).all()


async def _workspace(connection: AsyncConnection, identifier: str) -> Workspace | None:
    row = (await connection.execute(sa.select(_workspaces).where(_workspaces.c.id == identifier))).first()
    return None if row is None else Workspace(*row)


async def _operation(connection: AsyncConnection, identifier: str) -> Operation | None:
    row = (await connection.execute(sa.select(_operations).where(_operations.c.id == identifier))).first()
    return None if row is None else Operation(*row)
