"""How many calls a server can work on at a time, found from how long they take: the gradient.

Theory of operation. While a server has capacity left, calls take the same time however many run; beyond that they queue
and take longer. So the latency of late (the mean of a window) is compared with the baseline, which is the latency
without queueing, and the limit follows their ratio, once for each window:

    gradient = clamp(tolerance * baseline / latency, 0.5, 1) * (1 - failed / 2)
    goal     = limit * gradient + sqrt(limit)
    limit    = limit + smoothing * (goal - limit)                   within its bounds

sqrt(limit) is headroom: it lets the limit grow while nothing is wrong, and a short queue stand. `failed` is the share
of calls that failed from overload: a share, as in DCTCP, so that a few failures among many calls do not drive the limit
to the floor. The limit comes to rest near tolerance * C + sqrt(limit) for a server of capacity C, and
higher where C is small against the initial limit: near 15 for 3.

A baseline that followed what is seen under load would rise with the very queue that it is to show (the known fault of a
plain long-term mean), so it is measured: every `probe_interval` the limit is halved, which is below the capacity, and
the next `probe_samples` calls admitted are the cohort whose mean latency counts. It is the whole cohort that is waited
for and not the first answers: those would be the quick ones.

    state     what happened                                       next      limit           baseline
    OPEN      window full, at least half of the limit in use      OPEN      as above        -
    OPEN      window full, less in use                            OPEN      only failures   follows slowly
    OPEN      probe_interval over, limit in use                   PROBE     halved          -
    PROBE     the whole cohort has ended                          OPEN      as before       measured and old, half each
    PROBE     it has not, after ten times the baseline            OPEN      as before       so, if nine in ten have

It begins in PROBE. Where a probe finds far less than the one before, the next follows soon. Each probe is a generation,
and so is the time after its cohort is full; only a permit of the probe's own generation counts for it, so no call from
before it, or late answer from an older one, spoils the baseline. Windows count every call that ends in them.

Invariants: min_limit <= limit <= max_limit; the baseline lies between the least and the greatest latency seen; the
limit moves only when a window is full or a probe begins or ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Gradient", "GradientRules"]

#: A probe is given up after so many times the baseline.
_PATIENCE = 10
#: Of a cohort, enough to go by when the rest hangs.
_MOST = 0.9
#: Lower than this share of the old baseline is no scatter: what was measured before had queued, and perhaps this has,
#: too, so the next probe comes after this share of the interval.
_FAR_BELOW = 0.8
_SOON = 0.1
#: How fast the baseline follows while the limit is not in use, for each window.
_FOLLOW = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientRules:
    """How the limit is found. Times in seconds.

    Bounds, start, smoothing (Netflix) and tolerance (Envoy) are those of the limiters in use. A hundred samples bring
    the mean of latencies that scatter as widely as they are long to within 10 %. A probe costs at most half of the
    throughput for the time of a hundred calls.
    """

    min_limit: int = 3
    max_limit: int = 1000
    initial_limit: int = 20
    tolerance: float = 1.25
    smoothing: float = 0.2
    #: A window is full when it is this old and has this many calls.
    window: float = 0.1
    window_samples: int = 10
    probe_interval: float = 30.0
    probe_samples: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.min_limit <= self.max_limit:
            raise ValueError(f"min_limit must be 1 to max_limit ({self.max_limit}), not {self.min_limit}")


class Gradient:
    """The limit of one server or one process."""

    __slots__ = (
        "_asked",
        "_count",
        "_failed",
        "_probe_at",
        "_probe_sum",
        "_probed",
        "_probing",
        "_resume",
        "_rules",
        "_running",
        "_since",
        "_sum",
        "baseline",
        "generation",
        "limit",
    )

    def __init__(self, rules: GradientRules, now: float) -> None:
        self._rules = rules
        self.limit = 0.0
        #: What the next call is admitted in.
        self.generation = 0
        #: What a call takes without queueing; None before enough is known.
        self.baseline: float | None = None
        # The window: since when, and the calls that ended in it.
        self._since = now
        self._sum = 0.0
        self._count = self._failed = self._running = 0
        # The probe: its generation, the limit to go back to, the calls admitted for it, and those that answered.
        self._probing: int | None = 0
        self._resume = float(rules.initial_limit)
        self._asked = self._probed = 0
        self._probe_sum = 0.0
        self._set(self._resume / 2)
        #: When the next probe begins, or this one is given up.
        self._probe_at = now + rules.probe_interval

    def admitted(self) -> int:
        """A call was admitted: the generation that its end is to be told with."""
        generation = self.generation
        if generation == self._probing:
            self._asked += 1
            if self._asked >= self._rules.probe_samples:
                self.generation += 1
        return generation

    def answered(self, now: float, took: float, running: int, generation: int) -> None:
        """A call took `took` seconds; `running` is how many ran, with it."""
        self._sum += took
        self._count += 1
        if generation == self._probing:
            self._probed += 1
            self._probe_sum += took
        self._ended(now, running)

    def failed(self, now: float, running: int, generation: int) -> None:
        """A call failed from overload: it was refused there, or not answered in time."""
        self._failed += 1
        self.left(generation)
        self._ended(now, running)

    def left(self, generation: int) -> None:
        """A call was cancelled, or ended with what tells nothing: another takes its part in the cohort."""
        if generation == self._probing:
            self._asked -= 1
            self.generation = generation

    def _ended(self, now: float, running: int) -> None:
        rules = self._rules
        self._running = max(self._running, running)
        if self._probing is not None:
            if self._probed >= rules.probe_samples or now >= self._probe_at:
                self._end_probe(now)
        elif self._count + self._failed >= rules.window_samples and now - self._since >= rules.window:
            self._adjust(now)

    def _adjust(self, now: float) -> None:
        rules, limit, seen = self._rules, self.limit, self._count + self._failed
        used = self._running >= limit / 2
        latency = self._sum / self._count if self._count else 0.0
        if self.baseline is None:
            self.baseline = latency or None
        elif latency and not used:
            self.baseline += (latency - self.baseline) * _FOLLOW
        gradient = 1.0 - self._failed / seen / 2
        if used and latency and self.baseline is not None:
            gradient *= min(1.0, max(0.5, rules.tolerance * self.baseline / latency))
        goal = limit * gradient + (math.sqrt(limit) if used else 0.0)
        self._set(limit + rules.smoothing * (goal - limit))
        if now >= self._probe_at and used:
            self._begin_probe(now)
        self._begin_window(now)

    def _begin_probe(self, now: float) -> None:
        self._resume = self.limit
        self._set(self.limit / 2)
        self.generation += 1
        self._probing = self.generation
        self._asked = self._probed = 0
        self._probe_sum = 0.0
        self._probe_at = now + (_PATIENCE * self.baseline if self.baseline else self._rules.probe_interval)

    def _end_probe(self, now: float) -> None:
        wait = self._rules.probe_interval
        if self._probed >= self._rules.probe_samples * _MOST:
            measured = self._probe_sum / self._probed
            old = self.baseline
            far_below = old is not None and measured < _FAR_BELOW * old
            wait *= _SOON if far_below else 1
            self.baseline = measured if old is None or far_below else (old + measured) / 2
        self._probing = None
        self.generation += 1
        self._set(self._resume)
        self._probe_at = now + wait
        self._begin_window(now)

    def _set(self, limit: float) -> None:
        self.limit = min(max(limit, self._rules.min_limit), self._rules.max_limit)

    def _begin_window(self, now: float) -> None:
        self._since = now
        self._sum = 0.0
        self._count = self._failed = self._running = 0
