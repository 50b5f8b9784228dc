"""Index care as a real process: killed at any step, and never outliving the search process."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import duration_pb2

import kit
from kit.errors import Unavailable
from kit.testing import InProcess, VirtualClock
from loganalyzer.search.v1 import search_pb2
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.search.care import locks
from services.search.care.carer import Carer
from services.search.care.keeping import Keeping
from services.search.care.policy import Keep
from services.search.care.process import CareProcess
from services.search.care.repairs import check, repair
from services.search.catalog import Catalog
from services.search.config import Config
from services.search.index import split_path
from services.search.library import Library
from services.search.query import parse
from services.search.seam import Order, Plan
from services.search.split_index import SplitIndex
from tests.integration.search.care_killed import EAGER, finish
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, lines, write_split
from tests.unit.search.versions import as_version_1

#: Steps of jobs, and how often each is come to before the process is killed; a "frame" is within one.
STEPS = [("grams", 1), ("noted", 2), ("built", 1), ("built", 2), ("replaced", 1), ("replaced", 2), ("unhidden", 1)]
STEPS += [("deleted", 1), ("removing", 1), ("removed", 2), *(("frame", times) for times in (1, 2, 4, 6, 8))]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Catalog]:
    catalog = Catalog(folder / "catalog.db")
    await catalog.open()
    yield catalog
    await catalog.close()


async def found(catalog: Catalog, splits: Path) -> list[tuple[str, str]]:
    """Id and text of each line, in order, counted by a page and by an index alike."""
    with ThreadPoolExecutor(1) as executor:
        index = SplitIndex(catalog, Library(splits, open_splits=8, frames=8), executor)
        plan = Plan(query=parse("of"), order=Order.NEWEST, limit=100_000, count=True)
        answer = await index.answer(index.snapshot(WORKSPACE), plan)
    assert answer.done.total == len(answer.lines)
    return [(f"{line.source_id}-{line.number}", line.raw.decode()) for line in answer.lines]


async def publish_all_kinds(catalog: Catalog, splits: Path) -> None:
    """Splits that give each kind of work: to join, to bring up, with a deleted source, and too old to keep."""
    now = time.time_ns() // 1000 - 60_000_000
    numbers = range(1000)

    async def publish(name: str, *sources: Source, old: bool = False) -> None:
        split = write_split(splits, sources, split_id=name)
        await catalog.publish(WORKSPACE, as_version_1(splits, split) if old else split)

    for name in ("s1", "s2"):
        await publish(name, Source(lines(*(f"{number} of {name}" for number in numbers), start=now), name))
    await publish("s3", Source(lines(*(f"{number} of s3" for number in numbers), start=now), "s3"), old=True)
    await publish(
        "s4",
        Source(lines(*(f"{number} of s4" for number in numbers), start=now), "s4"),
        Source(lines("a secret of s4", start=now), "hidden"),
    )
    await publish("s5", Source([Row(b"long ago of s5", EPOCH)], "s5"))
    await catalog.hide_source(WORKSPACE, "hidden")


@pytest.mark.parametrize(("step", "times"), STEPS)
async def test_wherever_it_is_killed_the_old_or_the_new_is_there(tmp_path: Path, step: str, times: int) -> None:
    splits = tmp_path / "splits"
    async with opened(tmp_path) as catalog:
        await publish_all_kinds(catalog, splits)
        before = [line for line in await found(catalog, splits) if not line[1].startswith("long ago")]
        assert len(before) == 4000
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.search.care_killed", str(tmp_path), step, str(times)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert await process.wait() == -signal.SIGKILL
    async with opened(tmp_path) as catalog:
        after = await found(catalog, splits)
        assert [line for line in after if not line[1].startswith("long ago")] == before
        # The next one finds the work as it was left, and finishes it.
        clock = VirtualClock(wall=time.time() + 7200)
        await finish(Carer(catalog, splits, tmp_path / locks.WORK, clock=clock, limits=EAGER), clock)
        after = await found(catalog, splits)
        assert [line for line in after if not line[1].startswith("long ago")] == before
        view = catalog.view(WORKSPACE)
        assert view.hidden == frozenset()
        names = sorted(path.name for path in (splits / WORKSPACE).iterdir())
        assert names == sorted(published.split.id for published in view.splits)


def config_in(folder: Path) -> Config:
    return Config(database=folder / "catalog.db", splits=folder / "splits")


async def changed(catalog: Catalog, generation: int) -> None:
    """Waits until the care process has changed the workspace."""
    while (view := catalog.view(WORKSPACE)).generation == generation:
        await catalog.changed(WORKSPACE, view)


async def hide(catalog: Catalog, source: str) -> int:
    """Gives the care process something to do, and the generation from which on it has not done it."""
    await catalog.hide_source(WORKSPACE, source)
    return catalog.view(WORKSPACE).generation


async def test_the_process_works_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with opened(tmp_path) as catalog:
        split = write_split(config.splits, [Source(lines("one of aa"), "aa"), Source(lines("one of bb"), "bb")])
        await catalog.publish(WORKSPACE, split)
        generation = await hide(catalog, "bb")
        care = CareProcess(config, delay=0)
        await care.start()
        async with asyncio.timeout(30):
            await changed(catalog, generation)
        pid = care.pid
        assert pid is not None
        assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
        assert [run.source_id for run in catalog.view(WORKSPACE).splits[0].split.sources] == ["aa"]
        await care.stop()
        await care.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert await found(catalog, config.splits) == [("aa-1", "one of aa")]


async def test_it_is_started_again_when_it_is_killed(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with opened(tmp_path) as catalog:
        for name in ("aa", "bb"):
            split = write_split(config.splits, [Source(lines(f"one of {name}"), name)], split_id=f"s{name}")
            await catalog.publish(WORKSPACE, split)
        care = CareProcess(config, delay=0)
        await care.start()
        async with asyncio.timeout(60):
            await changed(catalog, await hide(catalog, "aa"))
            pid = care.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await ended(pid)
            await changed(catalog, await hide(catalog, "bb"))
        assert care.pid != pid
        await care.stop()


async def test_one_process_does_for_a_data_folder(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    clock = VirtualClock()
    async with opened(tmp_path) as catalog:
        split = write_split(config.splits, [Source(lines("one of aa"), "aa"), Source(lines("one of bb"), "bb")])
        await catalog.publish(WORKSPACE, split)
        with locks.held(config.database.with_name(locks.ONE)) as mine:  # another search process has it
            assert mine
            care = CareProcess(config, clock=clock, delay=0)
            await care.start()
            await clock.advance(60)
            assert not care.started.is_set()
        generation = await hide(catalog, "bb")
        await clock.advance(60)
        async with asyncio.timeout(30):
            await changed(catalog, generation)
        assert care.started.is_set()
        await care.stop()


async def test_a_stop_before_it_was_started_is_at_once(tmp_path: Path) -> None:
    care = CareProcess(config_in(tmp_path), clock=VirtualClock())
    await care.stop()
    await care.start()
    await care.stop()
    assert care.pid is None


@pytest.mark.parametrize("how", ["kill -9 of the parent", "Ctrl-C", "SIGTERM"])
async def test_it_does_not_outlive_the_search_process(tmp_path: Path, how: str) -> None:
    config = config_in(tmp_path)
    async with opened(tmp_path):
        pass
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.search.care_parent", str(config.database), str(config.splits)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    match how:
        case "Ctrl-C":
            os.killpg(parent.pid, signal.SIGINT)
        case "SIGTERM":
            parent.terminate()
        case _:
            parent.kill()
    async with asyncio.timeout(30):
        await parent.wait()
        await ended(pid)


async def ended(pid: int) -> None:
    """Waits until a process, which need not be a child, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        await asyncio.to_thread(poll.poll, 20_000)
        assert poll.poll(0), "it still runs"
    finally:
        os.close(descriptor)


async def test_checks_and_repairs_are_done_in_a_process_of_their_own(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with opened(tmp_path) as catalog:
        split = write_split(config.splits, [Source(lines("one of aa"), "aa")])
        await catalog.publish(WORKSPACE, split)
        assert await check(config, WORKSPACE) == search_pb2.CheckLogsResponse(split_count=1, line_count=1)
        (split_path(config.splits, WORKSPACE, "s1") / "raw.idx").unlink()
        problems: Sequence[search_pb2.SplitProblem] = (await check(config, WORKSPACE)).problems
        assert [(each.message, each.repairable) for each in problems] == [("raw.idx is missing", True)]
        assert await repair(config, WORKSPACE) == search_pb2.RepairLogsResponse(repaired_count=1)
        assert await check(config, WORKSPACE) == search_pb2.CheckLogsResponse(split_count=1, line_count=1)
        assert await found(catalog, config.splits) == [("aa-1", "one of aa")]


class Kept(workspace_pb2_grpc.WorkspaceServiceServicer):
    """A workspace service that says what is kept, or fails."""

    def __init__(self) -> None:
        self.answer: workspace_pb2.Workspace | None = None
        self.calls = 0

    async def GetWorkspace(self, request: workspace_pb2.GetWorkspaceRequest, context: Any) -> workspace_pb2.Workspace:
        self.calls += 1
        if self.answer is None:
            raise Unavailable("not today")
        return self.answer


async def test_what_is_kept_is_asked_rarely_and_all_is_while_nobody_can_say() -> None:
    service, clock = Kept(), VirtualClock()  # type: ignore[abstract]  # only what is called
    async with InProcess(service, workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server) as beside:
        channel = kit.channel(beside.address)
        keeping = Keeping(workspace_pb2_grpc.WorkspaceServiceStub(channel), clock=clock)

        async def asked(answer: workspace_pb2.Workspace | None) -> Keep | None:
            service.answer = answer
            await clock.advance(60)
            return await keeping.of("default")

        day = duration_pb2.Duration(seconds=86_400)
        assert await asked(None) is None
        assert await asked(workspace_pb2.Workspace()) is None
        assert await asked(workspace_pb2.Workspace(retention=workspace_pb2.Retention())) is None
        kept = workspace_pb2.Retention(max_age=day, max_bytes=7)
        assert await asked(workspace_pb2.Workspace(retention=kept)) == Keep(86_400.0, 7)
        assert await asked(workspace_pb2.Workspace(retention=kept, deleting=True)) is None
        assert await asked(workspace_pb2.Workspace(retention=workspace_pb2.Retention(max_bytes=7))) == Keep(None, 7)
        before = service.calls
        await clock.advance(59)
        assert await keeping.of("default") == Keep(None, 7)
        assert service.calls == before
        # What was known yesterday does not delete anything today.
        assert await asked(None) is None
        await channel.close()
