"""Calls that are worth a look are kept, and breakers tell the event bus."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from kit import events
from kit.events import MemoryBus
from kit.layers import ReportLayer
from kit.layers.breaker_facade import CircuitBreaker
from kit.layers.recent import RECENT, Recent
from kit.pipeline import Attempted, Call, Outcome, Shape
from kit.resilience.breaker_rules import BreakerRules
from kit.testing import VirtualClock
from kitapi.v1 import events_pb2
from tests.unit.layers.wire import failure, method


async def kept(*codes: grpc.StatusCode, shape: Shape = Shape.UNARY_UNARY, degraded: str = "") -> list[str]:
    """The codes of the calls that are kept after one with these attempts."""
    clock, recent = VirtualClock(), Recent()

    async def attempts(call: Call) -> Outcome:
        for number, code in enumerate(codes, 1):
            tried = Attempted(number, "a:1", 0.0, clock.now(), 1.0)
            tried.settle(code, "", clock.now())
            call.attempts.append(tried)
        call.degraded = degraded
        if codes and codes[-1] is grpc.StatusCode.CANCELLED:
            raise asyncio.CancelledError
        return Outcome("answer") if codes and codes[-1] is grpc.StatusCode.OK else Outcome(error=failure())

    what = method(shape=shape)
    call = Call(what, None)
    try:
        await ReportLayer(clock, recent).wrap(what, attempts)(call)
    except asyncio.CancelledError:
        pass
    else:
        for told in call.at_end:
            told(codes[-1], "")
    return [one.report.code.name for one in recent.newest_first() if one.report.code is not None]


OK, UNAVAILABLE, CANCELLED = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED


async def test_only_a_unary_call_that_went_well_at_once_is_not_kept() -> None:
    assert await kept(OK) == []
    assert await kept(UNAVAILABLE, OK) == ["OK"]
    assert await kept(UNAVAILABLE) == ["UNAVAILABLE"]
    assert await kept() == ["UNAVAILABLE"], "refused before anything was sent"
    assert await kept(CANCELLED) == ["CANCELLED"]
    assert await kept(OK, degraded="default") == ["OK"]
    assert await kept(OK, shape=Shape.UNARY_STREAM) == ["OK"]
    assert await kept(OK, shape=Shape.STREAM_UNARY) == ["OK"]


async def test_calls_in_virtual_time_are_not_kept_among_those_of_the_process() -> None:
    before = len(RECENT.newest_first())
    clock = VirtualClock()
    what = method()

    async def fail(_call: Call) -> Outcome:
        return Outcome(error=failure())

    await ReportLayer(clock).wrap(what, fail)(Call(what, None))
    assert len(RECENT.newest_first()) == before


@pytest.mark.parametrize("virtual", [False, True])
def test_a_breaker_tells_the_bus_of_each_change_but_not_in_virtual_time(virtual: bool) -> None:
    with events.use(MemoryBus()) as bus:
        assert isinstance(bus, MemoryBus)
        rules = BreakerRules(failure_threshold=2)
        breaker = (
            CircuitBreaker(rules=rules, name="a:1", clock=VirtualClock())
            if virtual
            else CircuitBreaker(rules=rules, name="a:1")
        )
        breaker.open(reason="by hand")
        breaker.close()
        told = []
        for event in bus._kept:
            change = events_pb2.BreakerStateChanged()
            assert event.payload.Unpack(change)
            told.append((event.subject, change.endpoint, change.old_state, change.new_state))
        if virtual:
            assert told == []
        else:
            assert told == [
                ("breakers/a:1", "a:1", "CLOSED", "OPEN"),
                ("breakers/a:1", "a:1", "OPEN", "CLOSED"),
            ]
