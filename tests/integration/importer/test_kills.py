"""Kills at the worst moments: nothing twice, nothing lost, nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import grpc.aio
import psutil
import pytest

from kit.discovery import Registry
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from tests.integration.importer.support import RUNNING, SUCCEEDED, Bench, bench, create_request

Stub: TypeAlias = "importer_pb2_grpc.ImporterServiceAsyncStub"  # its name exists for type checkers only

LINES = 40_000
FILES = 4


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Files that are heavy enough to be tasks, and so splits, of their own."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(FILES):
        lines = (
            f"2024-05-01 10:{n // 600 % 60:02}:{n // 10 % 60:02} INFO file {number} line {n}" for n in range(LINES)
        )
        (folder / f"{number}.log.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", 0))
    (folder / "empty.log").touch()
    return folder


def workers_of(pid: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(pid).children() if "services.importer.worker" in " ".join(child.cmdline())
    ]


def check(done: importer_pb2.Import, it: Bench) -> None:
    assert done.state == SUCCEEDED, done
    assert (done.line_count, done.file_count, done.error_count) == (FILES * LINES, FILES + 1, 0)
    assert it.search.lines == FILES * LINES
    by_source: dict[str, int] = {}
    for run in it.search.runs:
        assert run.first_line == by_source.get(run.source_id, 0) + 1
        by_source[run.source_id] = run.first_line + run.line_count - 1
    assert sorted(by_source.values()) == [LINES] * FILES
    assert {path.name for path in (it.data / "splits" / "default").iterdir()} == set(it.search.splits)


async def test_killed_workers_are_replaced_and_their_work_is_done_again(tmp_path: Path, logs: Path) -> None:
    async with bench(tmp_path / "data", logs) as it:
        it.search.open.clear()
        made = await it.create(logs)
        await it.search.asked.wait()
        for worker in workers_of(os.getpid()):
            worker.kill()
        it.search.open.set()
        check(await it.finished(made.name), it)


async def test_workers_killed_while_they_read_are_replaced(tmp_path: Path, logs: Path) -> None:
    async with bench(tmp_path / "data", logs) as it:
        made = await it.create(logs)
        killed = False
        async for message in it.watch(made.name):
            if not killed and message.state == RUNNING and message.line_count:
                killed = True
                for worker in workers_of(os.getpid()):
                    worker.kill()
        check(message, it)


async def test_a_worker_that_does_not_react_is_killed_when_its_import_is_cancelled(tmp_path: Path, logs: Path) -> None:
    async with bench(tmp_path / "data", logs) as it:
        for worker in workers_of(os.getpid()):
            worker.suspend()
        made = await it.create(logs)
        async for message in it.watch(made.name):
            if message.progress.total_files == FILES + 1:
                break
        async with asyncio.timeout(10):
            await it.stub.CancelImport(importer_pb2.CancelImportRequest(name=made.name))
        check(await it.run(logs), it)


async def test_a_stop_in_the_middle_is_gone_on_from(tmp_path: Path, logs: Path) -> None:
    async with bench(tmp_path / "data", logs) as it:
        it.search.open.clear()
        made = await it.create(logs)
        await it.search.asked.wait()
        await it.stop()
        it.search.open.set()
        await it.start()
        check(await it.finished(made.name), it)


@contextlib.asynccontextmanager
async def importer_process(
    it: Bench, logs: Path
) -> AsyncIterator[tuple[int, importer_pb2_grpc.ImporterServiceAsyncStub]]:
    """The importer as a process of its own, on the same data."""
    environment = {
        **os.environ,
        "KIT_DATA_DIR": str(it.data),
        "KIT_IMPORT_ROOTS": str(logs),
        "KIT_TARGET_SEARCH": f"127.0.0.1:{it.port}",
        "KIT_TARGET_WORKSPACE": f"127.0.0.1:{it.port}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-m", "services.importer", env=environment)
    try:
        async with asyncio.timeout(30):
            async for instances in Registry(it.data / "run" / "registry").watch("importer"):
                mine = [one.address for one in instances if one.pid == process.pid]
                if mine:
                    break
        async with grpc.aio.insecure_channel(mine[0]) as channel:
            yield process.pid, importer_pb2_grpc.ImporterServiceStub(channel)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("taken", [False, True], ids=["before search has the split", "after search has the split"])
async def test_an_importer_killed_while_it_publishes_goes_on_where_it_was(
    tmp_path: Path, logs: Path, taken: bool
) -> None:
    async with bench(tmp_path / "data", logs) as it:
        await it.stop()
        it.search.open.clear()
        it.search.take_first = taken
        async with importer_process(it, logs) as (pid, stub):
            made = await stub.CreateImport(create_request(logs))
            await it.search.asked.wait()
            orphans = workers_of(pid)
            os.kill(pid, signal.SIGKILL)
        assert len(orphans) == 2
        gone, alive = await asyncio.to_thread(psutil.wait_procs, orphans, 10)
        assert (len(gone), alive) == (2, [])
        it.search.open.set()
        await it.start()
        check(await it.finished(made.name), it)
