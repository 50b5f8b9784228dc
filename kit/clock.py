"""Time, as the kit reads it.

Everything that waits or measures takes a `Clock`, so that tests run in virtual time (`kit.testing.VirtualClock`).
Durations and deadlines are counted on `now()`, which never jumps; `wall()` is only for people and for what leaves the
process.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["SYSTEM", "Clock", "SystemClock"]


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Monotonic seconds; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns when `seconds` have passed on `now()`."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)


#: The clock that is used where none is given.
SYSTEM: Clock = SystemClock()
