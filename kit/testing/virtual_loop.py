"""An event loop in virtual time: where nothing is left to do but wait, the wait is over at once.

Theory of operation. asyncio asks its selector to wait for sockets until the next timer is due. The selector here has
no sockets: it moves the loop's time on by as much as it was asked to wait and returns. So everything that waits by
`asyncio.sleep`, `asyncio.timeout` or `loop.call_later` runs unchanged, in the order in which it would have run, and no
real time passes. Where nothing is ready and no timer is set, nothing can ever happen again: that is an error.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kit.errors import UsageError

__all__ = ["LoopClock", "VirtualEventLoop", "run_virtually"]

_T = TypeVar("_T")
#: 2023-11-14 22:13:20 UTC
_WALL = 1_700_000_000.0
#: Seconds by which asyncio lets a timer fire early: the resolution of the monotonic clock.
_RESOLUTION = time.get_clock_info("monotonic").resolution


class _Selector(selectors.SelectSelector):
    """Waits for nobody."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise UsageError("everything waits for something that can never happen: no timer is set")
        self.now += timeout
        if timeout and self.now + _RESOLUTION == self.now:
            # After a hundred days the loop's own tolerance is lost in rounding, and a timer that is due is not "past".
            self.now = math.nextafter(self.now, math.inf)
        return []


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """Starts at 0 seconds. Sockets, threads and signals cannot wake it."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.now


class LoopClock:
    """A `kit.clock.Clock` that shows the time of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now: Callable[[], float] = loop.time

    def wall(self) -> float:
        """Virtual seconds since 1970."""
        return _WALL + self.now()

    async def sleep(self, seconds: float) -> None:
        """Returns when `seconds` have passed on the loop."""
        await asyncio.sleep(seconds)


def run_virtually(main: Callable[[LoopClock], Coroutine[Any, Any, _T]]) -> _T:
    """Runs `main(clock)` to its end in a loop of its own, in no real time.

    Nothing is handed on from the caller's context. Raises UsageError inside a running event loop: go through
    `await asyncio.to_thread(...)` there.
    """
    if asyncio._get_running_loop() is not None:
        raise UsageError("virtual time needs a thread without a running event loop; use asyncio.to_thread")

    async def run() -> _T:
        return await main(LoopClock(asyncio.get_running_loop()))

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        return runner.run(run(), context=contextvars.Context())
