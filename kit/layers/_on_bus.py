"""What breakers tell the process's event bus. Only those on the machine's clock do: simulations tell nobody."""

from __future__ import annotations

from kit.resilience.breaker_states import Change

__all__ = ["tell_change"]


def tell_change(name: str, change: Change) -> None:
    """A breaker has changed its state; `name` is its endpoint, or its service on a channel that is grpc's own."""
    # Breakers change seldom, and a program whose breakers never do need not import it.
    from kit import events
    from kitapi.v1 import events_pb2

    payload = events_pb2.BreakerStateChanged(
        endpoint=name, old_state=change.old.name, new_state=change.new.name, reason=change.reason
    )
    events.publish(payload, subject=f"breakers/{name}")
