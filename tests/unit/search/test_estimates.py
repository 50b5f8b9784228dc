"""Top values, templates and bars when there is not enough time for all lines: in virtual time, over real splits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

import kit
from kit.errors import StatusError
from kit.testing import VirtualClock
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search.budget import BUDGET_SECONDS, budget
from services.search.catalog import Catalog
from services.search.job import Jobs
from services.search.library import Library
from services.search.looks import Looks
from services.search.seam import Answer, Event, Hits, Plan, Snapshot
from services.search.split_index import SplitIndex
from services.search.templates import Templates, mined
from services.search.workspaces import Workspaces
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, write_split

PARENT = f"workspaces/{WORKSPACE}"
LINES = 3000
T = TypeVar("T")


class Everyone(Workspaces):
    """Knows every workspace."""

    def __init__(self) -> None:
        pass

    async def require(self, workspace: str, *, has_logs: bool) -> None:
        pass


class Slow(SplitIndex):
    """Does not end the first `hanging` answers, and takes `pace` seconds for each chunk of hits. `left`: given up."""

    clock: VirtualClock
    pace = 0.0
    hanging = 2
    left = 0

    async def answers(self, snapshot: Snapshot, plans: Sequence[Plan]) -> list[Answer | StatusError]:
        if self.left < self.hanging:
            try:
                await asyncio.Event().wait()
            finally:
                self.left += 1
        return await super().answers(snapshot, plans)

    async def search(self, snapshot: Snapshot, plan: Plan) -> AsyncGenerator[Event]:
        async for event in super().search(snapshot, plan):
            yield event
            if isinstance(event, Hits):
                self.clock._now += self.pace


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Slow]:
    rows = [Row(f"user=u{number % 3} n={number}".encode(), EPOCH + number, 6) for number in range(LINES)]
    rows += [Row(b"rare user=other", EPOCH + 10**9 + number) for number in range(5)]
    split = write_split(tmp_path, [Source(rows)])
    catalog, executor = Catalog(tmp_path / "catalog.db"), ThreadPoolExecutor(2)
    await catalog.open()
    found = Slow(catalog, Library(tmp_path, open_splits=4, frames=4), executor)
    found.clock = VirtualClock()
    await found.publish(WORKSPACE, split)
    yield found
    await catalog.close()
    executor.shutdown()


async def impatient(index: Slow, answer: Coroutine[Any, Any, T]) -> T:
    """The answer, when the clock was moved on until all that hangs was given up."""
    task = asyncio.ensure_future(answer)
    async with asyncio.timeout(30):
        while index.left < index.hanging:
            await asyncio.sleep(0)
            await index.clock.advance(0.1)
        return await task


def jobs_of(index: Slow) -> Jobs:
    return Jobs(index, Everyone(), index._executor)


async def test_top_values_are_those_of_the_newest_lines_when_time_is_short(index: Slow) -> None:
    index.pace = 0.2
    request = search_pb2.GetTopValuesRequest(parent=PARENT, query="user", field="user")
    found = await impatient(index, Looks(jobs_of(index), clock=index.clock).top_values(request))
    assert found.is_estimate
    assert 100 <= found.lines_read < LINES
    assert found.line_count == found.lines_read
    # The newest lines are the five that are last.
    assert {value.value: value.count for value in found.values}["other"] == 5
    assert sum(value.count for value in found.values) == found.lines_read
    assert found.lines_read <= found.total_size <= LINES + 5


async def test_levels_and_sources_are_estimated_as_well(index: Slow) -> None:
    index.pace = 0.2
    looks = Looks(jobs_of(index), clock=index.clock)
    for field, value in (("level", "ERROR"), ("source", "app.log")):
        index.left = 0
        request = search_pb2.GetTopValuesRequest(parent=PARENT, query="user", field=field)
        found = await impatient(index, looks.top_values(request))
        assert [each.value for each in found.values] == [value]
        assert found.is_estimate


async def test_an_estimate_that_read_every_line_is_none(index: Slow) -> None:
    request = search_pb2.GetTopValuesRequest(parent=PARENT, query="user", field="user")
    # The whole answer is given up, and so is the count; then time stands still.
    found = await impatient(index, Looks(jobs_of(index), clock=index.clock).top_values(request))
    assert (found.is_estimate, found.lines_read, found.total_size) == (False, LINES + 5, LINES + 5)


async def test_templates_are_those_of_the_newest_lines_when_time_is_short(index: Slow) -> None:
    index.pace = 0.1
    request = search_pb2.GetTemplatesRequest(parent=PARENT)
    found = await impatient(index, Templates(jobs_of(index), clock=index.clock).find(request))
    assert 100 <= found.lines_read < LINES
    assert "rare" in {template.text.split()[0] for template in found.templates}
    assert sum(template.count for template in found.templates) == found.lines_read


async def test_templates_are_mined_as_long_as_there_is_time(index: Slow) -> None:
    index.hanging = 0
    snapshot = index.snapshot(WORKSPACE)
    lines = (await index.answer(snapshot, Plan(query=query_pb2.Query(), limit=1000))).lines
    looks = iter([True, True, False])
    found, read = mined(lines, 10, None, lambda: next(looks))
    assert 0 < read < 1000
    assert sum(count for _, count, _ in found) == read
    assert mined(lines, 10)[1] == 1000


async def test_bars_span_the_hits(index: Slow) -> None:
    index.hanging = 0
    looks = Looks(jobs_of(index), clock=index.clock)
    narrow = await looks.histogram(search_pb2.GetHistogramRequest(parent=PARENT, query="rare"))
    wide = await looks.histogram(search_pb2.GetHistogramRequest(parent=PARENT))
    assert narrow.bucket_width.ToTimedelta() < wide.bucket_width.ToTimedelta()
    assert narrow.buckets[0].start_time.seconds == (EPOCH + 10**9) // 10**6
    assert sum(bucket.count for bucket in narrow.buckets) == narrow.total_size == 5
    nothing = await looks.histogram(search_pb2.GetHistogramRequest(parent=PARENT, query="nowhere"))
    assert (len(nothing.buckets) > 0, nothing.total_size, nothing.undated_count) == (True, 0, 0)


async def test_bars_span_everything_when_the_ends_are_not_found_in_time(index: Slow) -> None:
    index.hanging = 1
    looks = Looks(jobs_of(index), clock=index.clock)
    found = await impatient(index, looks.histogram(search_pb2.GetHistogramRequest(parent=PARENT, query="rare")))
    assert found.buckets[0].start_time.seconds < (EPOCH + 10**9) // 10**6
    assert found.total_size == 5


async def test_the_budget_is_a_part_of_what_the_call_has_left() -> None:
    clock = VirtualClock()
    assert budget(clock).left == BUDGET_SECONDS
    with kit.timeout(2.0, clock=clock):
        assert budget(clock).left == pytest.approx(1.2)
