"""Whether an event loop has come to all that waited for it, so that more work may be begun.

Theory of operation. A loop serves whom it sees. While a handler computes it sees nobody, and calls pile up where only
the transport knows of them: grpc.aio accepts one call in several turns of the loop, so with a computing handler in each
of those turns the calls wait in the core, first in first out, until the deadlines of all of them have passed. Hence
after a stretch of computing nobody begins before the loop has turned freely for a moment and nobody new has come.

    held    what is seen                                                      next
    no      a gap of at least `BLOCK` between two looks, spent computing     held
    held    a call has come, or the loop computes once more                   held, the moment begins again
    held    `_TURNS` turns, and the moment has passed, without a call         free
    held    a share of the stretch has passed                                 free: calls come faster than they are seen
    held    a look after a gap that was not spent computing                   free: the loop was idle

Who looks says what CPU time the loop's thread has had. A gap counts as computing by what is certain of it: its length
less all the idle time since the thread's time was last asked for, which is asked after long gaps only, as it costs more
than the clock. The moment is a hundredth of the stretch, so that is what it costs.

Invariant: a stretch of computing of length s holds for at most max(_LEAST, _SHARE * s).
"""

from __future__ import annotations

__all__ = ["BLOCK", "Pace"]

#: Seconds between two looks from which they are a gap. Shorter work than this is no dearer than accepting a call.
BLOCK = 0.001
#: Turns of the loop that accepting a call takes, and some more.
_TURNS = 8
#: The moment, as a share of the stretch and in seconds. Handing a call from thread to thread takes a tenth of a
#: millisecond.
_QUIET, _QUIET_LEAST, _QUIET_MOST = 0.01, 0.0002, 0.0005
#: The longest hold, as a share of the stretch and in seconds.
_SHARE, _LEAST = 0.25, 0.002
#: Of a gap, what has to have been computing. Little, as others may have had the processor for the rest.
_SOME = 0.05


class Pace:
    """One event loop. Instants in seconds; `cpu` is the CPU time of its thread."""

    __slots__ = ("_cpu", "_moment", "_read_at", "_since", "_turns", "_until", "held", "seen")

    def __init__(self, now: float, cpu: float) -> None:
        #: Whether nobody may begin now.
        self.held = False
        #: The last look.
        self.seen = now
        self._read_at = now
        self._cpu = cpu
        self._since = self._until = self._moment = 0.0
        self._turns = 0

    def computed(self, now: float, cpu: float) -> None:
        """A look after a gap: the last one was at least `BLOCK` ago. Any other look only has to set `seen`."""
        length = now - self.seen
        self.seen = now
        idle = (now - self._read_at) - (cpu - self._cpu)
        self._read_at, self._cpu = now, cpu
        busy = length - max(0.0, idle)
        if busy < max(BLOCK, length * _SOME):
            self.held = False
            return
        self._turns = 0
        self._since = now
        if not self.held:
            self.held = True
            self._moment = min(max(busy * _QUIET, _QUIET_LEAST), _QUIET_MOST)
            self._until = now + max(_LEAST, busy * _SHARE)

    def arrived(self, now: float) -> None:
        """A call has been accepted."""
        self._turns = 0
        self._since = now

    def turned(self, now: float) -> bool:
        """The loop has made a turn while it was held. Whether it is free now."""
        self._turns += 1
        if (self._turns >= _TURNS and now - self._since >= self._moment) or now >= self._until:
            self.held = False
        return not self.held
