"""Components, checked in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from kit.errors import ConfigurationError, UsageError
from kit.health import Finding, Health, HealthChanged, HealthEvent, HealthLayer, HealthRegistry, LatencyAnomaly
from kit.resilience.debounce import DebounceRules
from kit.testing import VirtualClock

HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY, Health.UNKNOWN


class Dependency:
    """Answers what it is told to; counts how often it is asked."""

    def __init__(self, clock: VirtualClock, answer: Any = None) -> None:
        self.clock = clock
        #: Returned, or raised where it is an exception.
        self.answer = answer
        #: Virtual seconds that an answer takes.
        self.takes = 0.0
        self.asked: list[float] = []

    async def __call__(self) -> Any:
        self.asked.append(self.clock.now())
        if self.takes:
            await self.clock.sleep(self.takes)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class World:
    def __init__(self, quiet: float = 0.0) -> None:
        self.clock = VirtualClock(start=0.0)
        self.registry = HealthRegistry(
            clock=self.clock, random=lambda: 0.5, debounce=DebounceRules(quiet=quiet, longest=max(quiet, 10.0))
        )
        self.events: list[HealthEvent] = []
        self.registry.listen(self.events.append)

    def dependency(self, name: str, answer: Any = None, **options: Any) -> Dependency:
        one = Dependency(self.clock, answer)
        self.registry.add(name, one, **options)
        return one

    def status(self, name: str) -> Health:
        return self.registry.result(name).status

    def changes(self) -> list[tuple[str, Health, Health]]:
        return [(one.component, one.old, one.new) for one in self.events if isinstance(one, HealthChanged)]


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    world.registry.start()
    try:
        yield world
    finally:
        await world.registry.close()


async def test_nothing_is_known_before_the_first_check_and_what_is_required_is_missing() -> None:
    world = World()
    world.dependency("database")
    world.dependency("cache", required=False)
    result = world.registry.result("database")
    assert (result.status, result.timestamp, result.latency) == (UNKNOWN, None, None)
    assert result.message == "not checked yet"
    assert world.registry.missing() == ["database"]
    assert not world.registry.ready
    assert world.registry.status is UNKNOWN


async def test_all_are_checked_at_once_and_then_every_thirty_seconds() -> None:
    world = World()
    one, other = world.dependency("one"), world.dependency("other", every=5.0)
    async with running(world):
        await world.clock.advance(60.0)
        assert one.asked == [0, 30, 60]
        assert other.asked == [5 * number for number in range(13)]
        assert world.registry.ready
        assert world.registry.status is HEALTHY


async def test_three_failures_make_what_was_well_unhealthy_and_the_process_unready() -> None:
    world = World()
    database = world.dependency("database")
    async with running(world):
        await world.clock.advance(1.0)
        database.answer = ConnectionRefusedError("nobody\nlistens")
        seen = []
        for _ in range(3):
            await world.clock.advance(30.0)
            seen.append((world.status("database"), world.registry.ready))
        assert seen == [(DEGRADED, True), (DEGRADED, True), (UNHEALTHY, False)]
        result = world.registry.result("database")
        assert result.message == "ConnectionRefusedError: nobody"
        assert result.details == {"failures": "3"}
        assert world.registry.status is UNHEALTHY
        # It is looked at sooner while it is unhealthy, and back with its first good answer.
        database.answer = None
        await world.clock.advance(5.0)
        assert (world.status("database"), world.registry.ready) == (HEALTHY, True)


async def test_what_has_never_been_well_is_missing_with_its_first_failure_and_is_asked_again_soon() -> None:
    world = World()
    database = world.dependency("database", OSError("not yet"))
    async with running(world):
        await world.clock.advance(0.5)
        assert (world.status("database"), world.registry.ready) == (DEGRADED, False)
        await world.clock.advance(1.0)
        database.answer = None
        await world.clock.advance(1.0)
        assert world.registry.ready
        assert database.asked == [0, 1, 2]


async def test_what_is_not_required_only_degrades_the_whole() -> None:
    world = World()
    world.dependency("database")
    world.dependency("cache", False, required=False)
    async with running(world):
        await world.clock.advance(1.0)
        assert world.status("cache") is UNHEALTHY
        assert world.registry.ready
        assert world.registry.status is DEGRADED


async def test_a_slow_answer_is_degraded_and_one_that_takes_too_long_a_failure() -> None:
    world = World()
    one = world.dependency("one", every=10.0, timeout=5.0, slow=1.0)
    async with running(world):
        await world.clock.advance(1.0)
        one.takes = 2.0
        await world.clock.advance(12.0)
        result = world.registry.result("one")
        assert (result.status, result.latency, result.message) == (DEGRADED, 2.0, "slow: 2 s")
        one.takes = 1000.0
        await world.clock.advance(15.0)
        assert world.registry.result("one").message == "no answer within 5 s"
        assert world.registry.result("one").details == {"failures": "1"}


async def test_a_check_that_does_not_heed_its_cancellation_is_not_started_again_while_it_hangs() -> None:
    world = World()
    entered, let_go = 0, asyncio.Event()

    async def stubborn() -> None:
        nonlocal entered
        entered += 1
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    world.registry.add("stubborn", stubborn, every=10.0)
    async with running(world):
        await world.clock.advance(100.0)
        assert entered == 1
        assert world.status("stubborn") is UNHEALTHY
        assert world.registry.result("stubborn").message == "the check before this one has still not ended"
        let_go.set()
        await world.clock.advance(10.0)
        assert world.status("stubborn") is HEALTHY


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (None, HEALTHY, ""),
        (True, HEALTHY, ""),
        (False, UNHEALTHY, "the check says no"),
        (Finding(message="fine", details={"a": "b"}), HEALTHY, "fine"),
        (Finding(DEGRADED, "half of it"), DEGRADED, "half of it"),
        (Finding(UNHEALTHY, "no"), UNHEALTHY, "no"),
        (Finding(UNKNOWN, "who knows"), DEGRADED, "who knows"),
        (ValueError(), DEGRADED, "ValueError"),
        (asyncio.CancelledError(), DEGRADED, "the check was cancelled"),
        (
            grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"),
            DEGRADED,
            "UNAVAILABLE: gone",
        ),
        (RuntimeError("x" * 1000), DEGRADED, "RuntimeError: " + "x" * 286),
    ],
)
async def test_what_a_check_answers_is_what_is_known(answer: Any, status: Health, message: str) -> None:
    world = World()
    world.dependency("one", answer)
    (result,) = await world.registry.check_now()
    assert (result.status, result.message) == (status, message)
    await world.registry.close()


async def test_a_component_knows_its_layer_by_its_check_or_as_it_is_told() -> None:
    class Disk:
        layer = HealthLayer.MACHINE
        endpoint = "/data"

        async def __call__(self) -> None:
            return None

    world = World()
    world.registry.add("disk", Disk())
    world.registry.add("other disk", Disk(), layer=HealthLayer.NETWORK)
    world.dependency("plain")
    assert [one.layer for one in world.registry.results()] == [
        HealthLayer.MACHINE,
        HealthLayer.NETWORK,
        HealthLayer.SERVICES,
    ]


async def test_listeners_are_told_of_a_change_that_has_lasted_for_a_second() -> None:
    world = World(quiet=1.0)
    one = world.dependency("one", every=0.2)
    async with running(world):
        await world.clock.advance(0.9)
        assert world.changes() == []
        await world.clock.advance(0.2)
        assert world.changes() == [("one", UNKNOWN, HEALTHY)]
        one.answer = OSError("a blink")
        await world.clock.advance(0.2)
        one.answer = None
        await world.clock.advance(5.0)
        assert world.changes() == [("one", UNKNOWN, HEALTHY)]
        one.answer = False
        await world.clock.advance(1.5)
        assert world.changes()[1:] == [("one", HEALTHY, UNHEALTHY)]
        event = world.events[-1]
        assert isinstance(event, HealthChanged)
        assert (event.better, event.result.message) == (False, "the check says no")
        assert str(event) == "one is unhealthy, was healthy: the check says no"


async def test_readiness_does_not_wait_for_what_listeners_wait_for() -> None:
    world = World(quiet=10.0)
    one = world.dependency("one", every=1.0)
    seen: list[bool] = []
    world.registry.on_check = lambda: seen.append(world.registry.ready)
    async with running(world):
        await world.clock.advance(0.5)
        one.answer = False
        await world.clock.advance(1.0)
        assert seen == [True, False]
        assert world.events == []


async def test_a_listener_that_is_removed_is_told_of_nothing_and_let_go_of() -> None:
    class Listener:
        def __call__(self, event: HealthEvent) -> None:
            raise AssertionError("it was removed")

    world = World()
    listener = Listener()
    remove = world.registry.listen(listener)
    twice = world.registry.listen(world.events.append)
    remove()
    remove()
    twice()
    gone = weakref.ref(listener)
    del listener, remove
    gc.collect()
    assert gone() is None
    world.dependency("one")
    async with running(world):
        await world.clock.advance(1.0)
    assert world.changes() == [("one", UNKNOWN, HEALTHY)]


async def test_a_listener_that_raises_harms_neither_the_others_nor_the_checks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()

    def broken(event: HealthEvent) -> None:
        raise RuntimeError("broken")

    world.registry.listen(broken)
    late: list[HealthEvent] = []
    world.registry.listen(late.append)
    one = world.dependency("one", every=1.0)
    async with running(world):
        await world.clock.advance(0.5)
        one.answer = False
        await world.clock.advance(1.0)
    assert late == world.events
    assert len(late) == 2
    assert "a listener failed on HealthChanged" in caplog.text


async def test_an_unusually_slow_check_is_told_as_an_anomaly() -> None:
    world = World()
    one = world.dependency("one", every=1.0)
    async with running(world):
        await world.clock.advance(30.0)
        one.takes = 0.5
        await world.clock.advance(2.0)
    anomalies = [event for event in world.events if isinstance(event, LatencyAnomaly)]
    assert [(event.component, event.latency, event.usual) for event in anomalies[:1]] == [("one", 0.5, 0.0)]
    assert world.status("one") is HEALTHY
    assert str(anomalies[0]) == "one took 500 ms to answer, usual are 0 ms"


async def test_a_change_for_the_worse_is_a_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.dependency("one", False)
    with caplog.at_level(logging.INFO, logger="kit.health"):
        async with running(world):
            await world.clock.advance(1.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "one is unhealthy, was unknown: the check says no")
    ]


async def test_components_come_and_go_while_others_are_checked() -> None:
    world = World()
    async with running(world):
        late = world.dependency("late", False)
        await world.clock.advance(1.0)
        assert (late.asked, world.registry.ready) == ([0], False)
        await world.registry.remove("late")
        await world.registry.remove("late")
        assert world.registry.ready
        await world.clock.advance(60.0)
        assert late.asked == [0]
        world.dependency("late")
        await world.clock.advance(1.0)
        assert world.status("late") is HEALTHY
    # The second one knows nothing of the first.
    assert world.changes() == [("late", UNKNOWN, UNHEALTHY), ("late", UNKNOWN, HEALTHY)]


async def test_a_check_that_ends_after_its_component_was_removed_is_told_of_by_nobody() -> None:
    world = World()
    one = world.dependency("one", False)
    one.takes = 1.0
    asking = asyncio.ensure_future(world.registry.check_now())
    await world.clock.advance(0.5)
    removing = asyncio.ensure_future(world.registry.remove("one"))
    await world.clock.advance(1.0)
    await asyncio.gather(asking, removing)
    world.dependency("one")
    async with running(world):
        await world.clock.advance(1.0)
    assert world.changes() == [("one", UNKNOWN, HEALTHY)]


async def test_check_now_asks_at_once_and_after_a_check_that_runs() -> None:
    world = World()
    one = world.dependency("one")
    one.takes = 0.5
    other = world.dependency("other")
    async with running(world):
        await world.clock.advance(0.1)
        asking = asyncio.ensure_future(world.registry.check_now("one"))
        await world.clock.advance(2.0)
        (result,) = await asking
        assert (result.component, result.status) == ("one", HEALTHY)
        assert one.asked == [0, 0.5]
        assert other.asked == [0]


async def test_after_the_close_nothing_runs_and_what_is_known_stays() -> None:
    world = World()
    one = world.dependency("one")
    before = asyncio.all_tasks()
    async with running(world):
        await world.clock.advance(1.0)
        assert len(asyncio.all_tasks() - before) == 2
    assert asyncio.all_tasks() == before
    assert world.status("one") is HEALTHY
    await world.clock.advance(100.0)
    assert one.asked == [0]


async def test_the_close_ends_a_check_that_runs_and_closes_the_check() -> None:
    class Held:
        layer = HealthLayer.NETWORK
        endpoint = "x:1"
        ended = closed = False

        async def __call__(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.ended = True

        async def close(self) -> None:
            self.closed = True

    world, held = World(), Held()
    world.registry.add("held", held)
    async with running(world):
        await world.clock.advance(1.0)
    assert (held.ended, held.closed) == (True, True)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("", {}, "name"),
        ("taken", {}, "two health components named 'taken'"),
        ("one", {"every": 0}, "every must be"),
        ("one", {"timeout": -1.0}, "timeout must be"),
        ("one", {"slow": float("inf")}, "slow must be"),
        ("one", {"every": "30"}, "every must be a number"),
        ("one", {"layer": "machine"}, "layer must be"),
        ("one", {"check": 5}, "an async function, a target or a channel is needed, not 5"),
    ],
)
async def test_what_cannot_be_checked_is_refused(name: str, options: dict[str, Any], said: str) -> None:
    world = World()
    world.dependency("taken")
    check = options.pop("check", Dependency(world.clock))
    with pytest.raises(ConfigurationError, match=said):
        world.registry.add(name, check, **options)


async def test_a_component_that_is_not_known_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="'nobody'"):
        World().registry.result("nobody")
