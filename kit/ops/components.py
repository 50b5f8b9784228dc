"""Health components as messages."""

from __future__ import annotations

from kit.durations import to_duration
from kit.health import HealthResult
from kit.resilience.pulse import Health
from kitapi.v1 import ops_pb2

__all__ = ["HEALTH", "component_message"]

#: The same in both.
HEALTH = {
    Health.UNKNOWN: ops_pb2.Endpoint.UNKNOWN,
    Health.HEALTHY: ops_pb2.Endpoint.HEALTHY,
    Health.DEGRADED: ops_pb2.Endpoint.DEGRADED,
    Health.UNHEALTHY: ops_pb2.Endpoint.UNHEALTHY,
}


def component_message(result: HealthResult) -> ops_pb2.ComponentHealth:
    """What is known of one component."""
    message = ops_pb2.ComponentHealth(
        component=result.component,
        status=HEALTH[result.status],
        message=result.message,
        details={"layer": result.layer.value, "required": str(result.required).lower(), **result.details},
    )
    if result.timestamp is not None:
        message.time.FromNanoseconds(round(result.timestamp * 1e9))
    if result.latency is not None:
        message.latency.CopyFrom(to_duration(result.latency))
    return message
