"""Pauses, restarts, turns among imports, broken uploads, and a database of an older version."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sqlite3
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import grpc.aio
import pytest
from google.api import httpbody_pb2

from kit.errors import details_of
from loganalyzer.importer.v1 import importer_pb2
from tests.integration.importer.support import (
    CANCELLED,
    PAUSED,
    RUNNING,
    SUCCEEDED,
    WORKSPACE,
    Bench,
    bench,
    found,
    text,
)

FILES, LINES = 6, 40_000


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Files that are heavy enough to be tasks, and so splits, of their own."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.log.gz").write_bytes(gzip.compress(text(0, LINES, str(number)), 0))
    return folder


@pytest.fixture
async def it(tmp_path: Path, logs: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "data", logs) as one:
        yield one


async def pause(it: Bench, name: str) -> importer_pb2.Import:
    return await it.stub.PauseImport(importer_pb2.PauseImportRequest(name=name))


async def resume(it: Bench, name: str) -> importer_pb2.Import:
    return await it.stub.ResumeImport(importer_pb2.ResumeImportRequest(name=name))


async def get(it: Bench, name: str) -> importer_pb2.Import:
    return await it.stub.GetImport(importer_pb2.GetImportRequest(name=name))


async def begun(it: Bench, logs: Path) -> str:
    """An import of which something is published."""
    made = await it.create(logs)
    await it.search.when(lambda: bool(it.search.splits))
    return made.name


async def test_a_pause_keeps_what_is_published_also_over_a_restart(it: Bench, logs: Path) -> None:
    name = await begun(it, logs)
    paused = await pause(it, name)
    assert paused.state == PAUSED
    assert 0 < it.search.lines == paused.line_count < FILES * LINES
    assert await pause(it, name) == paused
    await it.stop()
    await it.start()
    kept = await get(it, name)
    assert (kept.state, kept.line_count, kept.progress.total_files) == (PAUSED, paused.line_count, FILES)
    assert it.search.lines == paused.line_count
    assert (await resume(it, name)).state != PAUSED
    done = await it.finished(name)
    assert (done.state, done.line_count, done.file_count) == (SUCCEEDED, FILES * LINES, FILES)
    assert found(it) == sorted(line for number in range(FILES) for line in text(0, LINES, str(number)).splitlines())


async def test_a_watcher_sees_the_pause_and_the_end(it: Bench, logs: Path) -> None:
    made = await it.create(logs)
    seen: list[int] = []
    async for message in it.watch(made.name):
        if not seen or seen[-1] != message.state:
            seen.append(message.state)
            if message.state == RUNNING:
                await pause(it, made.name)
            elif message.state == PAUSED:
                await it.stub.CancelImport(importer_pb2.CancelImportRequest(name=made.name))
    assert seen[-2:] == [PAUSED, CANCELLED]


async def test_what_has_ended_can_be_neither_paused_nor_resumed(it: Bench, logs: Path) -> None:
    done = await it.run(logs / "0.log.gz")
    for call in (pause(it, done.name), resume(it, done.name)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert details_of(refused.value).reason == "IMPORT_ENDED"
    assert await get(it, done.name) == done


async def test_resuming_what_runs_changes_nothing(it: Bench, logs: Path) -> None:
    name = await begun(it, logs)
    assert (await resume(it, name)).state == RUNNING
    assert (await it.finished(name)).line_count == FILES * LINES


async def test_progress_never_falls_not_even_by_a_restart(it: Bench, logs: Path) -> None:
    name = await begun(it, logs)
    shown: list[tuple[int, int, int, int]] = []

    def note(message: importer_pb2.Import) -> None:
        progress = message.progress
        if message.state == RUNNING:
            shown.append((message.line_count, message.byte_count, progress.processed_bytes, progress.processed_files))

    watch = it.watch(name)
    async for message in watch:
        note(message)
        if message.line_count:
            break
    await it.stop()
    await it.start()
    note(await get(it, name))
    async for message in it.watch(name):
        note(message)
    assert message.line_count == FILES * LINES
    for before, after in pairwise(shown):
        assert all(low <= high for low, high in zip(before, after, strict=True)), (before, after)
    assert any(lines for lines, *_ in shown)


async def test_a_small_import_does_not_wait_for_large_ones(it: Bench, logs: Path) -> None:
    (logs / "small.log").write_bytes(text(0, 10))
    it.search.open.clear()
    for first in (0, 3):
        made = await it.create(*(logs / f"{number}.log.gz" for number in range(first, first + 3)))
        it.search.held.append(made.name)
    # Every worker is busy, and waits for search.
    await it.search.asked.wait()
    assert (await it.run(logs / "small.log")).line_count == 10
    it.search.open.set()
    for name in it.search.held:
        assert (await it.finished(name)).line_count == 3 * LINES


async def test_an_upload_that_breaks_off_leaves_nothing(it: Bench) -> None:
    async def pieces() -> AsyncIterator[importer_pb2.UploadImportRequest]:
        yield importer_pb2.UploadImportRequest(parent=WORKSPACE, source_name="mine.log")
        yield importer_pb2.UploadImportRequest(content=httpbody_pb2.HttpBody(data=text(0, 1000)))
        sent.set()
        await asyncio.Event().wait()

    sent = asyncio.Event()
    call = it.stub.UploadImport(pieces())
    await sent.wait()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    await it.stop()
    assert not list((it.data / "importer" / "spool").iterdir())
    await it.start()
    listed = await it.stub.ListImports(importer_pb2.ListImportsRequest(parent=WORKSPACE))
    assert not listed.imports


async def test_the_same_upload_is_imported_each_time(it: Bench) -> None:
    for _ in range(2):
        made = await it.stub.UploadImport(
            iter(
                [
                    importer_pb2.UploadImportRequest(
                        parent=WORKSPACE, source_name="mine.log", content=httpbody_pb2.HttpBody(data=text(0, 100))
                    )
                ]
            )
        )
        assert (await it.finished(made.name)).line_count == 100
    assert it.search.lines == 200


#: The tables as version 1 made them, with an import that was planned and not begun.
VERSION_1 = """
CREATE TABLE imports (sequence INTEGER NOT NULL, id VARCHAR(16) NOT NULL, workspace VARCHAR(63) NOT NULL,
    state INTEGER NOT NULL, create_time BIGINT NOT NULL, start_time BIGINT, end_time BIGINT, message TEXT NOT NULL,
    planned BOOLEAN NOT NULL, cancelled BOOLEAN NOT NULL, PRIMARY KEY (sequence), UNIQUE (id));
CREATE INDEX imports_of_workspace ON imports (workspace, sequence);
CREATE TABLE sources (import_id VARCHAR(16) NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,
    lines BIGINT NOT NULL, bytes BIGINT NOT NULL, files BIGINT NOT NULL, PRIMARY KEY (import_id, number));
CREATE TABLE files (import_id VARCHAR(16) NOT NULL, number INTEGER NOT NULL, source INTEGER NOT NULL,
    name TEXT NOT NULL, path TEXT NOT NULL, size BIGINT NOT NULL, task INTEGER NOT NULL,
    PRIMARY KEY (import_id, number));
CREATE TABLE done_tasks (import_id VARCHAR(16) NOT NULL, number INTEGER NOT NULL, whole_files TEXT NOT NULL,
    PRIMARY KEY (import_id, number));
CREATE TABLE splits (id VARCHAR(64) NOT NULL, import_id VARCHAR(16) NOT NULL, task INTEGER NOT NULL,
    ordinal INTEGER NOT NULL, message BLOB NOT NULL, cursor TEXT, published BOOLEAN NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_splits_import_id ON splits (import_id);
CREATE TABLE errors (sequence INTEGER NOT NULL, import_id VARCHAR(16) NOT NULL, source INTEGER NOT NULL,
    path TEXT NOT NULL, reason INTEGER NOT NULL, message TEXT NOT NULL, line BIGINT NOT NULL,
    PRIMARY KEY (sequence), UNIQUE (import_id, path, reason));
INSERT INTO imports VALUES (1, 'old', 'default', 4, 1, 1, 2, '', 1, 0), (2, 'abcd', 'default', 2, 3, 4, NULL, '', 1, 0);
INSERT INTO sources VALUES ('old', 0, '/gone', '"/gone"', 7, 70, 1);
PRAGMA user_version = 1;
"""


async def test_a_database_of_version_1_is_taken_over_with_what_runs(it: Bench, logs: Path) -> None:
    await it.stop()
    path = it.data / "importer" / "importer.db"
    for old in path.parent.glob("importer.db*"):
        old.unlink()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(VERSION_1)
        log = logs / "0.log.gz"
        database.execute("INSERT INTO sources VALUES ('abcd', 0, ?, ?, 0, 0, 0)", (str(log), f'"{log}"'))
        row = ("abcd", 0, 0, f'"{log}"', f'"{log}"', log.stat().st_size, 0)
        database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        database.commit()
    await it.start()
    ended = await get(it, f"{WORKSPACE}/imports/old")
    assert (ended.state, ended.line_count, ended.mode) == (SUCCEEDED, 7, importer_pb2.Import.FULL)
    done = await it.finished(f"{WORKSPACE}/imports/abcd")
    assert (done.state, done.line_count) == (SUCCEEDED, LINES)
    assert (await it.run(log)).line_count == 0  # it is known now
    await it.stop()
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
    await it.start()
