"""The catalogue: which splits of a workspace are published.

SQLite holds the truth, and a publication that was acknowledged is on disk (synchronous=FULL). Memory holds a view of
each workspace, replaced as a whole after each commit: a search takes one view and is not disturbed by what comes later.
A workspace's generation grows with every change, also over its deletion, and so names what an answer was computed from.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.errors import ConfigurationError
from loganalyzer.search.v1 import search_pb2

__all__ = ["Catalog", "Published", "Run", "View"]

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5_000

_metadata = sa.MetaData()
_splits = sa.Table(
    "splits",
    _metadata,
    # In order of publication; never used twice.
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("split_id", sa.String(128), nullable=False),
    # The Split message.
    sa.Column("split", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("workspace", "split_id"),
    sqlite_autoincrement=True,
)
_generations = sa.Table(
    "generations",
    _metadata,
    sa.Column("workspace", sa.String(63), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
)
_identity = sa.Table("identity", _metadata, sa.Column("id", sa.String(32), primary_key=True))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Published:
    """A split in the catalogue. `seq` orders splits by publication."""

    seq: int
    workspace: str
    split: search_pb2.Split


@dataclass(frozen=True, slots=True)
class Run:
    """Lines [first_line, first_line + line_count) of a source are rows first_row and on of a split."""

    first_line: int
    line_count: int
    first_row: int
    published: Published


@dataclass(frozen=True)
class View:
    """The splits of a workspace at one moment, oldest publication first."""

    generation: int
    splits: tuple[Published, ...] = field(default=())

    @cached_property
    def _runs(self) -> dict[str, list[Run]]:
        found: defaultdict[str, list[Run]] = defaultdict(list)
        for published in self.splits:
            row = 0
            for run in published.split.sources:
                if run.line_count:
                    found[run.source_id].append(Run(run.first_line, run.line_count, row, published))
                row += run.line_count
        for runs in found.values():
            runs.sort(key=lambda run: run.first_line)
        return dict(found)

    def run_of(self, source_id: str, line: int) -> Run | None:
        """The run that holds a line of a source."""
        runs = self._runs.get(source_id, [])
        at = bisect_right(runs, line, key=lambda run: run.first_line) - 1
        if at < 0 or line >= runs[at].first_line + runs[at].line_count:
            return None
        return runs[at]


class Catalog:
    """Reads are from memory; writes are one transaction each and are finished even if their caller goes away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: AsyncEngine | None = None
        self._views: dict[str, View] = {}
        self._lock = asyncio.Lock()
        self._changed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._writes: set[asyncio.Task[Any]] = set()
        #: Tells this catalogue from any other, also from one made anew in its place.
        self.identity = ""

    async def open(self) -> None:
        """Opens the database and loads it. ConfigurationError where a newer program has written it."""
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        self._engine = create_async_engine(sa.URL.create("sqlite+aiosqlite", database=str(self._path)))
        sa.event.listen(self._engine.sync_engine, "connect", _configure)
        try:
            async with self._engine.begin() as connection:
                self.identity = await _prepare(connection, self._path)
                self._views = await _load(connection)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes it after the writes under way; a second time does nothing."""
        if self._writes:
            await asyncio.wait(self._writes)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def ping(self) -> None:
        """Reads the database's header; raises where that fails."""
        assert self._engine is not None
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql("PRAGMA user_version")

    def view(self, workspace: str) -> View:
        """What is published in a workspace; empty for one that is not known."""
        return self._views.get(workspace, View(0))

    async def publish(self, workspace: str, split: search_pb2.Split) -> bool:
        """Adds a split and wakes the tails. False where a split of that id is published: nothing changes then."""
        return await self._finished(self._publish(workspace, split))

    async def delete(self, workspace: str) -> int:
        """Removes every split of a workspace from the catalogue, and says how many there were."""
        return await self._finished(self._delete(workspace))

    async def changed(self, workspace: str, view: View) -> View:
        """Waits until the workspace is not as in `view` any more, and gives what it is then."""
        while (now := self.view(workspace)).generation == view.generation:
            await self._changed[workspace].wait()
        return now

    async def _publish(self, workspace: str, split: search_pb2.Split) -> bool:
        assert self._engine is not None
        async with self._lock:
            before = self.view(workspace)
            if any(published.split.id == split.id for published in before.splits):
                return False
            async with self._engine.begin() as connection:
                row = {"workspace": workspace, "split_id": split.id, "split": split.SerializeToString()}
                result = await connection.execute(_splits.insert().values(row))
                await connection.execute(_grown(workspace, before.generation + 1))
            assert result.inserted_primary_key is not None
            published = Published(result.inserted_primary_key[0], workspace, split)
            self._replace(workspace, View(before.generation + 1, (*before.splits, published)))
            return True

    async def _delete(self, workspace: str) -> int:
        assert self._engine is not None
        async with self._lock:
            before = self.view(workspace)
            if not before.splits:
                return 0
            async with self._engine.begin() as connection:
                await connection.execute(_splits.delete().where(_splits.c.workspace == workspace))
                await connection.execute(_grown(workspace, before.generation + 1))
            self._replace(workspace, View(before.generation + 1))
            return len(before.splits)

    def _replace(self, workspace: str, view: View) -> None:
        self._views[workspace] = view
        # Those who wait hold the old event; those who come later get a new one.
        self._changed.pop(workspace, asyncio.Event()).set()

    async def _finished(self, write: Coroutine[Any, Any, T]) -> T:
        """Runs a write to its end, so that memory follows the database even when the caller is cancelled."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)


async def _prepare(connection: AsyncConnection, path: Path) -> str:
    """Makes what is missing, and gives the identity."""
    version = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
    if version > SCHEMA_VERSION:
        raise ConfigurationError(f"{path.name} has format {version}, this program reads up to {SCHEMA_VERSION}")
    await connection.run_sync(_metadata.create_all)
    await connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
    identity = (await connection.execute(sa.select(_identity.c.id))).scalar()
    if identity is None:
        identity = secrets.token_hex(8)
        await connection.execute(_identity.insert().values(id=identity))
    return str(identity)


async def _load(connection: AsyncConnection) -> dict[str, View]:
    splits: defaultdict[str, list[Published]] = defaultdict(list)
    for seq, workspace, _, packed in await connection.execute(sa.select(_splits).order_by(_splits.c.seq)):
        splits[workspace].append(Published(seq, workspace, search_pb2.Split.FromString(packed)))
    rows = await connection.execute(sa.select(_generations))
    return {workspace: View(generation, tuple(splits[workspace])) for workspace, generation in rows}


def _grown(workspace: str, generation: int) -> sa.TextClause:
    change = sa.text("INSERT OR REPLACE INTO generations (workspace, generation) VALUES (:workspace, :generation)")
    return change.bindparams(workspace=workspace, generation=generation)


def _configure(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
