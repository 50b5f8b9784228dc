"""What is said of ports: to who asks, and to the event bus."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PortCheck", "PortConflict", "PortStatistics", "tell", "tell_health"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PortCheck:
    """Whether somebody takes connections at a port."""

    port: int
    listening: bool
    #: Seconds that it took.
    latency: float
    #: Why not.
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PortConflict:
    """A port that was asked for by name, and was taken. `time` is seconds since 1970."""

    service: str
    port: int
    holder: str
    time: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PortStatistics:
    """What an allocator has done, and what is held on the machine."""

    first: int
    last: int
    allocated: int
    released: int
    #: Ports that were tried and passed over.
    passed_over: int
    #: Ports that came from beyond the range.
    from_system: int
    conflicts: int
    #: By any process of the machine.
    leased: int


def tell(kind: str, service: str, **fields: int | str) -> None:
    """Tells the event bus by the message of that name."""
    from kit import events  # nothing is told where ports are only looked at
    from kitapi.v1 import events_pb2

    events.publish(getattr(events_pb2, kind)(service=service, **fields), subject=f"services/{service}")


def tell_health(service: str, check: PortCheck, before: bool | None) -> None:
    """Tells what a check has found; `before` is whether somebody listened then, None where nothing was known."""
    old = "UNKNOWN" if before is None else "HEALTHY" if before else "UNHEALTHY"
    if check.listening:
        tell("HealthCheckSuccess", service, port=check.port, old_status=old, new_status="HEALTHY")
    else:
        tell(
            "HealthCheckFailed",
            service,
            port=check.port,
            old_status=old,
            new_status="UNHEALTHY",
            error=check.error,
        )
