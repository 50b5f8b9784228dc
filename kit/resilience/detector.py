"""Whether one replica of a service is faulty, from checks of it.

Theory of operation. What the checks add up to is a `Pulse`; the figures are those of `HealthCheck`:

    the check                          failures     status
    none yet                           0            UNKNOWN
    answered within `slow`             0            HEALTHY
    answered later                     as before    DEGRADED; UNHEALTHY stays
    said that not all is well          as before    DEGRADED
    failed, or gave no answer in time  one more     DEGRADED, and UNHEALTHY with the third in a row
    said that it does not serve        one more     UNHEALTHY at once

So a success resets and a degraded answer does not: slow, failed, slow, failed, slow, failed is UNHEALTHY.

A fixed threshold does not see that a replica which answers in 2 ms has begun to take 200. So each answer is compared
with the replica's own former ones. It is an anomaly where it took longer than `factor` times their median, and longer
by `margin`, and by `deviations` times their usual spread. The spread is the median distance from the median, made
comparable with a standard deviation: a few outliers among the former answers do not hide the next one. Anomalies are
told, and change no status. Every answer joins the history, so what stays slow becomes the usual, and is news no more.

Checks may overlap. One that began before another one whose end is known counts for nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kit.resilience.kinds import check_kinds
from kit.resilience.pulse import Health, HealthCheck, Pulse

__all__ = ["Anomaly", "AnomalyRules", "Detector", "Record", "Step"]

#: Makes the median absolute deviation of a normal distribution its standard deviation.
_NORMAL = 1.4826


@dataclass(frozen=True, kw_only=True, slots=True)
class AnomalyRules:
    """When an answer is unusual for the replica that gave it. Times are seconds."""

    #: Former answers that are compared with; at every 30 s the last half hour.
    history: int = 64
    #: Fewer say nothing yet.
    minimum: int = 16
    #: How far beyond the median, in spreads.
    deviations: float = 6.0
    #: How many times the median.
    factor: float = 3.0
    #: How far beyond the median at least: nobody feels less.
    margin: float = 0.02

    def __post_init__(self) -> None:
        check_kinds(self)
        if not 2 <= self.minimum <= self.history:
            raise ValueError(f"minimum must be 2 to history ({self.history}), not {self.minimum}")
        for name in ("deviations", "factor", "margin"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number from 0, not {value}")

    def limit(self, former: Iterable[float]) -> float:
        """The longest that is not unusual after these; infinity where they are too few."""
        known = sorted(former)
        if len(known) < self.minimum:
            return math.inf
        usual = _median(known)
        spread = _NORMAL * _median(sorted(abs(one - usual) for one in known))
        return max(usual + self.deviations * spread, usual * self.factor, usual + self.margin)


class Anomaly(NamedTuple):
    """An answer that took unusually long for the replica that gave it. Seconds."""

    latency: float
    #: The median of its former answers.
    usual: float


class Step(NamedTuple):
    """What a check has changed."""

    old: Health
    new: Health
    anomaly: Anomaly | None = None
    #: False where a later check was known already.
    counted: bool = True

    @property
    def changed(self) -> bool:
        """Whether the status is another one."""
        return self.old is not self.new


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is known of one replica."""

    service: str
    endpoint: str
    status: Health
    #: When the last check ended, on the clock that the checks are timed by; None where there was none.
    last_check: float | None
    #: Checks that have failed in a row.
    failures: int
    #: Seconds that the last answer took; None where there was none.
    response_time: float | None


class Detector:
    """The checks of one replica. Each way in which a check ends takes when it began and when it ended."""

    __slots__ = ("_anomalies", "_former", "_last", "_noted", "_pulse", "_response", "endpoint", "service")

    def __init__(
        self, service: str, endpoint: str, check: HealthCheck | None = None, anomalies: AnomalyRules | None = None
    ) -> None:
        self.service = service
        self.endpoint = endpoint
        self._pulse = Pulse(HealthCheck() if check is None else check)
        self._anomalies = AnomalyRules() if anomalies is None else anomalies
        self._former: deque[float] = deque(maxlen=self._anomalies.history)
        self._noted = -math.inf
        self._last: float | None = None
        self._response: float | None = None

    @property
    def status(self) -> Health:
        """What the checks add up to."""
        return self._pulse.health

    @property
    def failures(self) -> int:
        """In a row."""
        return self._pulse.failures

    def record(self) -> Record:
        """All that is known."""
        return Record(
            service=self.service,
            endpoint=self.endpoint,
            status=self.status,
            last_check=self._last,
            failures=self.failures,
            response_time=self._response,
        )

    def answered(self, began: float, now: float) -> Step:
        """It answered that all is well."""
        old = self.status
        if not self._newer(began, now):
            return Step(old, old, None, counted=False)
        self._pulse.answered(began, now)
        return Step(old, self.status, self._compared(now - began))

    def limped(self, began: float, now: float) -> Step:
        """It answered that it serves, but that not all is well."""
        old = self.status
        if not self._newer(began, now):
            return Step(old, old, None, counted=False)
        self._pulse.limped(began, now)
        return Step(old, self.status, self._compared(now - began))

    def failed(self, began: float, now: float) -> Step:
        """There was no answer in time, or one that says nothing."""
        old = self.status
        if not self._newer(began, now):
            return Step(old, old, None, counted=False)
        self._pulse.failed(began, now)
        return Step(old, self.status)

    def said_no(self, began: float, now: float) -> Step:
        """It says itself that it does not serve."""
        old = self.status
        if not self._newer(began, now):
            return Step(old, old, None, counted=False)
        self._pulse.said_no(began, now)
        return Step(old, self.status)

    def _newer(self, began: float, now: float) -> bool:
        if began < self._noted:
            return False
        self._noted, self._last = began, now
        return True

    def _compared(self, latency: float) -> Anomaly | None:
        self._response = latency
        unusual = latency > self._anomalies.limit(self._former)
        anomaly = Anomaly(latency, _median(sorted(self._former))) if unusual else None
        self._former.append(latency)
        return anomaly


def _median(ordered: list[float]) -> float:
    """Of at least one number, in order."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
