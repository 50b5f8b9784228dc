"""The door of a server on an event loop, with a clock of the test's own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kit import MethodPolicy, RatePolicy
from kit.call import current_priority
from kit.errors import ConfigurationError
from kit.pipeline import Shape
from kit.policy import Priority, policy_for
from kit.resilience.admission import Admission
from kit.server._admit import AdmitLayer
from kit.server._answers import Prepared
from kit.server._call import Handler, ServerCall, ServerMethod
from tests.unit.server.fakes import FakeContext

PATH = "/test.Echo/UnaryUnary"


def method(path: str = PATH, shape: Shape = Shape.UNARY_UNARY, **policy: Any) -> ServerMethod:
    return ServerMethod(path, shape, policy_for(path, MethodPolicy(**policy)))


class Processor:
    """The time, which passes a little with every look, and the CPU time of the loop's thread."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 0.0

    def clock(self) -> float:
        self.now += 0.00002
        self.used += 0.00002
        return self.now

    def cpu(self) -> float:
        return self.used

    def compute(self, seconds: float) -> None:
        self.now += seconds
        self.used += seconds


class Turns:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.count = 0
        self._on = True
        self._turn()

    def _turn(self) -> None:
        if self._on:
            self.count += 1
            asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        self._on = False


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop turn until it holds."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never held")


def serving(
    act: Callable[[ServerCall], Awaitable[Any]],
    processor: Processor | None = None,
    served: ServerMethod | None = None,
    **options: Any,
) -> tuple[AdmitLayer, Handler]:
    processor = processor or Processor()
    layer = AdmitLayer(Admission(**options), clock=processor.clock, cpu=processor.cpu)
    return layer, layer.wrap(served or method(), act)


def call(context: FakeContext | None = None, *metadata: tuple[str, str]) -> ServerCall:
    return ServerCall(PATH, "request", context or FakeContext(), metadata)  # type: ignore[arg-type]  # a fake


async def test_handlers_that_compute_begin_one_by_one_and_the_loop_turns_freely_in_between() -> None:
    processor, turns, began = Processor(), Turns(), []

    async def act(_call: ServerCall) -> None:
        began.append(turns.count)
        processor.compute(0.02)

    _, handle = serving(act, processor)
    await asyncio.gather(*(handle(call()) for _ in range(6)))
    turns.stop()
    assert len(began) == 6
    assert min(later - earlier for earlier, later in itertools.pairwise(began)) >= 8


async def test_each_call_that_is_accepted_meanwhile_keeps_the_next_handler_back() -> None:
    processor, turns, began = Processor(), Turns(), []

    async def act(_call: ServerCall) -> None:
        began.append(turns.count)
        processor.compute(0.02)

    layer, handle = serving(act, processor)
    gate = layer.gate(method())
    assert gate is not None
    waiting = asyncio.gather(handle(call()), handle(call()))
    for _ in range(5):
        await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(began) == 1
        assert not gate(())
    await waiting
    turns.stop()
    assert len(began) == 2


async def test_handlers_that_wait_begin_at_once() -> None:
    go, began = asyncio.Event(), []

    async def act(_call: ServerCall) -> None:
        began.append(1)
        await go.wait()

    _, handle = serving(act)
    calls = [asyncio.ensure_future(handle(call())) for _ in range(50)]
    await asyncio.sleep(0)
    assert len(began) == 50
    go.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize("shape", [Shape.UNARY_STREAM, Shape.STREAM_UNARY, Shape.STREAM_STREAM])
async def test_streams_that_are_open_take_no_place(shape: Shape) -> None:
    go = asyncio.Event()

    async def act(_call: ServerCall) -> None:
        await go.wait()

    layer, handle = serving(act, served=method(shape=shape), max_concurrent=2, adaptive=False)
    assert layer.control is not None
    calls = [asyncio.ensure_future(handle(call())) for _ in range(5)]
    await until(lambda: layer.control is not None and layer.control.queued == 0)
    await asyncio.sleep(0)
    assert layer.control.running == 0
    go.set()
    await asyncio.gather(*calls)


async def test_a_place_is_free_again_however_the_handler_ends() -> None:
    async def crash(_call: ServerCall) -> None:
        raise ValueError("told to")

    layer, handle = serving(crash)
    with pytest.raises(ValueError, match="told to"):
        await handle(call())
    assert layer.door is not None
    assert layer.door.control.running == 0

    async def hang(_call: ServerCall) -> None:
        await asyncio.Event().wait()

    layer, handle = serving(hang)
    assert layer.door is not None
    task = asyncio.ensure_future(handle(call()))
    await asyncio.sleep(0)
    assert layer.door.control.running == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert layer.door.control.running == 0


async def test_who_is_cancelled_in_the_moment_of_being_let_in_gives_the_place_back() -> None:
    go, began = asyncio.Event(), []

    async def act(made: ServerCall) -> None:
        began.append(made)
        await go.wait()

    layer, handle = serving(act, max_concurrent=1, adaptive=False)
    assert layer.door is not None
    control = layer.door.control
    first = asyncio.ensure_future(handle(call()))
    await asyncio.sleep(0)
    second, third = asyncio.ensure_future(handle(call())), asyncio.ensure_future(handle(call()))
    await until(lambda: control.queued == 2)
    go.set()
    await first
    await until(lambda: control.queued == 1)
    # It has been let in, and does not know it yet.
    second.cancel()
    async with asyncio.timeout(10):
        await third
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (control.running, control.queued, len(began)) == (0, 0, 2)


async def test_a_call_that_has_waited_for_too_long_is_refused_without_its_turn_having_come() -> None:
    processor = Processor()

    async def hang(_call: ServerCall) -> None:
        await asyncio.Event().wait()

    _, handle = serving(hang, processor, max_concurrent=1, adaptive=False, max_wait=1.0)
    first = asyncio.ensure_future(handle(call()))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(handle(call()))
    await asyncio.sleep(0)
    processor.now += 2.0
    with pytest.raises(Prepared, match="has waited too long"):
        await second
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_stop_sends_away_who_waits_and_who_comes_after() -> None:
    async def hang(_call: ServerCall) -> None:
        await asyncio.Event().wait()

    layer, handle = serving(hang, max_concurrent=1, adaptive=False)
    first, second = asyncio.ensure_future(handle(call())), asyncio.ensure_future(handle(call()))
    await asyncio.sleep(0)
    layer.stop()
    with pytest.raises(Prepared, match="the server is stopping"):
        await second
    with pytest.raises(Prepared, match="the server is stopping"):
        await handle(call())
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize("service", ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "kitapi.v1.Ops"])
def test_services_that_tell_how_the_server_is_are_never_kept_waiting(service: str) -> None:
    async def act(_call: ServerCall) -> None:
        raise AssertionError

    served = method(f"/{service}/Check")
    layer, handle = serving(act, served=served)
    assert handle is act
    assert layer.gate(served) is None


@pytest.mark.parametrize(
    ("declared", "said", "holds"),
    [
        (Priority.DEFAULT, None, None),
        (Priority.CRITICAL, None, Priority.CRITICAL),
        (Priority.CRITICAL, "default", Priority.DEFAULT),
        (Priority.DEFAULT, "sheddable", Priority.SHEDDABLE),
    ],
)
@pytest.mark.parametrize("limited", [True, False])
async def test_a_handler_knows_how_much_its_call_matters(
    declared: Priority, said: str | None, holds: Priority | None, limited: bool
) -> None:
    seen: list[Any] = []

    async def act(made: ServerCall) -> None:
        seen.append((made.priority, current_priority()))

    layer = AdmitLayer(Admission() if limited else None)
    handle = layer.wrap(method(priority=declared), act)
    metadata = (("x", "y"), *((("kit-priority", said),) if said else ()))
    # In a context of its own, as each call has.
    await asyncio.create_task(handle(call(None, *metadata)))  # type: ignore[arg-type]  # a coroutine indeed
    assert seen == [(holds or declared, holds)]


async def test_a_rate_that_has_not_changed_goes_on_when_the_chain_is_built_anew() -> None:
    layer = AdmitLayer(None)
    limited = method(rate=RatePolicy(per_second=0.001))
    gate = layer.gate(limited)
    assert gate is not None
    assert not gate(())
    again = layer.gate(limited)
    assert again is not None
    assert again(())
    other = layer.gate(method(rate=RatePolicy(per_second=0.002)))
    assert other is not None
    assert not other(())


@pytest.mark.parametrize("wrong", [True, 5, {"max_queued": 5}])
def test_what_is_no_admission_is_refused_at_the_start(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"give a kit\.Admission, or None"):
        AdmitLayer(wrong)


def test_a_pattern_of_peers_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="spiffe"):
        AdmitLayer(Admission(trusted_peers=("spiffe://",)))
