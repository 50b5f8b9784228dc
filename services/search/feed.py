"""Lines as the importer reads them, before they are in the index.

While a tail of a workspace is open in this process, one stream from the importer feeds all of them. It is a matter of
speed alone: a tail that misses lines here, because the importer is away or was faster than the tail, finds them in the
index when they are published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

import kit
from kit.clock import SYSTEM, Clock
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from services.search.index import NO_TIME
from services.search.seam import LogLine

__all__ = ["Feeds", "Subscription"]

#: Seconds until the importer is asked again after a failure, and where it does not know of this at all.
PAUSE_SECONDS, LONG_PAUSE_SECONDS = 2.0, 60.0
#: Batches that wait for a tail, at most; the importer makes them of at most 256 KB.
WAITING = 32

Connect = Callable[[], "importer_pb2_grpc.ImporterServiceAsyncStub"]


class Subscription:
    """What one tail has not taken yet."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[list[LogLine]] = asyncio.Queue(WAITING)

    def put(self, lines: list[LogLine]) -> None:
        """Adds a batch; one that finds no room is left out."""
        if not self._batches.full():
            self._batches.put_nowait(lines)

    async def next(self) -> list[LogLine]:
        """Waits for a batch."""
        return await self._batches.get()


class _Feed:
    """The stream for a workspace, and who listens to it."""

    def __init__(self, workspace: str, connect: Connect, clock: Clock) -> None:
        self.listening: set[Subscription] = set()
        self._workspace = workspace
        self._connect = connect
        self._clock = clock
        #: Line number with which the record of a source's last line began, and the number of that line.
        self._records: dict[str, tuple[int, int]] = {}
        self.task = kit.background(self._run(), name=f"feed of {workspace}")

    async def _run(self) -> None:
        request = importer_pb2.TailParsedRequest(parent=f"workspaces/{self._workspace}")
        while True:
            pause = PAUSE_SECONDS
            try:
                async for parsed in self._connect().TailParsed(request):
                    lines = self._lines(parsed)
                    for subscription in self.listening:
                        subscription.put(lines)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    pause = LONG_PAUSE_SECONDS
            await self._clock.sleep(pause)

    def _lines(self, parsed: importer_pb2.ParsedLines) -> list[LogLine]:
        source_id, source, number = parsed.source_id, parsed.source, parsed.first_line
        record, last = self._records.get(source_id, (number, 0))
        if last != number - 1:
            # As far as can be known: what came before was not seen.
            record = number
        found: list[LogLine] = []
        columns = zip(parsed.lines, parsed.times_us, parsed.levels, parsed.records, strict=True)
        for number, (raw, time, level, begins) in enumerate(columns, number):  # noqa: B020 - goes on from it
            if begins:
                record = number
            found.append(LogLine(source_id, source, number, raw, None if time == NO_TIME else time, level, record))
        if len(self._records) > 10_000:
            self._records.clear()
        self._records[source_id] = (record, number)
        return found


class Feeds:
    """The feeds of the workspaces that have tails. `connect` gives the importer's stub; None: there is none."""

    def __init__(self, connect: Connect | None, *, clock: Clock = SYSTEM) -> None:
        self._connect = connect
        self._clock = clock
        self._feeds: dict[str, _Feed] = {}

    @contextmanager
    def subscription(self, workspace: str) -> Iterator[Subscription]:
        """Listens to a workspace, and begins the stream with the first who does."""
        mine = Subscription()
        if self._connect is None:
            yield mine
            return
        feed = self._feeds.get(workspace)
        if feed is None:
            feed = self._feeds[workspace] = _Feed(workspace, self._connect, self._clock)
        feed.listening.add(mine)
        try:
            yield mine
        finally:
            feed.listening.discard(mine)
            if not feed.listening:
                del self._feeds[workspace]
                feed.task.cancel()

    async def close(self) -> None:
        """Ends every stream."""
        feeds = list(self._feeds.values())
        for feed in feeds:
            feed.task.cancel()
        await asyncio.gather(*(feed.task for feed in feeds), return_exceptions=True)
