"""What is known of one component: what a check found, and what the checks add up to."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.resilience.pulse import Health

__all__ = ["Finding", "HealthLayer", "HealthResult", "worst"]


class HealthLayer(enum.Enum):
    """What kind of thing a component is."""

    PORTS = "ports"
    SERVICES = "services"
    GATEWAY = "gateway"
    MACHINE = "machine"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check may return where "it is well" is not all that it has to say.

    DEGRADED: it serves, though not all is well. UNHEALTHY: it says itself that it does not serve, which counts at once
    and not only the third time. UNKNOWN counts as a check that failed.
    """

    status: Health = Health.HEALTHY
    message: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthResult:
    """The health of one component by its checks up to now."""

    component: str
    layer: HealthLayer
    #: Whether the process is not ready without it.
    required: bool
    status: Health
    #: For people; why, where it is not healthy.
    message: str = ""
    #: When the last check ended: seconds since 1970. None where there was none yet.
    timestamp: float | None = None
    #: Seconds that the last check took that had an answer.
    latency: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "component": self.component,
            "layer": self.layer.value,
            "required": self.required,
            "status": self.status.value,
            "message": self.message,
            "timestamp": self.timestamp,
            "latency": self.latency,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> HealthResult:
        """The reverse. Raises KeyError, TypeError or ValueError for what `to_json` has not written."""
        known = {**document, "layer": HealthLayer(document["layer"]), "status": Health(document["status"])}
        return cls(**known)


_ORDER = (Health.HEALTHY, Health.UNKNOWN, Health.DEGRADED, Health.UNHEALTHY)


def worst(*statuses: Health) -> Health:
    """The worst of them, where UNKNOWN is better than DEGRADED; HEALTHY where there is none."""
    return max(statuses, key=_ORDER.index, default=Health.HEALTHY)
