"""Whether the event loop turns. While it is stuck no call moves, no probe is answered, and nothing can say why.

The loop leaves a mark four times a second. A thread looks at the marks: where there has been none for a second it logs
the stack of the loop's thread, which is where it is stuck, once; and when the loop turns again, how long that was. The
thread looks at its own punctuality too: where it was late itself the whole process was stopped, or had no CPU, and the
loop is not to blame.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from types import FrameType

from kit.health.result import Finding
from kit.observe import get_logger
from kit.resilience.pulse import Health

__all__ = ["LoopWatch"]

log = get_logger("kit.health")

#: Seconds from mark to mark.
_BEAT = 0.25
#: Seconds that are looked back, once or twice.
_HALF = 30.0
#: Marks late by more than this, in seconds, make the loop DEGRADED.
_LAGGING = 0.5
#: Frames of the stack that are logged, the innermost ones.
_FRAMES = 30


class LoopWatch:
    """Watches the loop that runs where it is started."""

    def __init__(self, *, stuck: float = 1.0) -> None:
        """`stuck` is the seconds without a mark after which the loop counts as stuck."""
        self._stuck = stuck
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._mark = 0.0
        #: Seconds by which marks were late at worst, in the half minute that runs and in the one before.
        self._worst = self._worst_before = 0.0
        self._turned = 0.0
        #: Seconds by which the last mark was late.
        self.lag = 0.0

    def start(self) -> None:
        """Inside the running event loop."""
        if self._thread is not None:
            return
        self._ended.clear()
        self._mark = self._turned = time.monotonic()
        self._schedule(asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="kit loop watch", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Watches no more; nothing is left running."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None:
            self._thread.join(timeout=1.0)
            self._thread = None

    def finding(self) -> Finding:
        """How late the loop was at worst in the last minute or so."""
        worst = max(self._worst, self._worst_before)
        said = f"turns, late by {worst * 1000:.0f} ms at worst"
        details = {"lag_ms": f"{self.lag * 1000:.1f}", "worst_lag_ms": f"{worst * 1000:.1f}"}
        return Finding(Health.DEGRADED if worst > _LAGGING else Health.HEALTHY, said, details)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_BEAT, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        self.lag = max(0.0, now - self._mark - _BEAT)
        if now - self._turned > _HALF:
            self._worst_before, self._worst, self._turned = self._worst, 0.0, now
        self._worst = max(self._worst, self.lag)
        self._mark = now
        self._schedule(loop)

    def _watch(self, thread_id: int) -> None:
        """The thread."""
        since: float | None = None
        looked = time.monotonic()
        while not self._ended.wait(_BEAT):
            now, mark = time.monotonic(), self._mark
            punctual = now - looked < 2 * _BEAT
            looked = now
            if since is None:
                if punctual and now - mark > self._stuck:
                    since = mark
                    stack = _stack(sys._current_frames().get(thread_id))
                    log.error("the event loop is stuck", seconds=round(now - mark, 2), stack=stack)
            elif mark > since:
                log.warning("the event loop turns again", stuck_seconds=round(mark - since, 2))
                since = None


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame, _FRAMES)) if frame is not None else ""
