"""How long the calls of a method take, and how fast those that wait are worked off.

Theory of operation. A method's time is followed by a moving mean (an eighth of each new one, as TCP follows a round
trip), the first answer counting whole. `least` is the lowest that the mean has been; it rises slowly towards the mean,
so that a method that has become slower for good is believed in the end (half of the way in some 700 calls).

What a call needs once it runs is estimated by what those take that run alone, where there are any, as handlers that
compute do: the machine may have become slower. Else by the smaller of the mean and a little more than the least: under
a load that makes calls slow each other down the mean tells of the load, which is what is being taken away.

How long a method's callers would wait at the most is remembered from those whose deadline is known, and fades: callers
that give more are rare when they are not seen for a few dozen calls.

A queue is worked off at a speed: seconds of such calls begun for each second in which somebody waited. It is 1 where
calls run one after the other on the event loop, and 50 where fifty of them wait for a database at a time. The sum of
the times in a queue divided by the speed is the wait behind it, whatever is mixed in it. Old departures fade: the last
few dozen say nearly all. What a method takes may have changed since its calls came, so the number of those that wait
and the time between two departures say it a second time, and the shorter of the two waits is believed. Only what lies
between two departures counts: the first to wait may have done so while the loop accepted a thousand others. Before a
few are known, nothing is said.

Invariants: least <= mean once something is known; a wait is never negative.
"""

from __future__ import annotations

import math

__all__ = ["ServiceTime", "Speed"]

_SHARE = 1 / 8
_RISE = 0.001
_LITTLE_MORE = 1.25
_SLOWED = 2.0
_QUICK, _SPARED = 0.001, 7
_FADE = 0.95
_FORGET = 0.05
#: Seconds; who gives more gives no deadline at all.
_FOREVER = 3600.0
#: What a call counts in a queue before anything is known of its method. The unit does not matter where all are unknown.
_UNKNOWN = 0.01
#: Departures before which nothing is said of the speed: one that the machine held up would say too much.
_FEW = 8


class ServiceTime:
    """The calls of one method, from when they begin to run. Seconds."""

    __slots__ = ("_alone", "known", "least", "mean", "patience", "slow", "spared")

    def __init__(self) -> None:
        self.known = False
        self.mean = _UNKNOWN
        self.least = 0.0
        self._alone: float | None = None
        #: Seconds that callers give; infinite before any is known.
        self.patience = math.inf
        #: A call that takes longer has been slowed down by others.
        self.slow = 0.0
        #: Of so many calls and one, one is worth being told of, where none was slowed down: calls that take no time are
        #: many. Always one less than a power of two.
        self.spared = 0

    @property
    def needed(self) -> float:
        """What a call takes when it runs; 0.0 before anything is known."""
        return min(self.mean, self.least * _LITTLE_MORE if self._alone is None else self._alone)

    def given(self, seconds: float) -> None:
        """A call had `seconds` left when it came; infinite for no deadline."""
        if seconds >= self.patience or self.patience == math.inf:
            self.patience = min(seconds, _FOREVER)
        else:
            self.patience += (seconds - self.patience) * _FORGET

    def learned(self, took: float, *, alone: bool = False) -> None:
        """A call took `took`, 0 or more; `alone` if no other ran when it ended."""
        if alone:
            self._alone = took if self._alone is None else self._alone + (took - self._alone) * _SHARE
        if not self.known:
            self.known = True
            self.mean = self.least = took
        self.mean += (took - self.mean) * _SHARE
        if self.mean < self.least:
            self.least = self.mean
        else:
            self.least += (self.mean - self.least) * _RISE
        self.slow = self.least * _SLOWED
        self.spared = _SPARED if self.least < _QUICK else 0


class Speed:
    """How fast one queue is worked off."""

    __slots__ = ("_begun", "_count", "_seconds", "_since", "_told")

    def __init__(self) -> None:
        # Faded sums over the departures: what their methods take, how many they are, the seconds between them.
        self._begun = self._count = self._seconds = 0.0
        self._told = 0
        #: When the last of those that waited was let in; None where nobody waited behind it.
        self._since: float | None = None

    def begun(self, now: float, cost: float, *, more: bool) -> None:
        """One that waited begins to run; `cost` is what its method takes, `more` whether others wait behind it."""
        if self._since is not None:
            self._begun = self._begun * _FADE + cost
            self._count = self._count * _FADE + 1.0
            self._seconds = self._seconds * _FADE + max(0.0, now - self._since)
            self._told += 1
        self._since = now if more else None

    def emptied(self) -> None:
        """Nobody waits any more: those who did have left."""
        self._since = None

    def wait(self, cost: float, calls: float) -> float:
        """Seconds until so many `calls`, which take `cost` together, have begun to run; 0.0 while nothing is known."""
        if self._told < _FEW or not self._begun:
            return 0.0
        return self._seconds * min(cost / self._begun, calls / self._count)
