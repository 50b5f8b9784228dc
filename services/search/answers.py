"""Finished answers, kept twice: encoded in this process's memory, and, when they were slow, in the cache service.

A key holds the workspace's generation, so an answer can never be out of date. The cache service is never waited for
longer than the search itself takes: it is asked only once an answer is late, while the search goes on, and given only
what was dear to compute: waiting for a thread is no reason to burden another process. When it fails it is left alone
for a while.

Callers who ask the same at the same time share one search. One that gives up leaves it to the others; when the last one
does, it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

import kit
from kit.clock import SYSTEM, Clock
from kit.observe import metrics
from loganalyzer.cache.v1 import cache_pb2, cache_pb2_grpc
from services.search.lru import LruCache

__all__ = ["Answers", "SharedAnswers"]

#: An answer that cost more processor time than this is worth a call to the cache service.
DEAR_SECONDS = 0.005
#: After so long the cache service is asked while the search goes on.
LATE_SECONDS = 0.025
#: How long the cache service is left alone after a failure.
PAUSE_SECONDS = 5.0
#: The cache service takes no more.
LARGEST_SHARED = 1 << 20

_ANSWERS = metrics.counter(
    "loganalyzer.search.answers",
    "Answers by where they came from: this process's memory (l1), the cache service (l2), a search (miss), or a search "
    "that another caller had begun (shared).",
    labels=("tier",),
)

#: Gives the encoded answer and the processor time, in seconds, that it cost.
Search = Callable[[], Awaitable[tuple[bytes, float]]]


class SharedAnswers:
    """The cache service, as far as it is there. Its failures are not raised. `connect` gives its stub."""

    def __init__(self, connect: Callable[[], cache_pb2_grpc.CacheServiceAsyncStub], *, clock: Clock = SYSTEM) -> None:
        self._connect = connect
        self._clock = clock
        self._resume = 0.0

    @property
    def usable(self) -> bool:
        """It has not failed lately."""
        return self._clock.now() >= self._resume

    async def get(self, key: str) -> bytes | None:
        """The answer, or None."""
        try:
            found = await self._connect().Get(cache_pb2.GetRequest(key=key))
        except grpc.aio.AioRpcError:
            self._resume = self._clock.now() + PAUSE_SECONDS
            return None
        return found.value if found.found else None

    async def put(self, key: str, answer: bytes) -> None:
        """Keeps an answer for as long as the cache service likes."""
        if len(answer) > LARGEST_SHARED:
            return
        try:
            await self._connect().Set(cache_pb2.SetRequest(key=key, value=answer))
        except grpc.aio.AioRpcError:
            self._resume = self._clock.now() + PAUSE_SECONDS


@dataclass(slots=True)
class _Flight:
    """A search under way, and how many wait for it."""

    task: asyncio.Task[tuple[bytes, bool]]
    waiting: int = 0


class Answers:
    """Gets an answer from the nearest place that has it."""

    def __init__(self, limit: int, shared: SharedAnswers | None) -> None:
        self._kept: LruCache[bytes, bytes] = LruCache(limit, len)
        self._shared = shared
        self._flights: dict[bytes, _Flight] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def get(self, key: bytes, prefix: str, search: Search) -> tuple[bytes, str]:
        """(encoded answer, "index", "cache" or "shared"). `prefix` begins the key in the cache service.

        `search` may go on after this caller has gone, while others wait for the same.
        """
        kept = self._kept.get(key)
        if kept is not None:
            _ANSWERS.add(tier="l1")
            return kept, "cache"
        flight = self._flights.get(key)
        mine = flight is None
        if flight is None:
            flight = self._flights[key] = _Flight(kit.background(self._fly(key, prefix, search)))
        flight.waiting += 1
        try:
            answer, had = await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.waiting == 1 and not flight.task.done():
                # Whoever asks from now on begins anew.
                self._land(key, flight)
                flight.task.cancel()
            raise
        finally:
            flight.waiting -= 1
        if not mine:
            _ANSWERS.add(tier="shared")
            return answer, "shared"
        _ANSWERS.add(tier="l2" if had else "miss")
        return answer, "cache" if had else "index"

    async def _fly(self, key: bytes, prefix: str, search: Search) -> tuple[bytes, bool]:
        flight = self._flights[key]
        try:
            answer, had = await self._find(f"{prefix}/{hashlib.sha256(key).hexdigest()}", search)
            self._kept.put(key, answer)
            return answer, had
        finally:
            self._land(key, flight)

    def _land(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def close(self) -> None:
        """Waits for what is on its way to the cache service."""
        if self._background:
            await asyncio.wait(self._background)

    async def _find(self, key: str, search: Search) -> tuple[bytes, bool]:
        searching = asyncio.ensure_future(search())
        asking: asyncio.Task[bytes | None] | None = None
        try:
            await asyncio.wait([searching], timeout=LATE_SECONDS)
            if not searching.done() and self._shared is not None and self._shared.usable:
                asking = asyncio.create_task(self._shared.get(key))
                await asyncio.wait([searching, asking], return_when=asyncio.FIRST_COMPLETED)
                if asking.done() and (found := asking.result()) is not None:
                    return found, True
            answer, cost = await searching
        finally:
            for task in (searching, asking):
                if task is not None and not task.done():
                    task.cancel()
        if self._shared is not None and self._shared.usable and cost > DEAR_SECONDS:
            task_of_put = kit.background(self._shared.put(key, answer))
            self._background.add(task_of_put)
            task_of_put.add_done_callback(self._background.discard)
        return answer, False
