"""When to start something again that ended. Pure: time is an argument.

After each end the machine is asked once, and gives the seconds to wait or says that it is given up. What has been
healthy for `stable_after` seconds starts over with no restarts counted.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from kit.errors import ConfigurationError

__all__ = ["Growth", "RestartPolicy", "Restarts"]


class Growth(enum.Enum):
    """How the delay before restart n grows."""

    #: base * 2^(n-1): 1, 2, 4, ...
    EXPONENTIAL = "exponential"
    #: base * n: 1, 2, 3, ...
    LINEAR = "linear"
    #: base
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """How often and how fast. Times are seconds."""

    growth: Growth = Growth.EXPONENTIAL
    base: float = 1.0
    cap: float = 60.0
    #: Restarts in a row before it is given up; 0 never restarts.
    max_restarts: int = 3
    #: Time of health after which the count starts over.
    stable_after: float = 60.0

    def __post_init__(self) -> None:
        for name in ("base", "cap", "stable_after"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"restart policy: {name} must be 0 or more seconds, not {value!r}")
        if self.max_restarts < 0:
            raise ConfigurationError(f"restart policy: max_restarts must be 0 or more, not {self.max_restarts}")

    def delay(self, restart: int) -> float:
        """Seconds before restart number `restart`; 1 is the first."""
        if self.growth is Growth.EXPONENTIAL:
            # Beyond 2^63 only the cap counts, and a float would overflow.
            return float(min(self.cap, self.base * 2 ** min(restart - 1, 63)))
        if self.growth is Growth.LINEAR:
            return min(self.cap, self.base * restart)
        return min(self.cap, self.base)


class Restarts:
    """The restarts of one thing, counted."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._healthy_since: float | None = None
        #: Restarts since the last stable time.
        self.count = 0

    def healthy(self, now: float) -> None:
        """It is up and does its work since `now`."""
        self._healthy_since = now

    def ended(self, now: float) -> float | None:
        """It ended. Seconds to wait before the next start; None when it is given up."""
        if self._healthy_since is not None and now - self._healthy_since >= self._policy.stable_after:
            self.count = 0
        self._healthy_since = None
        if self.count >= self._policy.max_restarts:
            return None
        self.count += 1
        return self._policy.delay(self.count)
