"""The last outcomes of calls, counted: over a number of calls, or over a time.

Theory of operation. An outcome is two bits, failed and slow. A window keeps the sums of the outcomes that it looks at,
adds each new one and takes off what has left, so recording costs the same however large the window is, and its memory
is fixed when it is made.

    CountWindow   a ring of the last `size` outcomes, a byte each; the newest overwrites the oldest
    TimeWindow    `BUCKETS` equal slices of the last `seconds`; time that passes empties the oldest slice as a whole, so
                  an outcome counts for at least 9/10 of the window and never longer than the whole of it

Rates are shares from 0 to 1, and -1 until `minimum_calls` outcomes are in the window: a share of two calls says
nothing. They are quotients, so that 29 failures of 100 are exactly the 0.29 that somebody wrote (0.29 * 100 is less
than 29).
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["BUCKETS", "NO_RATE", "CountWindow", "TimeWindow", "Window"]

#: Slices of a time window. Ten forget in steps of a tenth, which is finer than any decision that is taken from it.
BUCKETS: Final = 10
#: A rate that is not known yet.
NO_RATE: Final = -1.0


class Window(Protocol):
    """What both kinds have in common. The sums are attributes because they are read for every call."""

    calls: int
    failures: int
    slow: int

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Adds the outcome of a call that ended at `now`."""
        ...

    def refresh(self, now: float) -> None:
        """Lets go of what is too old at `now`."""
        ...

    def clear(self) -> None:
        """Forgets everything."""
        ...

    @property
    def failure_rate(self) -> float:
        """Share of failures, 0 to 1; -1 before there are enough calls."""
        ...

    @property
    def slow_rate(self) -> float:
        """Share of slow calls, 0 to 1; -1 before there are enough calls."""
        ...


class _Sums:
    __slots__ = ("_minimum", "calls", "failures", "slow")

    def __init__(self, minimum_calls: int) -> None:
        self._minimum = minimum_calls
        self.calls = 0
        self.failures = 0
        self.slow = 0

    @property
    def failure_rate(self) -> float:
        return self.failures / self.calls if self.calls >= self._minimum else NO_RATE

    @property
    def slow_rate(self) -> float:
        return self.slow / self.calls if self.calls >= self._minimum else NO_RATE


class CountWindow(_Sums):
    """The last `size` calls. Both arguments are at least 1."""

    __slots__ = ("_next", "_ring", "_size")

    def __init__(self, size: int, minimum_calls: int) -> None:
        super().__init__(minimum_calls)
        self._size = size
        self._ring = bytearray(size)
        self._next = 0

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Adds an outcome; the time does not matter here."""
        place = self._next
        if self.calls == self._size:
            oldest = self._ring[place]
            self.failures -= oldest & 1
            self.slow -= oldest >> 1
        else:
            self.calls += 1
        self._ring[place] = failed | slow << 1
        self.failures += failed
        self.slow += slow
        place += 1
        self._next = place if place < self._size else 0

    def refresh(self, now: float) -> None:
        """Nothing grows old by time alone."""

    def clear(self) -> None:
        """Forgets everything."""
        self.calls = self.failures = self.slow = self._next = 0


class TimeWindow(_Sums):
    """The last `seconds`, more than 0. Instants are monotonic; one that lies before the newest counts as the newest."""

    __slots__ = ("_calls", "_failures", "_slice", "_slow", "_width")

    def __init__(self, seconds: float, minimum_calls: int) -> None:
        super().__init__(minimum_calls)
        self._width = seconds / BUCKETS
        self._calls = [0] * BUCKETS
        self._failures = [0] * BUCKETS
        self._slow = [0] * BUCKETS
        #: The number of the newest slice, counted from the clock's zero; None before the first outcome.
        self._slice: int | None = None

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Adds the outcome of a call that ended at `now`."""
        place = self._advance(now) % BUCKETS
        self._calls[place] += 1
        self._failures[place] += failed
        self._slow[place] += slow
        self.calls += 1
        self.failures += failed
        self.slow += slow

    def refresh(self, now: float) -> None:
        """Lets go of what is too old at `now`."""
        self._advance(now)

    def clear(self) -> None:
        """Forgets everything."""
        for counts in (self._calls, self._failures, self._slow):
            counts[:] = [0] * BUCKETS
        self.calls = self.failures = self.slow = 0

    def _advance(self, now: float) -> int:
        """Empties the slices from the newest up to that of `now`, which becomes the newest; gives its number."""
        current = int(now // self._width)
        newest = self._slice
        if newest is None:
            self._slice = current
            return current
        if current <= newest:
            return newest
        for passed in range(max(newest + 1, current - BUCKETS + 1), current + 1):
            place = passed % BUCKETS
            self.calls -= self._calls[place]
            self.failures -= self._failures[place]
            self.slow -= self._slow[place]
            self._calls[place] = self._failures[place] = self._slow[place] = 0
        self._slice = current
        return current
