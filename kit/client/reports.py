"""What a channel says of its endpoints when it is asked."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from kit.resilience.pulse import Health

__all__ = ["ChannelStatistics", "EndpointCheck", "EndpointStatistics", "HealthReport"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointCheck:
    """One check of one endpoint, as it came out."""

    address: str
    #: HEALTHY; DEGRADED where it answered slowly; UNHEALTHY where it failed or says that it does not serve.
    status: Health
    #: Seconds that the check took, connecting included.
    latency: float
    #: In words; why, where it is not healthy.
    message: str
    #: When it ended: seconds since 1970.
    timestamp: float
    #: Checks that have failed in a row, this one included.
    failures: int
    #: Whether it answered itself that it does not serve.
    said_no: bool = False

    @property
    def serving(self) -> bool:
        """Whether calls may go there: it answered, if slowly."""
        return self.status in (Health.HEALTHY, Health.DEGRADED)


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthReport:
    """A check of every endpoint of a channel. `str()` of it is a line for each."""

    target: str
    endpoints: tuple[EndpointCheck, ...]
    #: When the last check ended: seconds since 1970.
    timestamp: float

    @property
    def status(self) -> Health:
        """HEALTHY where all are, UNHEALTHY where none serves, DEGRADED in between, UNKNOWN where there is none."""
        if not self.endpoints:
            return Health.UNKNOWN
        if all(one.status is Health.HEALTHY for one in self.endpoints):
            return Health.HEALTHY
        return Health.DEGRADED if any(one.serving for one in self.endpoints) else Health.UNHEALTHY

    def __str__(self) -> str:
        lines = (
            f"{one.address} {one.status.value} in {one.latency * 1000:.0f} ms: {one.message}" for one in self.endpoints
        )
        return "\n".join((f"{self.target} is {self.status.value}", *lines))


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointStatistics:
    """What a channel knows of one endpoint."""

    address: str
    state: grpc.ChannelConnectivity
    #: Connections that were made, and tries to make one that failed, as far as the channel looks after connections
    #: (`warm_up`, or since `force_reconnect`).
    connects: int
    failures: int
    #: Why the last try failed; "" where none has.
    last_error: str
    #: Left out of the pick because its calls fail, for the methods of one policy at least.
    ejected: bool
    #: Left out of the pick because its health checks fail.
    passed_over: bool
    #: By the checks up to now; UNKNOWN where there was none. DEGRADED also after one or two checks that failed.
    health: Health
    #: Health checks that failed in a row.
    failed_checks: int
    #: None where grpc does not say.
    calls_in_flight: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelStatistics:
    """What a channel knows of its endpoints. Calls are not counted here: that is what metrics are for."""

    target: str
    endpoints: tuple[EndpointStatistics, ...]
    #: Health checks that were made in the background, and those of them that failed.
    heartbeats: int
    heartbeats_failed: int
    #: Connections that were made in place of one that was lost or given up on purpose.
    reconnects: int
