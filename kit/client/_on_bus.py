"""What happens to channels, told to the process's event bus as well as to `on_event`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from kit import events
from kit.client import events as told
from kit.discovery import port_of
from kit.durations import to_duration
from kitapi.v1 import events_pb2

__all__ = ["publish"]

_Message: TypeAlias = Any


def publish(event: told.ChannelEvent) -> None:
    """Publishes what a channel tells, where there is a message for it."""
    make = _MESSAGES.get(type(event))
    if make is not None:
        events.publish(make(event), subject=_subject(event))


def _subject(event: Any) -> str:
    if isinstance(event, told.PolicyReloaded):
        return f"policies/{event.source}"
    address = getattr(event, "address", "")
    return f"endpoints/{address}" if address else f"channels/{event.target}"


_MESSAGES: Mapping[type[told.ChannelEvent], Callable[[Any], _Message]] = {
    told.WarmedUp: lambda event: events_pb2.ChannelWarmedUp(
        target=event.target,
        connected=event.connected,
        failed=[address for address, _ in event.failed],
        duration=to_duration(event.seconds),
    ),
    told.EndpointsChanged: lambda event: events_pb2.EndpointsChanged(
        target=event.target, added=event.added, removed=event.removed
    ),
    told.EndpointEjected: lambda event: events_pb2.EndpointEjected(
        target=event.target, address=event.address, reason=event.why
    ),
    told.EndpointReturned: lambda event: events_pb2.EndpointReturned(
        target=event.target, address=event.address, reason=event.why
    ),
    told.ReconnectFailed: lambda event: events_pb2.EndpointUnreachable(
        target=event.target, address=event.address, tries=event.tries, error=event.why
    ),
    told.Reconnected: lambda event: events_pb2.EndpointReconnected(
        target=event.target, address=event.address, after=to_duration(event.after)
    ),
    told.EndpointUnhealthy: lambda event: events_pb2.HealthCheckFailed(
        service=event.target, port=port_of(event.address), new_status="UNHEALTHY", error=event.why
    ),
    told.EndpointHealthy: lambda event: events_pb2.HealthCheckSuccess(
        service=event.target, port=port_of(event.address), old_status="UNHEALTHY", new_status="HEALTHY"
    ),
    told.LookupFailed: lambda event: events_pb2.LookupFailed(target=event.target, error=event.reason),
    told.CertificatesReloaded: lambda event: events_pb2.CertificatesReloaded(
        target=event.target, accepted=event.accepted, error=event.reason
    ),
    told.PolicyReloaded: lambda event: events_pb2.PolicyReloaded(
        path=event.source, accepted=event.accepted, error=event.reason
    ),
}
