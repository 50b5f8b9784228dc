"""The saved queries in the database. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.workspace.database import Database
from services.workspace.tables import saved_queries, workspaces

__all__ = ["Refusal", "SavedQueries", "SavedQuery"]


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """One row."""

    workspace: str
    id: str
    display_name: str
    query: str
    order_by: str
    create_time: int
    update_time: int


class Refusal(enum.Enum):
    """Why nothing was written."""

    NO_WORKSPACE = enum.auto()
    #: The workspace is being deleted.
    DELETING = enum.auto()
    #: There is no such saved query.
    NOT_FOUND = enum.auto()
    #: Another one of the workspace has the display name.
    NAME_TAKEN = enum.auto()
    #: The made-up id is taken: make up another.
    ID_TAKEN = enum.auto()


class SavedQueries:
    """Each method is one transaction of `database`, which others open and close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, row: SavedQuery) -> Refusal | None:
        """Keeps a new one; None where that went well."""
        async with self._database.writing() as connection:
            if (refusal := await _usable(connection, row.workspace)) is not None:
                return refusal
            if await _named(connection, row.workspace, row.display_name) is not None:
                return Refusal.NAME_TAKEN
            if await _one(connection, row.workspace, row.id) is not None:
                return Refusal.ID_TAKEN
            await connection.execute(saved_queries.insert().values(_values(row)))
        return None

    async def get(self, workspace: str, identifier: str) -> SavedQuery | None:
        """One of them, or None."""
        async with self._database.reading() as connection:
            return await _one(connection, workspace, identifier)

    async def page(self, workspace: str, limit: int, after: str | None) -> list[SavedQuery] | None:
        """At most `limit` of a workspace behind the name `after`, by display name; None without the workspace."""
        wanted = sa.select(saved_queries).where(saved_queries.c.workspace == workspace)
        if after is not None:
            wanted = wanted.where(saved_queries.c.display_name > after)
        async with self._database.reading() as connection:
            if await _usable(connection, workspace) is Refusal.NO_WORKSPACE:
                return None
            rows = await connection.execute(wanted.order_by(saved_queries.c.display_name).limit(limit))
            return [SavedQuery(*row) for row in rows]

    async def change(
        self, workspace: str, identifier: str, changes: Mapping[str, Any], now: int
    ) -> SavedQuery | Refusal:
        """Sets fields of a SavedQuery, and gives it as it is now. What changes nothing leaves the update time alone."""
        async with self._database.writing() as connection:
            found = await _one(connection, workspace, identifier)
            if found is None:
                return Refusal.NOT_FOUND
            if (refusal := await _usable(connection, workspace)) is not None:
                return refusal
            changed = replace(found, **changes)
            if changed == found:
                return found
            namesake = await _named(connection, workspace, changed.display_name)
            if namesake is not None and namesake != identifier:
                return Refusal.NAME_TAKEN
            changed = replace(changed, update_time=max(now, found.update_time))
            await connection.execute(saved_queries.update().where(_is(workspace, identifier)).values(_values(changed)))
            return changed

    async def delete(self, workspace: str, identifier: str) -> bool:
        """Whether there was one."""
        async with self._database.writing() as connection:
            gone = await connection.execute(saved_queries.delete().where(_is(workspace, identifier)))
            return gone.rowcount > 0


def _is(workspace: str, identifier: str) -> sa.ColumnElement[bool]:
    return sa.and_(saved_queries.c.workspace == workspace, saved_queries.c.id == identifier)


def _values(row: SavedQuery) -> dict[str, object]:
    return {name: getattr(row, name) for name in SavedQuery.__slots__}


async def _one(connection: AsyncConnection, workspace: str, identifier: str) -> SavedQuery | None:
    row = (await connection.execute(sa.select(saved_queries).where(_is(workspace, identifier)))).first()
    return None if row is None else SavedQuery(*row)


async def _named(connection: AsyncConnection, workspace: str, display_name: str) -> str | None:
    """The id of the one that has the display name."""
    wanted = sa.select(saved_queries.c.id).where(
        saved_queries.c.workspace == workspace, saved_queries.c.display_name == display_name
    )
    found: str | None = (await connection.execute(wanted)).scalar_one_or_none()
    return found


async def _usable(connection: AsyncConnection, workspace: str) -> Refusal | None:
    row = (await connection.execute(sa.select(workspaces.c.operation).where(workspaces.c.id == workspace))).first()
    if row is None:
        return Refusal.NO_WORKSPACE
    return None if row[0] is None else Refusal.DELETING
