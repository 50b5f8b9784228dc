"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import heapq
import itertools

__all__ = ["VirtualClock"]

#: Turns of the loop that whoever was woken gets before time moves on.
_TURNS = 10


class VirtualClock:
    """A `kit.clock.Clock` in virtual time: `advance` moves it and wakes those whose time has come, in order.

    With `autojump=True` nobody needs to advance it: whoever sleeps moves it on by as much and goes on at once. That
    suits tests with one sleeper at a time.
    """

    def __init__(self, *, start: float = 1000.0, wall: float = 1_700_000_000.0, autojump: bool = False) -> None:
        self._now = self._start = start
        self._wall = wall
        self._autojump = autojump
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        #: Every sleep that was asked for, in seconds.
        self.sleeps: list[float] = []

    def now(self) -> float:
        """Virtual monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Virtual seconds since 1970; moves with `now`, and by `shift_wall`."""
        return self._wall + self._now - self._start

    def shift_wall(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as an administrator might; `now` does not notice."""
        self._wall += seconds

    async def sleep(self, seconds: float) -> None:
        """Returns when the clock has been moved on by `seconds`."""
        self.sleeps.append(seconds)
        if self._autojump:
            self._now += max(0.0, seconds)
            await asyncio.sleep(0)
            return
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Moves the clock on, stopping at every instant at which somebody wakes."""
        until = self._now + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await _settle()
        self._now = until


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
