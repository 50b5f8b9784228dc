"""The catalogue: which splits of a workspace are published, which took the place of others, and what is hidden.

SQLite holds the truth, and a change that was acknowledged is on disk (synchronous=FULL). Memory holds a view of each
workspace, replaced as a whole after each change: a search takes one view and is not disturbed by what comes later. A
workspace's generation grows with every change, also over its deletion, and so names what an answer was computed from.

Several processes may have the catalogue open. Each look sees whether any of them has written (`wal_header`, and then
PRAGMA data_version) and reads what has changed; each write reads what it depends on under the write lock. Used by the
event loop's thread alone.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.clock import SYSTEM, Clock
from loganalyzer.search.v1 import search_pb2
from services.search import catalog_rows as rows
from services.search.view import Published, Run, View, dropped_by
from services.search.wal_header import WalHeader

__all__ = ["Catalog", "Published", "Run", "View"]

BUSY_TIMEOUT_MS = 5_000
#: Seconds between looks for what other processes have published, while somebody waits for it.
POLL_SECONDS = 0.05

T = TypeVar("T")
_Write = Callable[[AsyncConnection, View], Any]


class Catalog:
    """Reads are from memory; writes are one transaction each and are finished even if their caller goes away."""

    def __init__(self, path: Path, *, clock: Clock = SYSTEM) -> None:
        self._path = path
        self._clock = clock
        self._engine: AsyncEngine | None = None
        self._reading: sqlite3.Connection | None = None
        self._version: tuple[int] | None = None
        self._header: WalHeader | None = None
        self._seen = b""
        self._views: dict[str, View] = {}
        self._changed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        # Writers of one process wait for each other here, in turn, and only those of others in SQLite.
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._poller: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[Any]] = set()
        #: Tells this catalogue from any other, also from one made anew in its place.
        self.identity = ""

    async def open(self) -> None:
        """Opens the database and loads it. ConfigurationError where a newer program has written it."""
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        self._engine = create_async_engine(sa.URL.create("sqlite+aiosqlite", database=str(self._path)))
        sa.event.listen(self._engine.sync_engine, "connect", _configure)
        sa.event.listen(self._engine.sync_engine, "begin", _begin)
        try:
            async with self._engine.begin() as connection:
                self.identity = await rows.prepare(connection, self._path)
            self._reading = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
            self._version = None
            self._refresh()
            self._header, self._seen = _wal_header(self._path), b""
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes it after the writes under way; a second time does nothing. What was read can still be looked at."""
        if self._writes:
            await asyncio.wait(self._writes)
        if self._poller is not None:
            self._poller.cancel()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()
        header, self._header = self._header, None
        if header is not None:
            header.close()

    async def ping(self) -> None:
        """Reads the database's header; raises where that fails."""
        assert self._reading is not None
        self._reading.execute("PRAGMA user_version").fetchone()

    def view(self, workspace: str) -> View:
        """What is published in a workspace now, by whichever process; empty for one that is not known."""
        self._refresh()
        return self._views.get(workspace, rows.NOTHING)

    def workspaces(self) -> list[str]:
        """The workspaces that hold or held splits."""
        self._refresh()
        return sorted(self._views)

    async def publish(self, workspace: str, split: search_pb2.Split) -> bool:
        """Adds a split and wakes the tails.

        False where a split of that id is published, or was and has been replaced: nothing changes then.
        """

        async def write(connection: AsyncConnection, view: View) -> bool:
            if split.id in view.moved or any(published.split.id == split.id for published in view.splits):
                return False
            row = {"workspace": workspace, "split_id": split.id, "split": split.SerializeToString()}
            await connection.execute(rows.splits.insert().values(row))
            return True

        return bool(await self._write(workspace, write))

    async def replace(self, workspace: str, old_ids: Sequence[str], new: search_pb2.Split | None) -> bool:
        """Puts `new` in the place of neighbouring splits, or takes splits away where it is None.

        False where one of the old ones is not published (any more), or `new` is: nothing changes then. ValueError where
        they are no neighbours, or where `new` does not hold their lines in the same order; lines of sources that are
        hidden may be left out. Views taken before still name the old splits: their folders shall stay for a while.
        """

        async def write(connection: AsyncConnection, view: View) -> bool:
            wanted = set(old_ids)
            places = [at for at, published in enumerate(view.splits) if published.split.id in wanted]
            if not wanted or len(places) != len(wanted):
                return False
            if new is not None and (new.id in view.moved or any(each.split.id == new.id for each in view.splits)):
                return False
            old = [view.splits[at] for at in places]
            dropped = frozenset[str]() if new is None else dropped_by(view, places, new)
            moved_at = self._clock.wall()
            for published in old:
                row = {
                    "workspace": workspace,
                    "split_id": published.split.id,
                    "seq": published.seq,
                    "split": published.split.SerializeToString(),
                    "generation": view.generation + 1,
                    "moved_at": moved_at,
                    "into_id": None if new is None else new.id,
                    "dropped": " ".join(sorted(dropped)),
                }
                await connection.execute(rows.moved.insert().values(row))
                await connection.execute(rows.splits.delete().where(rows.splits.c.seq == published.seq))
            if new is not None:
                row = {"workspace": workspace, "split_id": new.id, "split": new.SerializeToString(), "seq": old[0].seq}
                await connection.execute(rows.splits.insert().values(row))
            return True

        return bool(await self._write(workspace, write))

    async def hide_source(self, workspace: str, source_id: str) -> int:
        """Hides the lines of a source from every search from now on, and says how many there were."""

        async def write(connection: AsyncConnection, view: View) -> int:
            lines = view.lines_of(source_id)
            if lines:
                await connection.execute(rows.hidden.insert().values(workspace=workspace, source_id=source_id))
            return lines

        return int(await self._write(workspace, write))

    async def unhide(self, workspace: str, source_id: str) -> bool:
        """Forgets that a source is hidden, once no split holds its lines. False where one does."""

        async def write(connection: AsyncConnection, view: View) -> bool:
            held = any(run.source_id == source_id for each in view.splits for run in each.split.sources)
            if held or source_id not in view.hidden:
                return False
            mine = (rows.hidden.c.workspace == workspace) & (rows.hidden.c.source_id == source_id)
            await connection.execute(rows.hidden.delete().where(mine))
            return True

        return bool(await self._write(workspace, write))

    async def delete(self, workspace: str) -> int:
        """Removes every split of a workspace from the catalogue, and says how many there were."""

        async def write(connection: AsyncConnection, view: View) -> int:
            if not view.splits and not view.moves:
                return 0
            for table in (rows.splits, rows.moved, rows.hidden):
                await connection.execute(table.delete().where(table.c.workspace == workspace))
            return 1 + len(view.splits)

        return max(0, int(await self._write(workspace, write)) - 1)

    async def changed(self, workspace: str, view: View) -> View:
        """Waits until the workspace is not as in `view` any more, and gives what it is then."""
        while (now := self.view(workspace)).generation == view.generation:
            with self._polling():
                await self._changed[workspace].wait()
        return now

    def _refresh(self) -> None:
        """Reads what has changed since the last look. Nothing once it is closed."""
        if self._reading is None:
            return
        # Before the rest is read: what is committed meanwhile is read again, rather than not at all.
        header = b"" if self._header is None else self._header.read()
        if header and header == self._seen:
            return
        version = self._reading.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            self._seen = header
            return
        self._reading.execute("BEGIN")
        try:
            changed = rows.changes(self._reading, self._views)
        finally:
            self._reading.execute("COMMIT")
        self._version, self._seen = version, header
        self._views.update(changed)
        for workspace in changed:
            # Those who wait hold the old event; those who come later get a new one.
            self._changed.pop(workspace, asyncio.Event()).set()

    async def _write(self, workspace: str, write: _Write) -> Any:
        """Runs a write to its end, so that memory follows the database even when the caller is cancelled.

        A write whose answer is falsy has changed nothing.
        """

        async def transaction() -> Any:
            assert self._engine is not None
            async with self._lock, self._engine.begin() as connection:
                # Under the write lock: no other process changes anything until this is committed.
                view = self.view(workspace)
                answer = await write(connection, view)
                if answer:
                    await connection.execute(rows.grown(workspace, view.generation + 1))
            self._refresh()
            return answer

        task = asyncio.create_task(transaction())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    @contextmanager
    def _polling(self) -> Iterator[None]:
        self._waiting += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            self._waiting -= 1

    async def _poll(self) -> None:
        while self._waiting:
            await self._clock.sleep(POLL_SECONDS)
            self._refresh()


def _wal_header(path: Path) -> WalHeader | None:
    """None where it cannot be read: then SQLite is asked each time."""
    try:
        return WalHeader(path)
    except (OSError, ValueError):
        return None


def _configure(connection: Any, _record: object) -> None:
    # Transactions begin where `_begin` says so, and not where sqlite3 thinks.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and then writes is refused where another process has written in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
