"""The bus that every process has: the last events, in memory."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator

from kitapi.v1 import events_pb2

__all__ = ["MemoryBus"]

#: Events that are kept: a few hundred kB at most.
SIZE = 1000


class MemoryBus:
    """Keeps the last `size` events. Appended to from any thread; watched in any event loop. See `kit.events.bus`."""

    def __init__(self, size: int = SIZE) -> None:
        if size < 1:
            raise ValueError(f"size must be 1 or more, not {size}")
        self._size = size
        self._kept: deque[events_pb2.Event] = deque()
        self._sequences: dict[str, int] = {}
        self._last = 0
        self._lock = threading.Lock()
        self._watchers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @property
    def last(self) -> int:
        """The sequence of the newest event; 0 before the first."""
        return self._last

    def post(self, event: events_pb2.Event) -> None:
        """Takes the event, which then has its sequence, and wakes who watches."""
        self._take(event)

    async def append(self, event: events_pb2.Event) -> int:
        """The same, for who wants to know the sequence."""
        return self._take(event)

    async def watch(self, after: int = 0) -> AsyncGenerator[events_pb2.Event, None]:
        """Events after that position, then those to come."""
        position = 0 if after > self._last else after
        news = asyncio.Event()
        self._watchers[news] = asyncio.get_running_loop()
        try:
            while True:
                news.clear()
                event = self._after(position)
                if event is None:
                    await news.wait()
                else:
                    position = event.sequence
                    yield event
        finally:
            del self._watchers[news]

    def _take(self, event: events_pb2.Event) -> int:
        with self._lock:
            known = self._sequences.get(event.id)
            if known is not None:
                return known
            self._last += 1
            event.sequence = self._last
            self._kept.append(event)
            self._sequences[event.id] = self._last
            if len(self._kept) > self._size:
                del self._sequences[self._kept.popleft().id]
            watchers = tuple(self._watchers.items())
        for news, loop in watchers:
            _wake(news, loop)
        return self._last

    def _after(self, position: int) -> events_pb2.Event | None:
        """The next event that a reader at `position` gets; None where there is none yet."""
        with self._lock:
            if position >= self._last:
                return None
            first = self._last - len(self._kept) + 1
            if position and position + 1 < first:
                return _lost(position + 1, first - 1, self._kept[0])
            return self._kept[max(0, position + 1 - first)]


def _wake(news: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    if asyncio._get_running_loop() is loop:
        news.set()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(news.set)


def _lost(first: int, last: int, next_one: events_pb2.Event) -> events_pb2.Event:
    lost = events_pb2.Event(id=secrets.token_hex(16), source=next_one.source, sequence=last)
    lost.time.CopyFrom(next_one.time)
    lost.payload.Pack(events_pb2.EventsLost(first_sequence=first, last_sequence=last))
    return lost
