"""The database of imports: what was asked for, the plan, what is published, errors, and how it ended.

SQLAlchemy Core on SQLite. What is acknowledged is on disk (synchronous=FULL). Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit.errors import ConfigurationError
from loganalyzer.search.v1 import search_pb2
from services.importer import rows, tables
from services.importer.planning import PlannedFile, Totals, split_position
from services.importer.reading import Problem
from services.importer.records import TRANSITIONS, ImportRow, SplitRow, State

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_MS = 5_000


_P = ParamSpec("_P")
_T = TypeVar("_T")
_Method = Callable[Concatenate["ImportStore", _P], Coroutine[Any, Any, _T]]


def _whole(method: _Method[_P, _T]) -> _Method[_P, _T]:
    """Lets a method run to its end when its caller is cancelled: no connection is left in the middle of a change."""

    async def run(self: ImportStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        task = asyncio.ensure_future(method(self, *args, **kwargs))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return await asyncio.shield(task)

    functools.update_wrapper(run, method)
    return run


class ImportStore:
    """The imports. One process uses the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: AsyncEngine | None = None
        #: Changes under way: see _whole.
        self.running: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """Opens the database, makes it where there is none. Raises ConfigurationError when it is of a later version."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{self._path}", pool_size=1, max_overflow=0)
        sa.event.listen(engine.sync_engine, "connect", _configure)
        self._engine = engine
        async with engine.begin() as connection:
            version = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
            if version > SCHEMA_VERSION:
                raise ConfigurationError(f"{self._path} was written by a later version ({version})")
            await connection.run_sync(tables.metadata.create_all)
            await connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    async def close(self) -> None:
        """Closes the database, after what is under way."""
        if self.running:
            await asyncio.wait(self.running)
        if self._engine is not None:
            await self._engine.dispose()

    @_whole
    async def ping(self) -> None:
        """Reads the database's header; raises where that fails."""
        async with self._begin() as connection:
            await connection.exec_driver_sql("PRAGMA user_version")

    @_whole
    async def create(self, import_id: str, workspace: str, sources: Sequence[tuple[str, str]], now: int) -> ImportRow:
        """Records an import that waits; `sources` are names and paths."""
        async with self._begin() as connection:
            await connection.execute(
                tables.imports.insert().values(id=import_id, workspace=workspace, state=State.QUEUED, create_time=now)
            )
            values = [
                {"import_id": import_id, "number": number, "name": name, "path": rows.pack(path)}
                for number, (name, path) in enumerate(sources)
            ]
            await connection.execute(tables.sources.insert(), values)
            return (await rows.load(connection, tables.imports.c.id == import_id))[0]

    @_whole
    async def get(self, import_id: str) -> ImportRow | None:
        """The import, or None."""
        async with self._begin() as connection:
            return next(iter(await rows.load(connection, tables.imports.c.id == import_id)), None)

    @_whole
    async def page(self, workspace: str, size: int, before: int | None) -> list[ImportRow]:
        """Imports of a workspace, newest first, older than the one with the sequence number `before`."""
        condition = tables.imports.c.workspace == workspace
        if before is not None:
            condition &= tables.imports.c.sequence < before
        async with self._begin() as connection:
            return await rows.load(connection, condition, size)

    @_whole
    async def unfinished(self) -> list[ImportRow]:
        """Imports that have not ended, oldest first."""
        ends = [state for state, followers in TRANSITIONS.items() if not followers]
        async with self._begin() as connection:
            return (await rows.load(connection, tables.imports.c.state.not_in(ends)))[::-1]

    @_whole
    async def start(self, import_id: str, now: int) -> None:
        """Sets a waiting import to RUNNING; its start time stays when it has one."""
        start_time = sa.func.coalesce(tables.imports.c.start_time, now)
        await self._update(import_id, state=State.RUNNING, start_time=start_time)

    @_whole
    async def request_cancel(self, import_id: str) -> None:
        """Records that it is to be cancelled, so that a restart does not let it go on."""
        await self._update(import_id, cancelled=True)

    @_whole
    async def plan(self, import_id: str, files: Sequence[PlannedFile], errors: Sequence[tuple[int, Problem]]) -> None:
        """Records what is to be read, and the errors on the way, as one change."""
        async with self._begin() as connection:
            for table in (tables.files, tables.errors, tables.done_tasks):
                await connection.execute(table.delete().where(table.c.import_id == import_id))
            if files:
                values = [
                    {
                        "import_id": import_id, "number": file.number, "source": file.source, "size": file.size,
                        "name": rows.pack(file.name), "path": rows.pack(file.path), "task": file.task,
                    }
                    for file in files
                ]  # fmt: skip
                await connection.execute(tables.files.insert(), values)
            for source, problem in errors:
                await rows.add_error(connection, import_id, source, problem)
            await connection.execute(
                tables.imports.update().where(tables.imports.c.id == import_id).values(planned=True)
            )

    @_whole
    async def files(self, import_id: str) -> list[PlannedFile]:
        """The plan."""
        statement = tables.files.select().where(tables.files.c.import_id == import_id).order_by(tables.files.c.number)
        async with self._begin() as connection:
            return [
                PlannedFile(row.number, row.source, json.loads(row.name), json.loads(row.path), row.size, row.task)
                for row in await connection.execute(statement)
            ]

    @_whole
    async def add_error(self, import_id: str, source: int, problem: Problem) -> bool:
        """Records an error; False when it was known."""
        async with self._begin() as connection:
            return await rows.add_error(connection, import_id, source, problem)

    @_whole
    async def add_split(
        self,
        import_id: str,
        split: search_pb2.Split,
        cursor: tuple[str, dict[str, Any]] | None,
        *,
        published: bool = False,
    ) -> None:
        """Records a split that is on disk. Nothing changes when it is known."""
        task, ordinal = split_position(split.id)
        statement = upsert(tables.splits).values(
            id=split.id,
            import_id=import_id,
            task=task,
            ordinal=ordinal,
            message=split.SerializeToString(),
            cursor=None if cursor is None else json.dumps(cursor),
            published=published,
        )
        async with self._begin() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    @_whole
    async def mark_published(self, split_id: str) -> None:
        """Records that search has taken a split."""
        async with self._begin() as connection:
            await connection.execute(
                tables.splits.update().where(tables.splits.c.id == split_id).values(published=True)
            )

    @_whole
    async def forget_split(self, split_id: str) -> None:
        """Forgets a split that search has refused."""
        async with self._begin() as connection:
            await connection.execute(tables.splits.delete().where(tables.splits.c.id == split_id))

    @_whole
    async def splits(self, import_id: str) -> list[SplitRow]:
        """Splits of an import in the order in which they were made, by task."""
        statement = (
            tables.splits.select()
            .where(tables.splits.c.import_id == import_id)
            .order_by(tables.splits.c.task, tables.splits.c.ordinal)
        )
        async with self._begin() as connection:
            return [
                SplitRow(
                    search_pb2.Split.FromString(row.message),
                    row.task,
                    row.ordinal,
                    None if row.cursor is None else tuple(json.loads(row.cursor)),
                    row.published,
                )
                for row in await connection.execute(statement)
            ]

    @_whole
    async def finish_task(self, import_id: str, number: int, whole_files: Mapping[int, int]) -> None:
        """Records that nothing of a task is left to do."""
        statement = upsert(tables.done_tasks).values(
            import_id=import_id, number=number, whole_files=json.dumps(whole_files)
        )
        async with self._begin() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    @_whole
    async def done_tasks(self, import_id: str) -> dict[int, dict[int, int]]:
        """Tasks that are done, with the files that were whole without a run."""
        statement = tables.done_tasks.select().where(tables.done_tasks.c.import_id == import_id)
        async with self._begin() as connection:
            return {
                row.number: {int(file): count for file, count in json.loads(row.whole_files).items()}
                for row in await connection.execute(statement)
            }

    @_whole
    async def finish(
        self, import_id: str, state: State, totals: Mapping[int, Totals], *, message: str, now: int
    ) -> ImportRow:
        """Ends the import with its counts by source, as one change, and forgets the plan."""
        async with self._begin() as connection:
            for number, total in totals.items():
                condition = (tables.sources.c.import_id == import_id) & (tables.sources.c.number == number)
                values = {"lines": total.lines, "bytes": total.bytes, "files": total.files}
                await connection.execute(tables.sources.update().where(condition).values(**values))
            for table in (tables.files, tables.done_tasks, tables.splits):
                await connection.execute(table.delete().where(table.c.import_id == import_id))
            await connection.execute(
                tables.imports.update()
                .where(tables.imports.c.id == import_id)
                .values(state=state, message=message, end_time=now)
            )
            return (await rows.load(connection, tables.imports.c.id == import_id))[0]

    @_whole
    async def delete(self, workspace: str) -> int:
        """Forgets the imports of a workspace; returns how many there were."""
        async with self._begin() as connection:
            ids = sa.select(tables.imports.c.id).where(tables.imports.c.workspace == workspace)
            for table in (tables.sources, tables.files, tables.done_tasks, tables.splits, tables.errors):
                await connection.execute(table.delete().where(table.c.import_id.in_(ids)))
            deleted = await connection.execute(tables.imports.delete().where(tables.imports.c.workspace == workspace))
            return int(deleted.rowcount)

    def _begin(self) -> Any:
        assert self._engine is not None, "open() comes first"
        return self._engine.begin()

    async def _update(self, import_id: str, **values: Any) -> None:
        async with self._begin() as connection:
            await connection.execute(tables.imports.update().where(tables.imports.c.id == import_id).values(**values))


def _configure(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
