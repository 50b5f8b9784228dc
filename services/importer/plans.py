"""The plans of imports that run: files, what to read of them, tasks, and the splits that were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from loganalyzer.search.v1 import search_pb2
from services.importer import rows, tables
from services.importer.database import Database, whole
from services.importer.identity import Decision
from services.importer.planning import PlannedFile, Totals, split_position
from services.importer.reading import Problem
from services.importer.records import SplitRow


class PlanStore:
    """What is left to do of each import."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @whole
    async def plan(self, import_id: str, files: Sequence[PlannedFile], errors: Sequence[tuple[int, Problem]]) -> None:
        """Records what is to be read, and the errors on the way, as one change."""
        async with self.database.begin() as connection:
            for table in (tables.files, tables.errors, tables.done_tasks):
                await connection.execute(table.delete().where(table.c.import_id == import_id))
            await _put(connection, import_id, files)
            for source, problem in errors:
                await rows.add_error(connection, import_id, source, problem)
            await connection.execute(
                tables.imports.update().where(tables.imports.c.id == import_id).values(planned=True)
            )

    @whole
    async def plan_more(self, import_id: str, files: Sequence[PlannedFile], *, next_file: int, next_task: int) -> None:
        """Records files that a following import reads now, and the numbers that come next, as one change."""
        async with self.database.begin() as connection:
            await _put(connection, import_id, files)
            statement = tables.imports.update().where(tables.imports.c.id == import_id)
            await connection.execute(statement.values(next_file=next_file, next_task=next_task))

    @whole
    async def files(self, import_id: str) -> list[PlannedFile]:
        """The plan."""
        statement = tables.files.select().where(tables.files.c.import_id == import_id).order_by(tables.files.c.number)
        async with self.database.begin() as connection:
            return [
                PlannedFile(row.number, row.source, json.loads(row.name), json.loads(row.path), row.size, row.task)
                for row in await connection.execute(statement)
            ]

    @whole
    async def decide(self, import_id: str, decisions: Mapping[int, Decision]) -> None:
        """Records what is to be read of files, by number."""
        async with self.database.begin() as connection:
            await _decide(connection, import_id, decisions)

    @whole
    async def decisions(self, import_id: str, task: int | None = None) -> dict[int, Decision]:
        """What was decided, by number of the file."""
        condition = (tables.files.c.import_id == import_id) & tables.files.c.decision.is_not(None)
        if task is not None:
            condition &= tables.files.c.task == task
        statement = sa.select(tables.files.c.number, tables.files.c.decision).where(condition)
        async with self.database.begin() as connection:
            return {
                row.number: Decision.from_json(json.loads(row.decision)) for row in await connection.execute(statement)
            }

    @whole
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
        async with self.database.begin() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    @whole
    async def mark_published(self, split_id: str) -> None:
        """Records that search has taken a split."""
        async with self.database.begin() as connection:
            await connection.execute(
                tables.splits.update().where(tables.splits.c.id == split_id).values(published=True)
            )

    @whole
    async def forget_split(self, split_id: str) -> None:
        """Forgets a split that search has refused."""
        async with self.database.begin() as connection:
            await connection.execute(tables.splits.delete().where(tables.splits.c.id == split_id))

    @whole
    async def splits(self, import_id: str, task: int | None = None) -> list[SplitRow]:
        """Splits of an import, or of one task, in the order in which they were made, by task."""
        statement = (
            tables.splits.select()
            .where(tables.splits.c.import_id == import_id)
            .order_by(tables.splits.c.task, tables.splits.c.ordinal)
        )
        if task is not None:
            statement = statement.where(tables.splits.c.task == task)
        async with self.database.begin() as connection:
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

    @whole
    async def finish_task(self, import_id: str, number: int, whole_files: Mapping[int, int]) -> None:
        """Records that nothing of a task is left to do."""
        statement = upsert(tables.done_tasks).values(
            import_id=import_id, number=number, whole_files=json.dumps(whole_files)
        )
        async with self.database.begin() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    @whole
    async def done_tasks(self, import_id: str) -> dict[int, dict[int, int]]:
        """Tasks that are done, with the files that were whole without a run."""
        statement = tables.done_tasks.select().where(tables.done_tasks.c.import_id == import_id)
        async with self.database.begin() as connection:
            return {
                row.number: {int(file): count for file, count in json.loads(row.whole_files).items()}
                for row in await connection.execute(statement)
            }

    @whole
    async def settle(
        self, import_id: str, tasks: Iterable[int], totals: Mapping[int, Totals], *, next_file: int, next_task: int
    ) -> None:
        """Lets done tasks of an import that follows become counts, so that nothing grows with its age. One change."""
        done = list(tasks)
        async with self.database.begin() as connection:
            for number, total in totals.items():
                columns = tables.sources.c
                condition = (columns.import_id == import_id) & (columns.number == number)
                added = {
                    "lines": columns.lines + total.lines,
                    "bytes": columns.bytes + total.bytes,
                    "files": columns.files + total.files,
                }
                await connection.execute(tables.sources.update().where(condition).values(**added))
            statement = tables.imports.update().where(tables.imports.c.id == import_id)
            await connection.execute(statement.values(next_file=next_file, next_task=next_task))
            for table, column in (
                (tables.splits, tables.splits.c.task),
                (tables.done_tasks, tables.done_tasks.c.number),
                (tables.files, tables.files.c.task),
            ):
                await connection.execute(table.delete().where((table.c.import_id == import_id) & column.in_(done)))


async def _put(connection: Any, import_id: str, files: Sequence[PlannedFile]) -> None:
    if not files:
        return
    values = [
        {
            "import_id": import_id, "number": file.number, "source": file.source, "size": file.size,
            "name": rows.pack(file.name), "path": rows.pack(file.path), "task": file.task,
        }
        for file in files
    ]  # fmt: skip
    await connection.execute(tables.files.insert(), values)


async def _decide(connection: Any, import_id: str, decisions: Mapping[int, Decision]) -> None:
    if not decisions:
        return
    condition = (tables.files.c.import_id == import_id) & (tables.files.c.number == sa.bindparam("file"))
    await connection.execute(
        tables.files.update().where(condition).values(decision=sa.bindparam("said")),
        [{"file": number, "said": json.dumps(one.to_json())} for number, one in decisions.items()],
    )
