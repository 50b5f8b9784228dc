"""Reading whole imports from the tables, and writing errors; each within a transaction of the store."""

from __future__ import annotations

import json

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.importer import tables
from services.importer.planning import Totals
from services.importer.reading import Problem, Reason
from services.importer.records import SHOWN_ERRORS, ImportRow, Mode, SourceRow, State


async def load(
    connection: AsyncConnection, condition: sa.ColumnElement[bool], limit: int | None = None
) -> list[ImportRow]:
    """Imports that fulfil the condition, newest first, with their sources and the first errors of each."""
    statement = tables.imports.select().where(condition).order_by(tables.imports.c.sequence.desc()).limit(limit)
    return [
        ImportRow(
            sequence=row.sequence, id=row.id, workspace=row.workspace, state=State(row.state),
            create_time=row.create_time, start_time=row.start_time, end_time=row.end_time, message=row.message,
            planned=row.planned, cancelled=row.cancelled, mode=Mode(row.mode), follow=row.follow,
            next_file=row.next_file, next_task=row.next_task,
            shown=json.loads(row.shown), sources=await _load_sources(connection, row.id),
        )
        for row in (await connection.execute(statement)).all()
    ]  # fmt: skip


async def _load_sources(connection: AsyncConnection, import_id: str) -> tuple[SourceRow, ...]:
    rows = await connection.execute(
        tables.sources.select().where(tables.sources.c.import_id == import_id).order_by(tables.sources.c.number)
    )
    of_import = tables.errors.c.import_id == import_id
    counted = sa.select(tables.errors.c.source, sa.func.count()).where(of_import).group_by(tables.errors.c.source)
    counts = {source: count for source, count in (await connection.execute(counted)).all()}  # noqa: C416 - typed
    errors: dict[int, list[Problem]] = {}
    for source in counts:
        shown = (
            tables.errors.select()
            .where(of_import & (tables.errors.c.source == source))
            .order_by(tables.errors.c.sequence)
        )
        errors[source] = [
            Problem(error.path, Reason(error.reason), error.message, error.line)
            for error in await connection.execute(shown.limit(SHOWN_ERRORS))
        ]
    return tuple(
        SourceRow(
            row.number,
            row.name,
            json.loads(row.path),
            Totals(row.lines, row.bytes, row.files),
            tuple(errors.get(row.number, ())),
            counts.get(row.number, 0),
        )
        for row in rows
    )


async def add_error(connection: AsyncConnection, import_id: str, source: int, problem: Problem) -> bool:
    """Records an error; False when it was known."""
    statement = upsert(tables.errors).values(
        import_id=import_id,
        source=source,
        path=problem.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        reason=problem.reason,
        message=problem.message.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        line=problem.line_number,
    )
    return (await connection.execute(statement.on_conflict_do_nothing())).rowcount > 0


def pack(path: str) -> str:
    """A path as JSON: it may hold bytes that are no text."""
    return json.dumps(path)
