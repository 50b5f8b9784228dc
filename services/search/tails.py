"""TailLogs: matching lines as they are read, or else as they are published; never one twice, never one lost.

A tail knows which lines it has decided about: those of the snapshot up to which it has searched, and those that it was
fed before they were published. A line is decided about once, by whichever way it comes first. What it was fed is
forgotten when a snapshot holds it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import kit
from kit.clock import Clock
from loganalyzer.search.v1 import search_pb2
from services.search.feed import Feeds, Subscription
from services.search.hits import Highlighter, batches
from services.search.job import Job, Jobs
from services.search.plans import CHUNK
from services.search.query import normalise, parse
from services.search.query.predicate import compile_predicate
from services.search.seam import Hits, LogIndex, LogLine, Order, Plan, Snapshot

__all__ = ["Tails", "Taken"]

#: Waits for the first of some futures; False when a heartbeat is due before.
_Within = Callable[[Sequence["asyncio.Future[Any]"]], Awaitable[bool]]


class Taken:
    """Lines by source: sorted ranges [first, end) that do not touch."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[tuple[int, int]]] = {}

    def __len__(self) -> int:
        return sum(len(ranges) for ranges in self._ranges.values())

    def holds(self, source_id: str, number: int) -> bool:
        """Whether the line is one of them."""
        ranges = self._ranges.get(source_id)
        if not ranges:
            return False
        at = bisect_right(ranges, number, key=lambda each: each[0]) - 1
        return at >= 0 and number < ranges[at][1]

    def add(self, source_id: str, first: int, end: int) -> None:
        """Adds lines [first, end), some of which may be there."""
        ranges = self._ranges.setdefault(source_id, [])
        touching = [each for each in ranges if each[0] <= end and each[1] >= first]
        if touching:
            first, end = min(first, touching[0][0]), max(end, touching[-1][1])
        ranges[:] = sorted([each for each in ranges if each not in touching] + [(first, end)])

    def forget(self, index: LogIndex, snapshot: Snapshot) -> None:
        """Forgets ranges whose ends a snapshot holds: sources are published in the order of their lines."""
        for source_id, ranges in list(self._ranges.items()):
            left = [each for each in ranges if not index.holds(snapshot, source_id, each[1] - 1)]
            if left and source_id not in snapshot.hidden:
                self._ranges[source_id] = left
            else:
                del self._ranges[source_id]


class Tails:
    """Answers TailLogs. `heartbeat` is the longest silence, in seconds."""

    def __init__(self, jobs: Jobs, feeds: Feeds, *, heartbeat: float, clock: Clock) -> None:
        self._jobs = jobs
        self._feeds = feeds
        self._heartbeat = heartbeat
        self._clock = clock

    async def tail(self, request: search_pb2.TailLogsRequest) -> AsyncGenerator[search_pb2.TailLogsResponse]:
        """A sign of life at once, then hits, or a sign of life where there are none for long."""
        job = await self._jobs.make(search_pb2.SearchRequest(parent=request.parent, query=request.query))
        query = normalise(parse(request.query, now=int(self._clock.wall()) * 1_000_000, endless=True))
        job = replace(job, query=query)
        with self._feeds.subscription(job.workspace) as fed:
            # The first sign of life says that nothing is missed from here on.
            yield search_pb2.TailLogsResponse()
            async with aclosing(_Tail(self._jobs, job, fed).hits(self._within)) as found:
                async for hits in found:
                    if hits is None:
                        await self._jobs.snapshot(job.workspace)
                    yield search_pb2.TailLogsResponse(hits=hits)

    async def _within(self, waiting: Sequence[asyncio.Future[Any]]) -> bool:
        """Waits for the first of some futures; False when a heartbeat is due before."""
        tired = asyncio.ensure_future(self._clock.sleep(self._heartbeat))
        try:
            await kit.unless_draining(asyncio.wait([*waiting, tired], return_when=asyncio.FIRST_COMPLETED))
        finally:
            tired.cancel()
        return any(future.done() for future in waiting)


class _Tail:
    """One of them."""

    def __init__(self, jobs: Jobs, job: Job, fed: Subscription) -> None:
        self._jobs = jobs
        self._index = jobs.index
        self._query = job.query
        self._snapshot = job.snapshot
        self._fed = fed
        self._taken = Taken()
        self._matches = compile_predicate(job.query)
        self._highlighter = Highlighter(job.query)

    async def hits(self, within: _Within) -> AsyncGenerator[list[search_pb2.Hit] | None]:
        """Batches of at most 100; None when nothing came for the time of a heartbeat."""
        changed = asyncio.ensure_future(self._index.changed(self._snapshot))
        batch = asyncio.ensure_future(self._fed.next())
        try:
            while True:
                if not await within([changed, batch]):
                    yield None
                    continue
                # What was published before what was read later.
                if changed.done():
                    async for lines in self._published(changed.result()):
                        for hits in await self._messages(lines):
                            yield hits
                    changed = asyncio.ensure_future(self._index.changed(self._snapshot))
                if batch.done():
                    lines = await self._read(batch.result())
                    batch = asyncio.ensure_future(self._fed.next())
                    for at in range(0, len(lines), CHUNK):
                        for hits in await self._messages(lines[at : at + CHUNK]):
                            yield hits
        finally:
            changed.cancel()
            batch.cancel()

    async def _published(self, now: Snapshot) -> AsyncGenerator[Sequence[LogLine]]:
        """Matching lines that a later snapshot holds and nobody has seen, oldest first."""
        plan = Plan(query=self._query, order=Order.OLDEST, since=self._snapshot)
        async with aclosing(self._index.search(now, plan)) as events:
            async for event in events:
                if isinstance(event, Hits):
                    fresh = [line for line in event.lines if not self._taken.holds(line.source_id, line.number)]
                    if fresh:
                        yield fresh
        if self._snapshot.line_count and not now.line_count:
            # All was deleted: what comes from now on is new, whatever it is called.
            self._taken = Taken()
        self._snapshot = now
        self._taken.forget(self._index, now)

    async def _read(self, lines: list[LogLine]) -> list[LogLine]:
        """Matching lines of those that were read just now, without those that were seen or are deleted."""
        if not lines or lines[0].source_id in self._snapshot.hidden:
            return []
        source_id = lines[0].source_id
        new = [
            line
            for line in lines
            if not self._taken.holds(source_id, line.number)
            and not self._index.holds(self._snapshot, source_id, line.number)
        ]
        found = await self._jobs.blocking(lambda: [line for line in new if self._matches(line)])
        if new:
            self._taken.add(source_id, new[0].number, new[-1].number + 1)
        return found

    async def _messages(self, lines: Sequence[LogLine]) -> list[list[search_pb2.Hit]]:
        return await self._jobs.blocking(lambda: list(batches(lines, self._highlighter)))
