"""Tails that are fed before lines are published: each line once, whichever way it comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loganalyzer.search.v1 import search_pb2
from services.search.tails import Taken
from tests.integration.search.conftest import PARENT, Searching
from tests.unit.search.splits import EPOCH, Row, Source, lines


class Tail:
    """Collects what a tail gives."""

    def __init__(self, call: AsyncIterator[search_pb2.TailLogsResponse]) -> None:
        self._call = call
        self.hits: list[search_pb2.Hit] = []

    async def until(self, count: int) -> list[str]:
        """The texts, when there are so many."""
        async with asyncio.timeout(20):
            while len(self.hits) < count:
                self.hits += (await anext(self._call)).hits
        return [hit.text for hit in self.hits]

    async def quiet(self) -> list[str]:
        """The texts, after three signs of life without any."""
        silent = 0
        async with asyncio.timeout(20):
            while silent < 3:
                response = await anext(self._call)
                self.hits += response.hits
                silent = 0 if response.hits else silent + 1
        return [hit.text for hit in self.hits]


@asynccontextmanager
async def tailing(searching: Searching, query: str = "x", *, fed: bool = True) -> AsyncIterator[Tail]:
    call = searching.stub.TailLogs(search_pb2.TailLogsRequest(parent=PARENT, query=query))
    tail = aiter(call)
    async with asyncio.timeout(20):
        await anext(tail)
        if fed:
            await searching.importer.came.wait()
    yield Tail(tail)
    call.cancel()


def source(*texts: str, first: int = 1, source_id: str = "aa") -> Source:
    return Source(lines(*texts, start=EPOCH + first), source_id, first_line=first)


async def test_lines_are_shown_as_they_are_read_and_not_again_when_published(searching: Searching) -> None:
    async with tailing(searching) as tail:
        await searching.importer.read(source("one x", "two", "three x"))
        assert await tail.until(2) == ["one x", "three x"]
        await searching.publish(source("one x", "two", "three x"))
        assert await tail.quiet() == ["one x", "three x"]
        found = await searching.search("x", order_by="timestamp")
        assert list(found.hits) == tail.hits


async def test_lines_that_were_published_first_are_not_shown_again_when_they_are_read(searching: Searching) -> None:
    async with tailing(searching) as tail:
        await searching.publish(source("one x", "two x"))
        assert await tail.until(2) == ["one x", "two x"]
        await searching.importer.read(source("one x", "two x", "three x"))
        assert await tail.until(3) == ["one x", "two x", "three x"]
        await searching.importer.read(source("three x", "four x", first=3))
        assert await tail.until(4) == ["one x", "two x", "three x", "four x"]
        await searching.publish(source("three x", "four x", first=3))
        assert len(await tail.quiet()) == 4


async def test_what_was_left_out_is_found_when_it_is_published(searching: Searching) -> None:
    async with tailing(searching) as tail:
        await searching.importer.read(source("one x"))
        await searching.importer.read(Source(source("four x", first=4).rows, "aa", first_line=4), gap=True)
        assert await tail.until(2) == ["one x", "four x"]
        await searching.publish(source("one x", "two x", "three x", "four x"))
        assert await tail.until(4) == ["one x", "four x", "two x", "three x"]
        assert len(await tail.quiet()) == 4


async def test_a_stream_that_breaks_and_begins_again_shows_nothing_twice(searching: Searching) -> None:
    async with tailing(searching) as tail:
        await searching.importer.read(source("one x"))
        await tail.until(1)
        searching.importer.came.clear()
        for queue in searching.importer.listening:
            queue.put_nowait(None)
        await searching.importer.read(source("one x", "two x"))
        assert await tail.until(2) == ["one x", "two x"]
        assert len(await tail.quiet()) == 2


async def test_lines_of_a_record_that_began_in_an_earlier_batch_have_its_id(searching: Searching) -> None:
    rows = [Row(b"start x", EPOCH), Row(b"  at x", starts=False), Row(b"  more x", starts=False)]
    async with tailing(searching) as tail:
        await searching.importer.read(Source(rows[:1]))
        await searching.importer.read(Source(rows[1:], first_line=2))
        await tail.until(3)
        assert {hit.record_id for hit in tail.hits} == {"aa-1"}


async def test_lines_of_a_deleted_source_are_not_shown(searching: Searching) -> None:
    await searching.publish(source("old x"), source("kept", source_id="bb"))
    async with tailing(searching) as tail:
        await searching.stub.DeleteLogSource(search_pb2.DeleteLogSourceRequest(name=f"{PARENT}/logSources/aa"))
        await tail.quiet()
        await searching.importer.read(source("new x", first=2))
        await searching.importer.read(source("other x", first=2, source_id="bb"))
        assert await tail.until(1) == ["other x"]
        assert await tail.quiet() == ["other x"]


async def test_several_tails_are_fed_by_one_stream_that_ends_with_the_last(searching: Searching) -> None:
    async with tailing(searching) as one:
        async with tailing(searching, "y") as two:
            assert len(searching.importer.listening) == 1
            await searching.importer.read(source("a x", "b y", "c x y"))
            assert await one.until(2) == ["a x", "c x y"]
            assert await two.until(2) == ["b y", "c x y"]
        assert len(searching.importer.listening) == 1
    async with asyncio.timeout(10):
        await searching.importer.left.wait()
    assert searching.importer.listening == []


async def test_a_tail_works_without_the_importer(searching: Searching) -> None:
    async with tailing(searching, fed=False) as tail:
        await searching.publish(source("one x"))
        assert await tail.until(1) == ["one x"]


def test_taken_lines_are_ranges_that_grow_together() -> None:
    taken = Taken()
    for first, end in ((5, 7), (1, 3), (10, 12), (3, 5), (6, 8)):
        taken.add("aa", first, end)
    assert [number for number in range(14) if taken.holds("aa", number)] == [1, 2, 3, 4, 5, 6, 7, 10, 11]
    assert len(taken) == 2
    assert not taken.holds("bb", 1)
