"""The last calls that were more than one attempt that succeeded at once, for who looks at a running process.

Kept are calls that failed, were refused, were made again, hedged or answered by a fallback, and streams. What goes well
at the first attempt leaves no trace, so that it costs nothing. Neither metadata nor messages are kept.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from opentelemetry import trace

from kit.call import CallReport
from kit.clock import Clock
from kit.pipeline import Call

__all__ = ["RECENT", "Recent", "RecentCall"]

#: Calls that are kept; each is a few hundred bytes, and its error's text.
SIZE = 256


class RecentCall(NamedTuple):
    """A call that has ended."""

    report: CallReport
    #: Seconds since 1970.
    ended_at: float
    #: In hexadecimal; "" where it was not traced.
    trace_id: str


class Recent:
    """A ring of the last calls."""

    __slots__ = ("_kept",)

    def __init__(self, size: int = SIZE) -> None:
        self._kept: deque[RecentCall] = deque(maxlen=size)

    def note(self, call: Call, report: CallReport, clock: Clock) -> None:
        """The call has ended."""
        context = call.span.get_span_context()
        trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
        self._kept.append(RecentCall(report, clock.wall(), trace_id))

    def newest_first(self) -> list[RecentCall]:
        """What is kept now."""
        return list(reversed(self._kept))


#: Of this process, on the machine's clock: simulations have none.
RECENT = Recent()
