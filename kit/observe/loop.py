"""How late the event loop is: the time by which its timers come too late, because something else holds it up."""

from __future__ import annotations

import asyncio
from contextvars import Context

from kit.observe import metrics

__all__ = ["LoopLag"]

#: Seconds between looks.
INTERVAL = 0.25


class LoopLag:
    """Looks at intervals how late a timer of the running loop is, and records it as `kit.event_loop.lag`."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lag = metrics.histogram("kit.event_loop.lag", "How late timers of the event loop were.")
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._again()

    def _again(self) -> None:
        # In a context of its own: it outlives what is going on now.
        self._timer = self._loop.call_later(self._interval, self._look, self._loop.time(), context=Context())

    def _look(self, since: float) -> None:
        self._lag.record(max(0.0, self._loop.time() - since - self._interval))
        self._again()

    def close(self) -> None:
        """Looks no more. May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
