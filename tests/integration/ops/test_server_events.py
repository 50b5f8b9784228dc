"""What a server tells the event bus of itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kit
from kit import events
from kit.events import MemoryBus
from kit.health import Health, HealthChanged, HealthLayer, HealthResult, LatencyAnomaly
from kit.server._ops import tell_health
from kit.server._tls import Certificates
from kitapi.v1 import events_pb2
from tests.integration.server.certificates import Ca


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    with events.use(MemoryBus(), quiet=0.0) as bus:
        assert isinstance(bus, MemoryBus)
        yield bus


def told(bus: MemoryBus) -> list[tuple[str, Any]]:
    """Subject and payload of each event."""
    found = []
    for event in bus._kept:
        payload: Any = getattr(events_pb2, event.payload.TypeName().rpartition(".")[2])()
        assert event.payload.Unpack(payload)
        found.append((event.subject, payload))
    return found


async def test_a_server_tells_that_it_serves_and_that_it_drains(bus: MemoryBus) -> None:
    async with kit.Server("greeter", register=False, grace=0.0) as server:
        address = server.address
        assert told(bus) == [("servers/greeter", events_pb2.ServerStarted(name="greeter", address=address))]
        assert bus._kept[0].source.startswith("greeter@")
    assert told(bus)[1:] == [("servers/greeter", events_pb2.DrainBegun(name="greeter", address=address))]


async def test_a_server_that_never_served_tells_nothing(bus: MemoryBus) -> None:
    async def fail() -> None:
        raise ValueError("not today")

    server = kit.Server("greeter", register=False, grace=0.0).on_start(fail)
    with pytest.raises(ValueError, match="not today"):
        await server.start()
    assert told(bus) == []


def test_the_health_of_components_is_told(bus: MemoryBus) -> None:
    result = HealthResult(
        component="store", layer=HealthLayer.SERVICES, required=True, status=Health.UNHEALTHY, message="refused"
    )
    worse = HealthChanged(
        component="store", endpoint="store:7", old=Health.HEALTHY, new=Health.UNHEALTHY, result=result
    )
    better = HealthChanged(
        component="store", endpoint="store:7", old=Health.UNHEALTHY, new=Health.HEALTHY, result=result
    )
    for event in (worse, better):
        tell_health(event)
    tell_health(LatencyAnomaly(component="store", endpoint="store:7", latency=2.0, usual=0.5))
    failed, well, slow = told(bus)
    assert failed == (
        "components/store",
        events_pb2.HealthCheckFailed(
            service="store", port=7, old_status="HEALTHY", new_status="UNHEALTHY", error="refused"
        ),
    )
    assert well[1] == events_pb2.HealthCheckSuccess(
        service="store", port=7, old_status="UNHEALTHY", new_status="HEALTHY"
    )
    assert (slow[1].latency.seconds, slow[1].usual.ToMilliseconds()) == (2, 500)


async def test_a_component_that_changes_is_told_by_its_server(bus: MemoryBus) -> None:
    async with kit.Server("greeter", register=False, grace=0.0) as server:
        server.components._listeners.tell(LatencyAnomaly(component="store", endpoint="store:7", latency=2.0, usual=0.5))
        assert told(bus)[1][0] == "components/store"


def test_certificates_that_were_exchanged_are_told_of(bus: MemoryBus, tmp_path: Path) -> None:
    ca = Ca(tmp_path / "ca")
    pair = ca.issue("server", "localhost")
    certificates = Certificates(kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key))
    other = ca.issue("other", "localhost")
    shutil.copy(other.key, pair.key)
    certificates._take()
    shutil.copy(other.chain, pair.chain)
    certificates._take()
    (_, refused), (_, taken) = told(bus)
    assert (refused.accepted, taken.accepted, taken.error) == (False, True, "")
    assert "belong together" in refused.error
