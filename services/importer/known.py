"""What each workspace has of files on disk, and the texts that imports have read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from services.importer import rows, tables
from services.importer.database import Database, whole
from services.importer.identity import Known
from services.importer.records import FileRow

# Values in one statement: SQLite takes some thousands.
_MANY = 500


class KnownStore:
    """Files that a workspace has lines of, and texts of imports."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @whole
    async def find(
        self, workspace: str, *, paths: Sequence[str], heads: Sequence[str], inodes: Sequence[int]
    ) -> list[Known]:
        """What is known under one of these paths, heads or inodes."""
        columns = tables.known.c
        wanted: list[tuple[Any, list[str]]] = [
            (columns.path, [rows.pack(path) for path in paths]),
            (columns.head, list(heads)),
            (columns.inode, [str(inode) for inode in inodes]),
        ]
        found: dict[int, Known] = {}
        async with self.database.begin() as connection:
            for column, values in wanted:
                for at in range(0, len(values), _MANY):
                    condition = (columns.workspace == workspace) & column.in_(values[at : at + _MANY])
                    for row in await connection.execute(tables.known.select().where(condition)):
                        if row.id not in found:
                            found[row.id] = _known(row)
        return list(found.values())

    @whole
    async def remember(self, workspace: str, files: Sequence[Known]) -> None:
        """Records files as they are known now; those with id 0 are new. What stood at their places is elsewhere."""
        columns = tables.known.c
        by_path = {rows.pack(file.path): file for file in files}
        values = await asyncio.to_thread(lambda: [(file.id, _values(workspace, file)) for file in files])
        async with self.database.begin() as connection:
            ids: set[int] = set()
            elsewhere: list[int] = []
            gone: list[int] = []
            for at in range(0, len(files), _MANY):
                wanted = [file.id for file in files[at : at + _MANY] if file.id]
                ids |= set((await connection.execute(sa.select(columns.id).where(columns.id.in_(wanted)))).scalars())
                paths = list(by_path)[at : at + _MANY]
                here = (columns.workspace == workspace) & columns.path.in_(paths)
                for row in await connection.execute(tables.known.select().where(here)):
                    file = by_path[row.path]
                    if row.id != file.id:
                        # The same content, read anew in whole: what was known of it is of no use any more.
                        (gone if _known(row).content == file.content else elsewhere).append(row.id)
            for numbers, change in (
                (gone, tables.known.delete()),
                (elsewhere, tables.known.update().values(path=None)),
            ):
                for at in range(0, len(numbers), _MANY):
                    await connection.execute(change.where(columns.id.in_(numbers[at : at + _MANY])))
            old = [{**one, "row": id_} for id_, one in values if id_ in ids]
            if old:
                changed: dict[str, Any] = {name: sa.bindparam(name) for name in old[0] if name != "row"}
                await connection.execute(
                    tables.known.update().where(columns.id == sa.bindparam("row")).values(**changed), old
                )
            new = [one for id_, one in values if id_ not in ids]
            if new:
                await connection.execute(tables.known.insert(), new)

    @whole
    async def forget(self, ids: Iterable[int]) -> None:
        """Forgets files whose lines are deleted."""
        async with self.database.begin() as connection:
            await connection.execute(tables.known.delete().where(tables.known.c.id.in_(list(ids))))

    @whole
    async def add_texts(self, import_id: str, texts: Iterable[FileRow]) -> None:
        """Records texts of an import; later facts of the same source replace the earlier."""
        values = [
            {
                "import_id": import_id, "source_id": text.source_id, "file": text.file,
                "name": str(text.facts.get("name", "")).encode("utf-8", "replace").decode(),
                "facts": json.dumps(dict(text.facts)),
            }
            for text in texts
        ]  # fmt: skip
        if not values:
            return
        statement = upsert(tables.texts)
        kept = statement.on_conflict_do_update(
            index_elements=["import_id", "source_id"],
            set_={"facts": statement.excluded.facts, "file": statement.excluded.file},
        )
        async with self.database.begin() as connection:
            await connection.execute(kept, values)

    @whole
    async def texts_of(self, import_id: str, files: Sequence[int]) -> dict[str, Mapping[str, Any]]:
        """Facts by source id, of texts in these files on disk."""
        found: dict[str, Mapping[str, Any]] = {}
        columns = tables.texts.c
        async with self.database.begin() as connection:
            for at in range(0, len(files), _MANY):
                condition = (columns.import_id == import_id) & columns.file.in_(files[at : at + _MANY])
                for row in await connection.execute(tables.texts.select().where(condition)):
                    found[row.source_id] = json.loads(row.facts)
        return found

    @whole
    async def texts(self, import_id: str, size: int, after: tuple[str, str] | None) -> list[FileRow]:
        """A page of texts in the order of their names, behind (name, source id)."""
        columns = tables.texts.c
        condition = columns.import_id == import_id
        if after is not None:
            condition &= sa.tuple_(columns.name, columns.source_id) > sa.tuple_(*map(sa.literal, after))
        statement = tables.texts.select().where(condition).order_by(columns.name, columns.source_id).limit(size)
        async with self.database.begin() as connection:
            return [
                FileRow(row.source_id, row.file, json.loads(row.facts)) for row in await connection.execute(statement)
            ]


def _known(row: Any) -> Known:
    path = "" if row.path is None else json.loads(row.path)
    return Known.from_facts(row.id, path, row.device, int(row.inode), row.head, json.loads(row.facts))


def _values(workspace: str, file: Known) -> dict[str, Any]:
    return {
        "workspace": workspace,
        "path": rows.pack(file.path),
        "device": file.device,
        "inode": str(file.inode),
        "head": file.head,
        "facts": json.dumps(file.to_facts()),
    }
