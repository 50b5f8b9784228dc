"""Index care at work: whatever it does and wherever it is stopped, a search finds the same lines in the same order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.testing import VirtualClock
from services.search.care import locks
from services.search.care.carer import Carer, StoppedError
from services.search.care.check import check_split
from services.search.care.policy import Keep, Limits
from services.search.catalog import Catalog
from services.search.index import NO_TIME, SCHEMA_VERSION, split_path
from services.search.index.layout import RAW, RAW_TABLE
from services.search.library import Library
from services.search.query import parse
from services.search.seam import Order, Plan
from services.search.split_index import SplitIndex
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, lines, write_split
from tests.unit.search.versions import as_version_1

#: Everything at once: any two neighbours are joined, every split has a block index.
EAGER = Limits(several=2, settled=0, idle=0, grams=1)
#: Queries, and what they mean for the lines of these tests.
QUERIES: dict[str, Callable[[bytes], bool]] = {
    "": lambda _: True,
    "alpha": lambda raw: b"alpha" in raw,
    "NOT beta": lambda raw: b"beta" not in raw,
    "*pha*": lambda raw: b"pha" in raw,
}


@dataclass
class World:
    """A data folder with its catalogue and an index over it, in virtual time an hour from now."""

    root: Path
    clock: VirtualClock
    catalog: Catalog
    index: SplitIndex
    written: dict[str, int] = field(default_factory=dict)
    #: (time, seq, row, source, number, text) of each published line.
    all_lines: list[tuple[int, int, int, str, int, bytes]] = field(default_factory=list)

    @property
    def splits(self) -> Path:
        return self.root / "splits"

    @property
    def names(self) -> list[str]:
        """Of what lies in the folder of the workspace."""
        return sorted(path.name for path in (self.splits / WORKSPACE).iterdir())

    @property
    def published(self) -> list[str]:
        return sorted(each.split.id for each in self.catalog.view(WORKSPACE).splits)

    def carer(
        self, limits: Limits = EAGER, *, keep: Keep | None = None, at: Callable[[str], None] | None = None
    ) -> Carer:
        async def keep_of(_workspace: str) -> Keep | None:
            return keep

        lock = self.root / locks.WORK
        return Carer(
            self.catalog, self.splits, lock, keep_of, clock=self.clock, limits=limits, at=at or (lambda _: None)
        )

    async def publish(self, *sources: tuple[str, Sequence[Row]], old: bool = False) -> None:
        """Publishes a split; each source goes on where it stopped."""
        number = len(self.catalog.view(WORKSPACE).moved) + len(self.published) + 1
        parts, row = [], 0
        for source, rows in sources:
            first = self.written.get(source, 0) + 1
            parts.append(Source(rows, source, f"{source}.log", first_line=first, complete=False))
            self.written[source] = first + len(rows) - 1
            for at, each in enumerate(rows):
                self.all_lines.append((each.time, number, row + at, source, first + at, each.raw))
            row += len(rows)
        split = write_split(self.splits, parts, split_id=f"s{number}")
        await self.catalog.publish(WORKSPACE, as_version_1(self.splits, split) if old else split)

    def expected(self, query: str, order: Order) -> list[tuple[str, int]]:
        """Source and number of each line that matches, in order."""
        found = sorted(line for line in self.all_lines if QUERIES[query](line[5]))
        dated = [line[3:5] for line in found if line[0] != NO_TIME]
        undated = [line[3:5] for line in found if line[0] == NO_TIME]
        return dated + undated if order is Order.OLDEST else dated[::-1] + undated[::-1]

    async def found(self, query: str = "", order: Order = Order.NEWEST) -> list[tuple[str, int]]:
        plan = Plan(query=parse(query), order=order, limit=10_000)
        answer = await self.index.answer(self.index.snapshot(WORKSPACE), plan)
        return [(line.source_id, line.number) for line in answer.lines]

    async def finish(self, carer: Carer | None = None) -> None:
        """Care until nothing is left to do, also not when a while has passed."""
        carer = carer or self.carer()
        for _ in range(3):
            while await carer.step():
                pass
            await self.clock.advance(61)


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[World]:
    clock = VirtualClock(wall=time.time() + 3600)
    catalog = Catalog(root / "catalog.db", clock=clock)
    await catalog.open()
    try:
        with ThreadPoolExecutor(2) as executor:
            library = Library(root / "splits", open_splits=4, frames=8)
            yield World(root, clock, catalog, SplitIndex(catalog, library, executor))
    finally:
        await catalog.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


some_rows = st.lists(
    st.builds(Row, st.sampled_from([b"alpha", b"beta", b"alpha beta"]), st.sampled_from([NO_TIME, EPOCH, EPOCH + 1])),
    max_size=4,
)
some_splits = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from(["aa", "bb"]), some_rows), max_size=3), st.booleans()),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(some_splits, st.sampled_from(list(QUERIES)), st.sampled_from(Order), st.integers(0, 6))
def test_pages_go_on_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory,
    splits: list[tuple[list[tuple[str, list[Row]]], bool]],
    query: str,
    order: Order,
    hide_after: int,
) -> None:
    root = tmp_path_factory.mktemp("world")

    async def run() -> None:
        async with opened(root) as world:
            for sources, old in splits:
                await world.publish(*sources, old=old)
            there = world.expected(query, order)
            carer = world.carer()
            left, after = there, b""
            for page in range(100):
                if page == hide_after:
                    await world.index.delete_source(WORKSPACE, "bb")
                    there = [line for line in there if line[0] != "bb"]
                    left = [line for line in left if line[0] != "bb"]
                await carer.step()
                plan = Plan(query=parse(query), order=order, limit=2, after=after, count=True)
                answer = await world.index.answer(world.index.snapshot(WORKSPACE), plan)
                assert [(line.source_id, line.number) for line in answer.lines] == left[:2]
                assert answer.done.total == len(there)
                left = left[2:]
                assert answer.done.more == bool(left)
                if not left:
                    break
                after = answer.lines[-1].place
                # Folders of replaced splits are removed between pages, too.
                await world.clock.advance(40)
            await world.finish(carer)
            view = world.catalog.view(WORKSPACE)
            assert world.names == world.published
            assert all(each.split.schema_version == SCHEMA_VERSION for each in view.splits)
            assert not view.hidden
            assert await world.found(query, order) == there

    asyncio.run(run())


async def test_small_splits_are_joined_and_their_folders_removed_a_minute_later(world: World) -> None:
    for text in ("alpha", "beta", "alpha beta", "gamma"):
        await world.publish(("aa", lines(text)))
    before = await world.found("alpha")
    carer = world.carer()
    while await carer.step():
        pass
    (one,) = world.catalog.view(WORKSPACE).splits
    assert set(one.split.replaces) == {"s1", "s2", "s3", "s4"}
    assert one.seq == 1
    assert await world.found("alpha") == before
    assert sorted(before) == [("aa", 1), ("aa", 3)]
    assert world.names == [one.split.id, "s1", "s2", "s3", "s4"]
    await world.clock.advance(59)
    assert not await carer.step()
    await world.clock.advance(1)
    await world.finish(carer)
    assert world.names == [one.split.id]
    assert not check_split(split_path(world.splits, WORKSPACE, one.split.id), one.split)


async def test_young_splits_are_not_joined(world: World) -> None:
    await world.publish(("aa", lines("alpha")))
    await world.publish(("aa", lines("beta")))
    carer = world.carer(Limits(settled=2 * 3600, grams=1))
    await world.finish(carer)
    assert world.published == ["s1", "s2"]


async def test_what_a_workspace_does_not_keep_is_deleted(world: World) -> None:
    old, new = EPOCH, int(world.clock.wall() * 1_000_000)
    await world.publish(("aa", [Row(b"long ago", old)]))
    await world.publish(("bb", [Row(b"today", new)]))
    nothing_joined = Limits(several=9, settled=10**9)
    await world.finish(world.carer(nothing_joined))
    assert world.published == ["s1", "s2"]
    await world.finish(world.carer(nothing_joined, keep=Keep(max_age=86_400.0)))
    assert world.names == world.published == ["s2"]
    assert await world.found() == [("bb", 1)]


async def test_of_a_deleted_source_nothing_is_left_on_disk(world: World) -> None:
    await world.publish(("aa", lines("alpha")), ("bb", lines("a secret")), ("aa", lines("beta")))
    await world.publish(("bb", lines("another secret")))
    await world.index.delete_source(WORKSPACE, "bb")
    assert sorted(await world.found()) == [("aa", 1), ("aa", 2)]
    await world.finish()
    assert sorted(await world.found()) == [("aa", 1), ("aa", 2)]
    view = world.catalog.view(WORKSPACE)
    assert view.hidden == frozenset()
    assert {run.source_id for each in view.splits for run in each.split.sources} == {"aa"}
    assert world.names == world.published


async def test_a_split_that_cannot_be_read_is_left_alone_and_holds_nobody_up(world: World) -> None:
    for source in ("aa", "bb", "cc"):
        await world.publish((source, lines("alpha")))
    for name in (RAW, RAW_TABLE):
        (split_path(world.splits, WORKSPACE, "s1") / name).write_bytes(b"nonsense")
    carer = world.carer()
    await world.finish(carer)
    first, second = world.catalog.view(WORKSPACE).splits
    assert first.split.id == "s1"
    assert list(second.split.replaces) == ["s2", "s3"]
    assert world.names == world.published


async def test_what_a_killed_process_left_is_removed_and_nothing_else(world: World) -> None:
    await world.publish(("aa", lines("alpha")))
    for name in ("care.1", ".tmp-care.2", ".old-care.3", "import1-00000-00000", ".tmp-import1-00000-00001"):
        (world.splits / WORKSPACE / name).mkdir()
    await world.carer().step()
    assert world.names == [".tmp-import1-00000-00001", "import1-00000-00000", "s1"]


async def test_while_another_process_works_on_the_folder_nothing_is_done(world: World) -> None:
    await world.publish(("aa", lines("alpha")))
    carer = world.carer()
    with locks.held(world.root / locks.WORK) as mine:
        assert mine
        assert not await carer.step()
    assert await carer.step()


async def test_a_stop_gives_the_job_up(world: World) -> None:
    await world.publish(("aa", lines("alpha")))
    await world.publish(("aa", lines("beta")))
    carer = world.carer(at=lambda step: carer.stop() if step == "built" else None)
    with pytest.raises(StoppedError):
        await world.finish(carer)
    assert world.names == ["s1", "s2"]


async def test_a_workspace_that_is_deleted_meanwhile_stays_deleted(world: World) -> None:
    await world.publish(("aa", lines("alpha")))
    await world.publish(("aa", lines("beta")))

    async def delete() -> None:
        other = Catalog(world.root / "catalog.db")
        await other.open()
        await other.delete(WORKSPACE)
        await other.close()

    def at(step: str) -> None:
        if step == "built":
            with ThreadPoolExecutor(1) as thread:
                thread.submit(lambda: asyncio.run(delete())).result()

    await world.finish(world.carer(at=at))
    assert world.published == []
    assert [name for name in world.names if name.startswith((".", "care."))] == []
