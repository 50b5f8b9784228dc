"""The imports: what was asked for, their state, and how they ended. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from services.importer import rows, tables
from services.importer.database import Database, whole
from services.importer.planning import Totals
from services.importer.reading import Problem
from services.importer.records import TRANSITIONS, ImportRow, Mode, State

#: Imports of a workspace whose texts are kept (ListImportFiles): the newest.
KEPT_TEXTS = 100


class WrongState(Exception):  # noqa: N818 - what is the matter, by name
    """The import is in a state that the wanted one does not follow on."""


class ImportStore:
    """The imports."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @whole
    async def create(
        self,
        import_id: str,
        workspace: str,
        sources: Sequence[tuple[str, str]],
        now: int,
        *,
        mode: Mode = Mode.FULL,
        follow: bool = False,
    ) -> ImportRow:
        """Records an import that waits; `sources` are names and paths."""
        async with self.database.begin() as connection:
            await connection.execute(
                tables.imports.insert().values(
                    id=import_id, workspace=workspace, state=State.QUEUED, create_time=now, mode=mode, follow=follow
                )
            )
            values = [
                {"import_id": import_id, "number": number, "name": name, "path": rows.pack(path)}
                for number, (name, path) in enumerate(sources)
            ]
            await connection.execute(tables.sources.insert(), values)
            return (await rows.load(connection, tables.imports.c.id == import_id))[0]

    @whole
    async def get(self, import_id: str) -> ImportRow | None:
        """The import, or None."""
        async with self.database.begin() as connection:
            return next(iter(await rows.load(connection, tables.imports.c.id == import_id)), None)

    @whole
    async def page(self, workspace: str, size: int, before: int | None) -> list[ImportRow]:
        """Imports of a workspace, newest first, older than the one with the sequence number `before`."""
        condition = tables.imports.c.workspace == workspace
        if before is not None:
            condition &= tables.imports.c.sequence < before
        async with self.database.begin() as connection:
            return await rows.load(connection, condition, size)

    @whole
    async def unfinished(self) -> list[ImportRow]:
        """Imports that have not ended, oldest first."""
        ends = [state for state, followers in TRANSITIONS.items() if not followers]
        async with self.database.begin() as connection:
            return (await rows.load(connection, tables.imports.c.state.not_in(ends)))[::-1]

    @whole
    async def set_state(self, import_id: str, state: State, *, now: int | None = None) -> ImportRow:
        """Records a state that is no end; the start time is `now` where it has none yet. Raises WrongState."""
        values: dict[str, Any] = {"state": state}
        if now is not None:
            values["start_time"] = sa.func.coalesce(tables.imports.c.start_time, now)
        async with self.database.begin() as connection:
            await self._move(connection, import_id, state, values, again=True)
            return (await rows.load(connection, tables.imports.c.id == import_id))[0]

    @whole
    async def request_cancel(self, import_id: str) -> None:
        """Records that it is to be cancelled, so that a restart does not let it go on."""
        await self._update(import_id, cancelled=True)

    @whole
    async def show(self, import_id: str, shown: Mapping[str, int]) -> None:
        """Records what was told of its progress."""
        await self._update(import_id, shown=json.dumps(dict(shown)))

    @whole
    async def add_error(self, import_id: str, source: int, problem: Problem) -> bool:
        """Records an error; False when it was known."""
        async with self.database.begin() as connection:
            return await rows.add_error(connection, import_id, source, problem)

    @whole
    async def finish(
        self, import_id: str, state: State, totals: Mapping[int, Totals], *, message: str, now: int
    ) -> ImportRow:
        """Ends the import with its counts by source, as one change, and forgets the plan. Raises WrongState."""
        async with self.database.begin() as connection:
            await self._move(connection, import_id, state, {"state": state, "message": message, "end_time": now})
            for number, total in totals.items():
                condition = (tables.sources.c.import_id == import_id) & (tables.sources.c.number == number)
                values = {"lines": total.lines, "bytes": total.bytes, "files": total.files}
                await connection.execute(tables.sources.update().where(condition).values(**values))
            for table in (tables.files, tables.done_tasks, tables.splits):
                await connection.execute(table.delete().where(table.c.import_id == import_id))
            row = (await rows.load(connection, tables.imports.c.id == import_id))[0]
            newest = (
                sa.select(tables.imports.c.id)
                .where(tables.imports.c.workspace == row.workspace)
                .order_by(tables.imports.c.sequence.desc())
                .offset(KEPT_TEXTS)
                .limit(KEPT_TEXTS)
            )
            await connection.execute(tables.texts.delete().where(tables.texts.c.import_id.in_(newest)))
            return row

    @whole
    async def delete(self, workspace: str) -> int:
        """Forgets the imports of a workspace; returns how many there were."""
        async with self.database.begin() as connection:
            ids = sa.select(tables.imports.c.id).where(tables.imports.c.workspace == workspace)
            of_imports = (
                *(tables.sources, tables.files, tables.done_tasks),
                *(tables.splits, tables.errors, tables.texts),
            )
            for table in of_imports:
                await connection.execute(table.delete().where(table.c.import_id.in_(ids)))
            await connection.execute(tables.known.delete().where(tables.known.c.workspace == workspace))
            deleted = await connection.execute(tables.imports.delete().where(tables.imports.c.workspace == workspace))
            return int(deleted.rowcount)

    async def _move(
        self, connection: Any, import_id: str, state: State, values: Mapping[str, Any], *, again: bool = False
    ) -> None:
        before = [one for one, followers in TRANSITIONS.items() if state in followers or (again and one is state)]
        condition = (tables.imports.c.id == import_id) & tables.imports.c.state.in_(before)
        changed = await connection.execute(tables.imports.update().where(condition).values(**values))
        if changed.rowcount != 1:
            raise WrongState(f"{import_id} cannot become {state.name}")

    async def _update(self, import_id: str, **values: Any) -> None:
        async with self.database.begin() as connection:
            await connection.execute(tables.imports.update().where(tables.imports.c.id == import_id).values(**values))
