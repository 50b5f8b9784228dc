"""A clock whose sleepers are woken when the channel is closed: they are cancelled.

Calls wait between two attempts, for as long as a server's pushback says. No attempt follows once the channel is closed,
so they end then, as calls whose attempt is under way do.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Generator
from typing import Any

from kit.clock import Clock

__all__ = ["Closing"]


class Closing:
    """The clock. Sleeping by it takes as many turns of the loop as by the one that it is made of."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self.wall = clock.wall
        self._clock = clock
        self._closed = False
        self._sleeping: set[asyncio.Future[Any]] = set()

    def close(self) -> None:
        """Cancels whoever sleeps, and whoever wants to from now on."""
        self._closed = True
        for sleeping in tuple(self._sleeping):
            sleeping.cancel()

    async def sleep(self, seconds: float) -> None:
        """Returns when `seconds` have passed. Raises CancelledError when the channel is closed."""
        if self._closed:
            raise asyncio.CancelledError
        await self._asleep(self._clock.sleep(seconds))

    @types.coroutine
    def _asleep(self, coroutine: Any) -> Generator[Any, Any, None]:
        step: Callable[[Any], Any] = coroutine.send
        given: Any = None
        while True:
            try:
                waiting = step(given)
            except StopIteration:
                return
            if waiting is not None:
                self._sleeping.add(waiting)
            try:
                given = yield waiting
                step = coroutine.send
            except BaseException as error:  # noqa: BLE001 - it is the clock's to handle, whatever it is
                given, step = error, coroutine.throw
            finally:
                self._sleeping.discard(waiting)
