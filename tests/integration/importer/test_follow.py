"""Imports that go on: what is written is found soon, through rotations and restarts, once and whole."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
    sources,
    text,
)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "app.log").write_bytes(text(0, 100))
    return folder


@pytest.fixture
async def it(tmp_path: Path, logs: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "data", logs) as one:
        yield one


def append(log: Path, content: bytes) -> None:
    with log.open("ab") as file:
        file.write(content)


async def waits(it: Bench, name: str) -> importer_pb2.Import:
    """Returns when the import waits for new data."""
    async with asyncio.timeout(30):
        async for message in it.watch(name):
            if message.error_message == "Waits for new data.":
                assert message.state == RUNNING
                return message
    raise AssertionError("it has ended")


async def has(it: Bench, lines: int) -> None:
    await it.search.when(lambda: it.search.lines >= lines)
    assert it.search.lines == lines


async def cancel(it: Bench, name: str) -> importer_pb2.Import:
    return await it.stub.CancelImport(importer_pb2.CancelImportRequest(name=name))


async def test_what_is_appended_is_found(it: Bench, logs: Path) -> None:
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    for turn in range(3):
        append(logs / "app.log", text(100 + turn, 101 + turn))
        await has(it, 101 + turn)
    shown = await waits(it, made.name)
    assert (shown.line_count, shown.file_count) == (103, 1)
    done = await cancel(it, made.name)
    assert (done.state, done.line_count, done.file_count) == (CANCELLED, 103, 1)
    assert found(it) == sorted(text(0, 103).splitlines())
    assert len(sources(it)) == 1


async def test_new_files_are_read_and_empty_or_missing_ones_do_no_harm(it: Bench, logs: Path) -> None:
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    (logs / "empty.log").touch()
    (logs / "deep" / "er").mkdir(parents=True)
    (logs / "deep" / "er" / "b.log").write_bytes(text(0, 10, "b"))
    await has(it, 110)
    (logs / "app.log").unlink()
    shutil.rmtree(logs / "deep")
    (logs / "c.log").write_bytes(text(0, 10, "c"))
    await has(it, 120)
    done = await cancel(it, made.name)
    assert (done.line_count, done.file_count, done.error_count) == (120, 3, 0)


@pytest.mark.parametrize("copy", [False, True], ids=["renamed", "copied and truncated"])
async def test_a_rotation_loses_nothing_and_repeats_nothing(it: Bench, logs: Path, copy: bool) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, 2000))
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    append(log, text(2000, 2010))
    if copy:
        shutil.copy(log, logs / "app.log.1")
        log.write_bytes(text(5000, 5001))
    else:
        log.rename(logs / "app.log.1")
        log.write_bytes(text(5000, 5001))
    await has(it, 2011)
    append(log, text(5001, 5010))
    await has(it, 2020)
    await waits(it, made.name)
    assert found(it) == sorted((text(0, 2010) + text(5000, 5010)).splitlines())
    assert len(sources(it)) == 2


def gzipped(log: Path, *, keep: bool) -> None:
    log.with_name(f"{log.name}.gz").write_bytes(gzip.compress(log.read_bytes()))
    if not keep:
        log.unlink()


@pytest.mark.parametrize("lines", [4, 2000])
async def test_rotations_of_every_kind_in_a_row_repeat_nothing(it: Bench, logs: Path, lines: int) -> None:
    log = logs / "app.log"
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    written, kept = 100, text(0, 100)
    for turn in range(5):
        append(log, text(written, written + lines))
        kept += text(written, written + lines)
        written += lines
        await has(it, written)
        await waits(it, made.name)
        aside = logs / f"app.log.{turn + 1}"
        if turn in (0, 3):
            shutil.copy(log, aside)
            log.write_bytes(b"")
        else:
            log.rename(aside)
            log.touch()
        if turn in (1, 2, 3):
            gzipped(aside, keep=turn == 2)
    gzipped(logs / "app.log.1", keep=False)
    append(log, text(written, written + 5))
    (logs / "z.log.gz").write_bytes(gzip.compress(text(0, 1, "z")))  # what is packed is looked at again last
    await has(it, written + 6)
    await waits(it, made.name)
    assert found(it) == sorted((kept + text(written, written + 5) + text(0, 1, "z")).splitlines())


@pytest.mark.parametrize("lines", [4, 2000])
async def test_a_file_that_is_being_copied_away_is_not_read_again(it: Bench, logs: Path, lines: int) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, lines))
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    shutil.copy(log, logs / "app.log.1")
    append(log, text(lines, lines + 1))  # the copy is seen while the original is there
    await has(it, lines + 1)
    await waits(it, made.name)
    (logs / "app.log.1").write_bytes(log.read_bytes())
    log.write_bytes(b"")
    (logs / "z.log.gz").write_bytes(gzip.compress(text(0, 1, "z")))
    await has(it, lines + 2)
    await waits(it, made.name)
    assert found(it) == sorted((text(0, lines + 1) + text(0, 1, "z")).splitlines())


async def test_the_end_of_a_followed_file_is_read_after_its_rotation(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    made = await it.create(log, follow=True)
    await waits(it, made.name)
    append(log, text(100, 110))
    log.rename(logs / "app.log.1")
    log.write_bytes(text(500, 510))
    await has(it, 120)


async def test_totals_hold_what_was_done(it: Bench, logs: Path) -> None:
    made = await it.create(logs, follow=True)
    for lines in (101, 102, 103):
        await waits(it, made.name)
        append(logs / "app.log", text(lines - 1, lines))
        await has(it, lines)
        seen = await it.stub.GetImport(importer_pb2.GetImportRequest(name=made.name))
        assert seen.progress.processed_files <= seen.progress.total_files == 1
    await waits(it, made.name)
    done = await cancel(it, made.name)
    assert (done.progress.processed_files, done.progress.total_files, done.file_count) == (1, 1, 1)


async def test_a_begun_line_is_held_back_until_it_is_whole(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    line = text(100, 101)
    append(log, line[:30])
    append(logs / "b.log", text(0, 1, "b"))
    await has(it, 101)
    append(log, line[30:] + line[:20])
    await has(it, 102)
    await waits(it, made.name)
    await cancel(it, made.name)
    done = await it.run(logs)
    assert (done.state, done.line_count) == (SUCCEEDED, 1)
    assert found(it) == sorted(log.read_bytes().splitlines() + text(0, 1, "b").splitlines())


async def test_it_goes_on_after_a_restart_and_a_pause(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    append(log, text(100, 110))
    await has(it, 110)
    await waits(it, made.name)
    await it.stop()
    append(log, text(110, 120))
    await it.start()
    restored = await it.stub.GetImport(importer_pb2.GetImportRequest(name=made.name))
    assert restored.line_count >= 110
    await has(it, 120)
    await waits(it, made.name)
    paused = await it.stub.PauseImport(importer_pb2.PauseImportRequest(name=made.name))
    assert (paused.state, paused.line_count) == (PAUSED, 120)
    append(log, text(120, 130))
    await it.stop()
    await it.start()
    await it.stub.ResumeImport(importer_pb2.ResumeImportRequest(name=made.name))
    await has(it, 130)
    await waits(it, made.name)
    done = await cancel(it, made.name)
    assert (done.line_count, done.file_count) == (130, 1)
    assert found(it) == sorted(text(0, 130).splitlines())


async def test_nothing_of_it_grows_with_its_age(it: Bench, logs: Path) -> None:
    import sqlite3

    made = await it.create(logs, follow=True)
    for turn in range(4):
        await waits(it, made.name)
        append(logs / "app.log", text(100 + turn, 101 + turn))
        await has(it, 101 + turn)
    await waits(it, made.name)
    with contextlib.closing(sqlite3.connect(it.data / "importer" / "importer.db")) as database:
        for table in ("files", "splits", "done_tasks"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        assert database.execute("SELECT count(*) FROM known").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM texts").fetchone() == (1,)


async def test_lines_are_told_as_they_are_read(it: Bench, logs: Path) -> None:
    request = importer_pb2.TailParsedRequest(parent=WORKSPACE)
    made = await it.create(logs, follow=True)
    await waits(it, made.name)
    call = it.stub.TailParsed(request)
    stream = aiter(call)
    first = await anext(stream)
    assert not first.lines
    append(logs / "app.log", text(100, 103))
    async with asyncio.timeout(10):
        told = await anext(stream)
    assert [line + b"\n" for line in told.lines] == text(100, 103).splitlines(keepends=True)
    assert (told.first_line, len(told.times_us), told.gap) == (101, 3, False)
    call.cancel()
