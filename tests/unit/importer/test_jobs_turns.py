"""Whose task is next, how many workers there is room for, who holds which file, and lines for listeners."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loganalyzer.importer.v1 import importer_pb2
from services.importer.claims import Claims
from services.importer.planning import PlannedFile, Tally, Totals, in_order
from services.importer.sizing import WORKER_BYTES, available_memory, usable_cores, worker_count
from services.importer.tails import Tails
from services.importer.turns import Turns
from services.importer.watching import is_remote

GB = 1 << 30


def test_imports_take_turns_however_many_tasks_each_has() -> None:
    turns = Turns()
    for _ in range(5):
        turns.wait("a", small=False)
    for _ in range(2):
        turns.wait("b", small=False)
    turns.wait("c", small=False)
    order = []
    while (one := turns.next()) is not None:
        order.append(one.import_id)
        turns.done(one)
    assert order == ["a", "b", "c", "a", "b", "a", "a", "a"]


def test_an_import_of_which_less_runs_is_first() -> None:
    turns = Turns()
    first, second = turns.wait("a", small=False), turns.wait("a", small=False)
    assert (turns.next(), turns.next()) == (first, second)
    turns.wait("a", small=False)
    late = turns.wait("b", small=False)
    assert turns.next() == late


def test_a_small_task_goes_ahead_only_where_nothing_of_its_import_runs() -> None:
    turns = Turns()
    turns.wait("a", small=False)
    running = turns.next()
    assert running is not None
    turns.wait("a", small=True)
    assert turns.next(small=True) is None
    turns.wait("b", small=False)
    assert turns.next(small=True) is None
    assert turns.should_yield(running)
    small = turns.wait("c", small=True)
    assert turns.next(small=True) == small


def test_nobody_gives_way_to_himself() -> None:
    turns = Turns()
    turns.wait("a", small=False)
    running = turns.next()
    assert running is not None
    turns.wait("a", small=False)
    assert not turns.should_yield(running)


def test_a_task_that_is_given_up_gets_no_turn() -> None:
    turns = Turns()
    turns.give_up(turns.wait("a", small=False))
    assert turns.next() is None


def test_the_largest_task_is_begun_first() -> None:
    files = [
        PlannedFile(number, 0, "a.log", "/a", size, task)
        for number, (size, task) in enumerate([(1, 0), (5, 1), (2, 0)])
    ]
    assert [(task, len(of_task)) for task, of_task in in_order(files)] == [(1, 1), (0, 2)]
    packed = [PlannedFile(0, 0, "a.zst", "/a", 10, 0), PlannedFile(1, 0, "a.log", "/a", 100, 1)]
    assert [task for task, _ in in_order(packed)] == [0, 1]


def test_a_source_that_goes_on_is_counted_with_its_file_of_this_import() -> None:
    from loganalyzer.search.v1 import search_pb2

    run = search_pb2.SplitSource(source_id="oldx5x0", first_line=11, line_count=3, byte_count=30, complete=True)
    for counted in (True, False):
        tally = Tally({0: 0, 5: 9}, {"oldx5x0": 0}, count_carried=counted)
        tally.add_split(search_pb2.Split(sources=[run]))
        tally.add_files({0: 1})
        assert tally.by_source == {0: Totals(3, 30, 2 if counted else 0)}


@pytest.mark.parametrize(
    ("cores", "available", "wanted"),
    [
        (2, 16 * GB, 2),
        (16, 16 * GB, 16),
        (16, 2 * GB, 6),
        (4, 400 << 20, 1),
        (1, 64 * GB, 1),
        (8, 0, 1),
        (128, 512 * GB, 32),
    ],
)
def test_workers_are_as_many_as_cores_and_memory_allow(cores: int, available: int, wanted: int) -> None:
    assert worker_count(cores=cores, available=available) == wanted
    assert wanted == 1 or wanted * WORKER_BYTES <= available / 2


def test_the_limits_of_a_container_count_and_those_above_it(tmp_path: Path) -> None:
    def write(path: str, content: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)

    write("proc/meminfo", "MemTotal: 99999999 kB\nMemAvailable: 8388608 kB\n")
    write("proc/self/cgroup", "0::/pod/box\n")
    assert available_memory(tmp_path) == 8 * GB
    write("sys/fs/cgroup/pod/box/memory.max", "max\n")
    write("sys/fs/cgroup/pod/memory.max", str(2 * GB))
    write("sys/fs/cgroup/pod/memory.current", str(3 * GB // 2))
    write("sys/fs/cgroup/pod/memory.stat", f"anon 1\ninactive_file {GB // 4}\n")
    assert available_memory(tmp_path) == 3 * GB // 4
    assert usable_cores(tmp_path) >= 1
    write("sys/fs/cgroup/pod/cpu.max", "100000 100000\n")
    assert usable_cores(tmp_path) == 1


async def test_files_are_held_by_one_at_a_time_and_other_workspaces_do_not_mind() -> None:
    claims = Claims()
    order: list[str] = []
    inside, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with claims.hold("w", ["/a", "/b"]):
            inside.set()
            await leave.wait()
            order.append("first")

    async def second() -> None:
        async with claims.hold("w", ["/b", "/c"]):
            order.append("second")

    running = asyncio.ensure_future(first())
    await inside.wait()
    waiting = asyncio.ensure_future(second())
    async with asyncio.timeout(1), claims.hold("other", ["/a"]), claims.hold("w", ["/c"]):
        pass
    leave.set()
    await asyncio.gather(running, waiting)
    assert order == ["first", "second"]


async def test_whoever_is_cancelled_holds_nothing() -> None:
    claims = Claims()
    inside = asyncio.Event()

    async def hold() -> None:
        async with claims.hold("w", ["/a"]):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(hold())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(1), claims.hold("w", ["/a"]):
        pass


class Switches:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    async def __call__(self, workspace: str, on: bool) -> None:
        self.told.append((workspace, on))


def lines(number: int) -> bytes:
    return importer_pb2.ParsedLines(source_id="a", first_line=number, lines=[b"x" * 100]).SerializeToString()


async def test_workers_send_lines_only_while_somebody_listens() -> None:
    switches = Switches()
    tails = Tails(switches)
    tails.put("w", lines(1))
    first, second = await tails.open("w"), await tails.open("w")
    tails.put("w", lines(2))
    tails.put("other", lines(3))
    assert [(await anext(one)).first_line for one in (first, second)] == [2, 2]
    await tails.close("w", first)
    await tails.close("w", first)
    assert switches.told == [("w", True)]
    await tails.close("w", second)
    assert switches.told == [("w", True), ("w", False)]
    assert not tails.listening("w")


async def test_a_listener_who_sleeps_gets_a_gap_and_costs_no_memory() -> None:
    tails = Tails(Switches(), most=250)
    slow, quick = await tails.open("w"), await tails.open("w")
    for number in range(1, 6):
        tails.put("w", lines(number))
        assert (await anext(quick)).first_line == number
    got = [await anext(slow), await anext(slow)]
    assert [(one.first_line, one.gap) for one in got] == [(1, False), (2, False)]
    tails.put("w", lines(6))
    told = await anext(slow)
    assert (told.first_line, told.gap) == (6, True)
    assert not (await anext(quick)).gap
    tails.put("w", lines(7))
    assert not (await anext(slow)).gap


def test_network_mounts_are_looked_at(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nnas:/x {tmp_path}/nas nfs4 rw 0 0\nssh {tmp_path}/my\\040box fuse.sshfs rw 0 0\n"
        f"/dev/sdb {tmp_path}/nas/local ext4 rw 0 0\n"
    )
    found = [is_remote(str(tmp_path / path), mounts) for path in ("a", "nas/a", "my box/a", "nas/local/a", "nasty")]
    assert found == [False, True, True, False, False]
