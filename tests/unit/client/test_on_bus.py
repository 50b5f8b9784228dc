"""What happens to channels is told to the event bus as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kit import events
from kit.client import events as told
from kit.client._on_bus import _MESSAGES
from kit.client.events import Listeners
from kit.events import MemoryBus
from kitapi.v1 import events_pb2

TARGET = "dns:///shop:1"
SAMPLES: list[tuple[told.ChannelEvent, str, dict[str, Any]]] = [
    (
        told.WarmedUp(target=TARGET, connected=("a:1",), failed=(("b:1", "refused"),), seconds=0.25),
        f"channels/{TARGET}",
        {"connected": ["a:1"], "failed": ["b:1"]},
    ),
    (told.EndpointsChanged(target=TARGET, added=("a:1",)), f"channels/{TARGET}", {"added": ["a:1"]}),
    (told.EndpointEjected(target=TARGET, address="a:1", why="5 in a row"), "endpoints/a:1", {"reason": "5 in a row"}),
    (told.EndpointReturned(target=TARGET, address="a:1", why="well"), "endpoints/a:1", {"reason": "well"}),
    (
        told.ReconnectFailed(target=TARGET, address="a:1", tries=10, why="refused"),
        "endpoints/a:1",
        {"tries": 10, "error": "refused"},
    ),
    (told.Reconnected(target=TARGET, address="a:1", after=2.0), "endpoints/a:1", {"address": "a:1"}),
    (
        told.EndpointUnhealthy(target=TARGET, address="[::1]:7", failures=3, why="late"),
        "endpoints/[::1]:7",
        {"service": TARGET, "port": 7, "new_status": "UNHEALTHY", "error": "late"},
    ),
    (
        told.EndpointHealthy(target=TARGET, address="unix:/a", after=3.0),
        "endpoints/unix:/a",
        {"port": 0, "old_status": "UNHEALTHY", "new_status": "HEALTHY"},
    ),
    (told.LookupFailed(target=TARGET, reason="no such name"), f"channels/{TARGET}", {"error": "no such name"}),
    (
        told.CertificatesReloaded(target=TARGET, accepted=False, reason="expired"),
        f"channels/{TARGET}",
        {"accepted": False, "error": "expired"},
    ),
    (
        told.PolicyReloaded(target=TARGET, source="/p.toml", accepted=True),
        "policies//p.toml",
        {"path": "/p.toml", "accepted": True},
    ),
]


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    with events.use(MemoryBus(), quiet=0.0) as bus:
        assert isinstance(bus, MemoryBus)
        yield bus


@pytest.mark.parametrize(("event", "subject", "fields"), SAMPLES, ids=lambda value: type(value).__name__)
def test_an_event_of_a_channel_is_told_with_what_it_says(
    bus: MemoryBus, event: told.ChannelEvent, subject: str, fields: dict[str, Any]
) -> None:
    heard: list[told.ChannelEvent] = []
    Listeners([heard.append], on_bus=True).tell(event)
    assert heard == [event]
    (published,) = bus._kept
    assert published.subject == subject
    payload: Any = getattr(events_pb2, published.payload.TypeName().rpartition(".")[2])()
    assert published.payload.Unpack(payload)
    for name, value in fields.items():
        found = getattr(payload, name)
        assert (list(found) if isinstance(value, list) else found) == value, name


def test_every_event_of_a_channel_has_a_message() -> None:
    kinds = {kind for kind in vars(told).values() if isinstance(kind, type) and issubclass(kind, told.ChannelEvent)}
    assert kinds - {told.ChannelEvent} == set(_MESSAGES) == {type(event) for event, _, _ in SAMPLES}


def test_listeners_alone_tell_no_bus(bus: MemoryBus) -> None:
    Listeners().tell(SAMPLES[0][0])
    assert bus.last == 0
