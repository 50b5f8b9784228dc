"""How long the calls of a method take, and how fast those that wait are worked off.

Theory of operation. A method's time is followed as TCP follows a round trip (RFC 6298): a moving mean and a moving mean
deviation, the first answer counting whole. `usual` is their sum: about five of six calls take no longer. `least` is the
lowest that the mean has been; it rises slowly towards the mean, so that a method that has become slower for good is
believed in the end (half of the way in some 700 calls).

A queue is worked off at a speed: seconds of such calls begun for each second in which somebody waited. It is 1 where
calls run one after the other on the event loop, and 50 where fifty of them wait for a database at a time; a sum of times
in a queue divided by the speed is the wait behind it, whatever is mixed in it. Old departures fade: the last few dozen
say nearly all.

Invariants: least <= mean; the speed is positive once it is known.
"""

from __future__ import annotations

__all__ = ["ServiceTime", "Speed"]

_MEAN = 1 / 8
_DEVIATION = 1 / 4
_RISE = 0.001
_FADE = 0.95
#: What a call counts in a queue before anything is known of its method. The unit does not matter where all are unknown.
_UNKNOWN = 0.01


class ServiceTime:
    """The calls of one method, from when they begin to run. Seconds."""

    __slots__ = ("_deviation", "known", "least", "mean")

    def __init__(self) -> None:
        self.known = False
        self.mean = _UNKNOWN
        self.least = 0.0
        self._deviation = 0.0

    @property
    def usual(self) -> float:
        """What a call takes, with some reserve; 0.0 before anything is known."""
        return self.mean + self._deviation if self.known else 0.0

    def learned(self, took: float) -> None:
        """A call took `took`, 0 or more."""
        if not self.known:
            self.known = True
            self.mean = self.least = took
            self._deviation = took / 2
            return
        off = took - self.mean
        self.mean += off * _MEAN
        self._deviation += (abs(off) - self._deviation) * _DEVIATION
        if self.mean < self.least:
            self.least = self.mean
        else:
            self.least += (self.mean - self.least) * _RISE


class Speed:
    """How fast one queue is worked off."""

    __slots__ = ("_begun", "_seconds", "_since")

    def __init__(self) -> None:
        self._begun = self._seconds = 0.0
        #: When the last of those that wait was let in, or the first began to wait; None while nobody waits.
        self._since: float | None = None

    def waiting(self, now: float) -> None:
        """Somebody waits where nobody did."""
        self._since = now

    def begun(self, now: float, cost: float, *, more: bool) -> None:
        """One that waited begins to run; `cost` is what its method takes, `more` whether others wait behind it."""
        if self._since is not None:
            self._begun = self._begun * _FADE + cost
            self._seconds = self._seconds * _FADE + max(0.0, now - self._since)
        self._since = now if more else None

    def emptied(self) -> None:
        """Nobody waits any more: those who did have left."""
        self._since = None

    def wait(self, cost: float) -> float:
        """Seconds until a queue of calls that take `cost` together has begun to run; 0.0 while nothing is known."""
        if self._seconds <= 0.0 or self._begun <= 0.0:
            return 0.0
        return cost * self._seconds / self._begun
