"""What is told, and how often."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from kit import events
from kit.events import MemoryBus
from kit.events.publishing import Publisher
from kit.testing import VirtualClock
from kitapi.v1 import events_pb2

SPAN = NonRecordingSpan(
    SpanContext(
        trace_id=0x0AF7651916CD43DD8448EB211C80319C,
        span_id=0xB7AD6B7169203331,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
)


def told(bus: MemoryBus) -> list[str]:
    """The short names of the types, in order."""
    return [event.payload.TypeName().rpartition(".")[2] for event in bus._kept]


def failed(status: str = "UNHEALTHY") -> events_pb2.HealthCheckFailed:
    return events_pb2.HealthCheckFailed(service="search", port=1421, new_status=status)


def test_an_event_says_who_told_it_when_and_of_what() -> None:
    clock = VirtualClock(wall=1_700_000_000.5)
    bus = MemoryBus()
    publisher = Publisher(bus, clock=clock)
    publisher.name = "search"
    publisher.publish(events_pb2.CacheHit(key="k"), subject="caches/k")
    (event,) = bus._kept
    assert event.source.startswith("search@")
    assert event.source.endswith(f"/{os.getpid()}")
    assert event.subject == "caches/k"
    assert event.time.ToMilliseconds() == 1_700_000_000_500
    assert event.traceparent == ""
    assert len(event.id) == 32
    found = events_pb2.CacheHit()
    assert event.payload.Unpack(found)
    assert found.key == "k"


def test_the_trace_of_what_caused_an_event_goes_along_and_on() -> None:
    with events.use(MemoryBus()) as bus:
        assert isinstance(bus, MemoryBus)
        with trace.use_span(SPAN, end_on_exit=False):
            events.publish(events_pb2.CacheMiss(key="k"), subject="caches/k")
        (event,) = bus._kept
        assert event.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with events.caused_by(event):
            assert trace.get_current_span().get_span_context().trace_id == SPAN.get_span_context().trace_id
            events.publish(events_pb2.CacheInvalidated(key="k"), subject="caches/k")
        assert bus._kept[1].traceparent == event.traceparent
        assert not trace.get_current_span().get_span_context().is_valid


async def test_health_events_of_one_subject_are_debounced_and_others_are_not() -> None:
    clock, bus = VirtualClock(), MemoryBus()
    publisher = Publisher(bus, clock=clock, quiet=1.0)
    publisher.publish(failed(), subject="a")
    publisher.publish(events_pb2.HealthCheckSuccess(new_status="HEALTHY"), subject="a")
    publisher.publish(failed(), subject="b")
    publisher.publish(events_pb2.BreakerStateChanged(new_state="OPEN"), subject="a")
    publisher.publish(events_pb2.BreakerStateChanged(new_state="CLOSED"), subject="a")
    assert told(bus) == ["HealthCheckFailed", "HealthCheckFailed", "BreakerStateChanged", "BreakerStateChanged"]
    await clock.advance(1.0)
    assert told(bus)[4:] == ["HealthCheckSuccess"]
    await clock.advance(1.0)
    publisher.publish(failed("DEGRADED"), subject="a")
    publisher.publish(failed("UNHEALTHY"), subject="a")
    assert told(bus)[5:] == ["HealthCheckFailed"]
    await clock.advance(1.0)
    assert told(bus)[5:] == ["HealthCheckFailed", "HealthCheckFailed"]
    await clock.advance(2.0)


def test_without_an_event_loop_everything_is_told_at_once() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus)
    publisher.publish(failed(), subject="a")
    publisher.publish(failed("HEALTHY"), subject="a")
    assert len(bus._kept) == 2


def test_a_bus_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryBus):
        def post(self, event: events_pb2.Event) -> None:
            raise RuntimeError("disk full")

    with caplog.at_level(logging.ERROR), events.use(Broken()):
        events.publish(events_pb2.CacheHit(key="k"), subject="caches/k")
    assert "CacheHit" in caplog.text


async def test_a_publisher_that_told_in_one_loop_tells_in_another() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, clock=VirtualClock(), quiet=1.0)

    async def tell() -> None:
        publisher.publish(failed(), subject=str(id(asyncio.get_running_loop())))

    await tell()
    await asyncio.to_thread(asyncio.run, tell())
    assert len(bus._kept) == 2
    task = publisher._telling_later
    assert task is not None
    assert task.get_loop() is not asyncio.get_running_loop()
