"""What a registry of health tells whoever listens. Each event is a line in the log too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kit.health.result import HealthResult
from kit.resilience.pulse import Health

__all__ = ["HealthChanged", "HealthEvent", "LatencyAnomaly"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthChanged:
    """A component has another status, and has had it for as long as changes are debounced."""

    component: str
    #: What is checked: an address, a folder; "" where the check does not say.
    endpoint: str
    old: Health
    new: Health
    #: As it is now.
    result: HealthResult

    @property
    def better(self) -> bool:
        """Whether it serves, and did not or did worse before."""
        return self.new is Health.HEALTHY or (self.new is Health.DEGRADED and self.old is Health.UNHEALTHY)

    def __str__(self) -> str:
        where = f" ({self.endpoint})" if self.endpoint else ""
        why = f": {self.result.message}" if self.result.message else ""
        return f"{self.component}{where} is {self.new.value}, was {self.old.value}{why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyAnomaly:
    """A check took unusually long for the component, by its own former checks. Changes no status."""

    component: str
    endpoint: str
    #: Seconds: what the check took, and the median of those before.
    latency: float
    usual: float

    def __str__(self) -> str:
        return f"{self.component} took {self.latency * 1000:.0f} ms to answer, usual are {self.usual * 1000:.0f} ms"


HealthEvent: TypeAlias = HealthChanged | LatencyAnomaly
