"""How long calls have taken of late: a quantile of a stream, in fixed memory.

Theory of operation. Latencies fall into buckets whose bounds grow by a tenth each, from 0.1 ms to 100 s; a quantile is
the middle of the bucket in which it lies, so it is within 5 % of the truth. What was seen loses half its weight every
half-life: instead of shrinking all buckets as time goes on, each new latency is added with the weight
2 ** ((now - origin) / half_life), and the origin is moved up, dividing all buckets once, before weights grow too large.

The answer is worked out anew after every sixteenth latency and kept in between, so that asking is cheap. With fewer
than `enough` latencies' worth of weight there is no answer: a guess would send hedges for nothing.

Invariants: the estimate lies within 5 % of the weighted quantile of what was added (inside the bounds); weights are
never negative; memory does not depend on how much was added.
"""

from __future__ import annotations

import math

__all__ = ["LatencyQuantile"]

_LOWEST = 1e-4
_HIGHEST = 100.0
_GROWTH = 1.1
_PER_LOG = 1 / math.log(_GROWTH)
_BUCKETS = math.ceil(math.log(_HIGHEST / _LOWEST) * _PER_LOG) + 1
#: 2 ** 20 is far from where sums of floats lose small addends that matter.
_LARGEST_EXPONENT = 20.0
_KEEP = 16


class LatencyQuantile:
    """One quantile of recent latencies. Times in seconds."""

    __slots__ = ("_answer", "_buckets", "_enough", "_half_life", "_origin", "_stale", "_total", "quantile")

    def __init__(self, quantile: float, *, half_life: float = 30.0, enough: float = 20.0) -> None:
        """`quantile` within (0, 1).

        A half-life of 30 s follows a change of load within a minute and yet sees a few hundred calls of a service that
        is called ten times a second; 20 latencies are the fewest of which the 95th percentile is one.
        """
        if not 0 < quantile < 1:
            raise ValueError(f"delay_quantile must lie between 0 and 1, not {quantile}")
        if not 0 < half_life < math.inf:
            raise ValueError(f"half_life must be a time of more than 0, not {half_life}")
        self.quantile = quantile
        self._half_life = half_life
        self._enough = enough
        self._origin: float | None = None
        self._buckets = [0.0] * _BUCKETS
        self._total = 0.0
        self._answer = 0.0
        self._stale = 0

    def add(self, now: float, latency: float) -> None:
        """Notes a latency. One outside the bounds counts as the bound."""
        origin = self._origin
        if origin is None:
            origin = self._origin = now
        exponent = (now - origin) / self._half_life
        if exponent > _LARGEST_EXPONENT:
            self._move_origin(now, exponent)
            exponent = 0.0
        weight = 2.0**exponent
        if latency <= _LOWEST:
            place = 0
        elif latency >= _HIGHEST:
            place = _BUCKETS - 1
        else:
            place = math.ceil(math.log(latency / _LOWEST) * _PER_LOG)
        self._buckets[place] += weight
        self._total += weight
        self._stale -= 1

    def value(self, now: float) -> float | None:
        """The quantile; None while too little is known."""
        if self._origin is None or self._total < self._enough * 2.0 ** min(
            (now - self._origin) / self._half_life, 1000.0
        ):
            return None
        if self._stale <= 0:
            self._answer = self._find()
            self._stale = _KEEP
        return self._answer

    def _find(self) -> float:
        wanted = self.quantile * self._total
        below = 0.0
        place = 0
        for number, weight in enumerate(self._buckets):
            if weight:
                below += weight
                place = number
                if below >= wanted:
                    break
        return _LOWEST * _GROWTH**place * 2 / (1 + _GROWTH)

    def _move_origin(self, now: float, exponent: float) -> None:
        shrink = 0.0 if exponent > 1000 else 2.0**-exponent
        self._buckets = [weight * shrink for weight in self._buckets]
        self._total = sum(self._buckets)
        self._origin = now
