"""Whether an endpoint counts as healthy, from checks of it.

Theory of operation. A check ends in one of five ways, and what counts is what came of it in a row:

    the check             failures     health
    answered in time      0            HEALTHY
    answered, but slowly  as before    DEGRADED; UNHEALTHY stays what it is: only an answer in time takes it back
    says that it limps    as before    DEGRADED, also where it was UNHEALTHY: it serves, and nobody knows better
    failed                one more     DEGRADED; with the unhealthy_after-th in a row UNHEALTHY
    said no               one more     UNHEALTHY at once: nobody knows better than the endpoint

UNKNOWN is what has never been checked. A change is worth telling only where an endpoint becomes UNHEALTHY or stops
being it, so an endpoint that goes to and fro below that is told of never.

Checks may overlap. One that began before another one of which the end has been noted says nothing new and is dropped.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

from kit.resilience.kinds import check_kinds

__all__ = ["Health", "HealthCheck", "Pulse", "Turn", "next_check"]


class Health(enum.Enum):
    """What is held of an endpoint."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """How the endpoints of a channel are checked by grpc.health.v1. Times are seconds."""

    #: From one check to the next; it is spread by a tenth either way, so that clients do not stay in step.
    interval: float = 30.0
    #: How long one check may take.
    timeout: float = 5.0
    #: Whose status is asked for; "" is that of the server as a whole.
    service: str = ""
    #: Checks that fail in a row until the endpoint counts as unhealthy.
    unhealthy_after: int = 3
    #: An answer that takes longer counts as degraded.
    slow: float = 1.0
    #: Besides, each endpoint is to tell of changes at once, over a stream that stays open: no call is sent to a server
    #: any more that is about to stop.
    watch: bool = False

    def __post_init__(self) -> None:
        check_kinds(self)
        for name in ("interval", "timeout", "slow"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a time of more than 0, not {value}")
        if self.unhealthy_after < 1:
            raise ValueError(f"unhealthy_after must be at least 1, not {self.unhealthy_after}")


def next_check(check: HealthCheck, u: float) -> float:
    """Seconds from one check to the next; `u` is uniform in [0, 1)."""
    return check.interval * (0.9 + 0.2 * u)


class Turn(NamedTuple):
    """An endpoint has become unhealthy, or is no longer."""

    healthy: bool
    #: In a row, before.
    failures: int
    #: How long it had been unhealthy; 0.0 where it has just become so.
    seconds: float


class Pulse:
    """What is known of one endpoint. Each way a check ends takes when it began and answers a turn or None."""

    __slots__ = ("_check", "_noted", "_since", "failures", "health")

    def __init__(self, check: HealthCheck) -> None:
        self._check = check
        self._noted = -math.inf
        #: Since when it is unhealthy.
        self._since = 0.0
        self.health = Health.UNKNOWN
        #: In a row.
        self.failures = 0

    def answered(self, began: float, now: float) -> Turn | None:
        """The endpoint is well, as far as it can tell."""
        if not self._newer(began):
            return None
        if now - began > self._check.slow:
            if self.health is not Health.UNHEALTHY:
                self.health = Health.DEGRADED
            return None
        before, self.failures = self.failures, 0
        was, self.health = self.health, Health.HEALTHY
        return Turn(True, before, now - self._since) if was is Health.UNHEALTHY else None

    def limped(self, began: float, now: float) -> Turn | None:
        """It says itself that it serves, and that not all is well."""
        if not self._newer(began):
            return None
        was, self.health = self.health, Health.DEGRADED
        return Turn(True, self.failures, now - self._since) if was is Health.UNHEALTHY else None

    def failed(self, began: float, now: float) -> Turn | None:
        """There was no answer, or none that says anything."""
        return self._failed(began, now, at_once=False)

    def said_no(self, began: float, now: float) -> Turn | None:
        """The endpoint says itself that it does not serve."""
        return self._failed(began, now, at_once=True)

    def _failed(self, began: float, now: float, *, at_once: bool) -> Turn | None:
        if not self._newer(began):
            return None
        self.failures += 1
        if self.health is Health.UNHEALTHY:
            return None
        if not at_once and self.failures < self._check.unhealthy_after:
            self.health = Health.DEGRADED
            return None
        self.health, self._since = Health.UNHEALTHY, now
        return Turn(False, self.failures, 0.0)

    def _newer(self, began: float) -> bool:
        if began < self._noted:
            return False
        self._noted = began
        return True
