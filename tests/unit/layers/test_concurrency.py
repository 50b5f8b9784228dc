"""The limit of calls in flight, driven by hand in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

import kit
from kit.errors import CallRefused, DeadlineExpired, TooManyCalls
from kit.layers import ConcurrencyLayer, Limits
from kit.layers.concurrency import Places
from kit.pipeline import Call, Handler, Method, Outcome, Shape
from kit.resilience.retry import StopReason
from kit.testing import VirtualClock
from tests.unit.layers.wire import failure, method

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def limited(
    most: int, queued: int = 0, *, adaptive: bool = False, shape: Shape = Shape.UNARY_UNARY, path: str = "Do"
) -> Method:
    concurrency = kit.ConcurrencyPolicy(max_concurrent=most, max_queued=queued, adaptive=adaptive)
    return method(shape=shape, policy=kit.MethodPolicy(concurrency=concurrency))


class Held:
    """An innermost handler whose calls end when they are told to."""

    def __init__(self) -> None:
        self.running: list[asyncio.Future[Outcome]] = []
        self.calls: list[Call] = []

    async def __call__(self, call: Call) -> Outcome:
        ends: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.running.append(ends)
        self.calls.append(call)
        return await ends

    def end(self, number: int, outcome: Outcome | None = None) -> None:
        self.running[number].set_result(outcome if outcome is not None else Outcome("answer"))


class Rig:
    """A limit over a held handler."""

    def __init__(self, what: Method) -> None:
        self.clock = VirtualClock()
        self.limits = Limits(self.clock)
        self.method = what
        self.wire = Held()
        self.handler: Handler = ConcurrencyLayer(self.limits).wrap(what, self.wire)
        self.tasks: list[asyncio.Task[Outcome]] = []

    @property
    def places(self) -> Places:
        assert self.method.policy.concurrency is not None
        return self.limits.of(self.method.policy.concurrency)

    async def call(self, within: float | None = None) -> asyncio.Task[Outcome]:
        """Makes a call and lets it run as far as it comes."""
        call = Call(self.method, None)
        if within is not None:
            call.expires_at = self.clock.now() + within
        task = asyncio.create_task(self.handler(call))
        self.tasks.append(task)
        await self.clock.advance(0)
        return task

    def counts(self) -> tuple[int, int]:
        return self.places.limiter.running, self.places.limiter.queued


@asynccontextmanager
async def rig(most: int, queued: int = 0, shape: Shape = Shape.UNARY_UNARY) -> AsyncIterator[Rig]:
    made = Rig(limited(most, queued, shape=shape))
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


def test_a_method_without_a_limit_has_no_layer() -> None:
    wire = Held()
    assert ConcurrencyLayer(Limits(VirtualClock())).wrap(method(), wire) is wire


async def test_at_the_limit_a_call_is_refused_at_once_naming_the_limit() -> None:
    async with rig(2) as it:
        await it.call()
        await it.call()
        refused = (await (await it.call())).error
        assert isinstance(refused, TooManyCalls)
        assert isinstance(refused, CallRefused)
        assert refused.code() is UNAVAILABLE
        assert refused.limit == 2
        assert "2 calls are in flight, concurrency.max_concurrent is 2" in str(refused.details())
        assert len(it.wire.calls) == 2
        it.wire.end(0)
        await it.clock.advance(0)
        await it.call()
        assert len(it.wire.calls) == 3


async def test_who_waits_is_let_in_in_the_order_of_arrival() -> None:
    async with rig(1, 3) as it:
        first = await it.call()
        for _ in range(3):
            await it.call()
        assert it.counts() == (1, 3)
        error = (await (await it.call())).error
        assert isinstance(error, TooManyCalls)
        assert error.queued == 3
        for number in range(4):
            assert len(it.wire.calls) == number + 1
            it.wire.end(number)
            await it.clock.advance(0)
        assert (await first).response == "answer"
        assert all(task.done() for task in it.tasks)
        assert it.counts() == (0, 0)


async def test_a_call_waits_no_longer_than_its_deadline() -> None:
    async with rig(1, 2) as it:
        await it.call()
        short, long = await it.call(within=1.0), await it.call(within=5.0)
        await it.clock.advance(0.9)
        assert not short.done()
        await it.clock.advance(0.2)
        error = short.result().error
        assert isinstance(error, DeadlineExpired)
        assert "1 places came free" in str(error.details())
        assert it.counts() == (1, 1)
        it.wire.end(0)
        await it.clock.advance(0)
        assert len(it.wire.calls) == 2
        assert not long.done()


async def test_whoever_gives_up_while_waiting_leaves_the_queue() -> None:
    async with rig(1, 2) as it:
        await it.call()
        gone, stays = await it.call(), await it.call()
        gone.cancel()
        await it.clock.advance(0)
        assert it.counts() == (1, 1)
        it.wire.end(0)
        await it.clock.advance(0)
        assert len(it.wire.calls) == 2
        assert gone.cancelled()
        assert not stays.done()


async def test_whoever_gives_up_just_when_admitted_hands_the_place_on() -> None:
    async with rig(1, 2) as it:
        await it.call()
        gone, _stays = await it.call(), await it.call()
        it.wire.end(0)
        await asyncio.sleep(0)  # the first call ends and admits the second, which has not run yet
        gone.cancel()
        await it.clock.advance(0)
        assert gone.cancelled()
        assert it.counts() == (1, 0)
        assert len(it.wire.calls) == 2


async def test_a_call_that_is_cancelled_while_it_runs_frees_its_place() -> None:
    async with rig(1, 1) as it:
        running, _waiting = await it.call(), await it.call()
        running.cancel()
        await it.clock.advance(0)
        assert it.counts() == (1, 0)
        assert len(it.wire.calls) == 2


async def test_a_coroutine_that_is_closed_frees_its_place_running_or_waiting() -> None:
    async with rig(1, 1) as it:
        running, waiting = it.handler(Call(it.method, None)), it.handler(Call(it.method, None))
        running.send(None)
        waiting.send(None)
        assert it.counts() == (1, 1)
        waiting.close()
        assert it.counts() == (1, 0)
        running.close()
        assert it.counts() == (0, 0)


async def test_a_stream_has_its_place_until_it_ends() -> None:
    async with rig(1, shape=Shape.UNARY_STREAM) as it:
        opened = await it.call()
        it.wire.end(0, Outcome())
        await opened
        assert it.counts() == (1, 0)
        for tell in it.wire.calls[0].at_end:
            tell(grpc.StatusCode.OK, "")
            tell(grpc.StatusCode.OK, "")
        assert it.counts() == (0, 0)


async def test_a_call_that_holds_a_place_must_come_to_its_end() -> None:
    async with rig(1) as it:
        await it.call()
        assert it.wire.calls[0].holds


@pytest.mark.parametrize(
    ("error", "lowers"),
    [
        (failure(grpc.StatusCode.UNAVAILABLE), True),
        (failure(grpc.StatusCode.RESOURCE_EXHAUSTED), True),
        (failure(grpc.StatusCode.DEADLINE_EXCEEDED), True),
        (failure(grpc.StatusCode.NOT_FOUND), False),
        (failure(grpc.StatusCode.INTERNAL), False),
        (CallRefused(UNAVAILABLE, "nothing was sent"), False),
    ],
)
async def test_only_what_tells_of_overload_lowers_an_adaptive_limit(error: grpc.aio.AioRpcError, lowers: bool) -> None:
    it = Rig(limited(40, adaptive=True))

    async def rounds(count: int, outcome: Outcome) -> int:
        """Uses the whole limit, again and again; gives the limit afterwards."""
        for _ in range(count):
            before = len(it.wire.calls)
            for _ in range(it.places.limiter.limit):
                await it.call()
            await it.clock.advance(0.05)
            for number in range(before, len(it.wire.calls)):
                it.wire.end(number, outcome)
            await it.clock.advance(0)
        return it.places.limiter.limit

    settled = await rounds(20, Outcome("answer"))
    after = await rounds(20, Outcome(error=error))
    assert (after < settled) is lowers
    assert it.counts() == (0, 0)


async def test_methods_that_declare_the_same_figures_share_their_places() -> None:
    clock = VirtualClock()
    limits = Limits(clock)
    wire = Held()
    first = ConcurrencyLayer(limits).wrap(limited(1), wire)
    same = ConcurrencyLayer(limits).wrap(limited(1, shape=Shape.UNARY_STREAM), wire)
    other = ConcurrencyLayer(limits).wrap(limited(2), wire)
    running = first(Call(limited(1), None))
    running.send(None)
    assert isinstance((await same(Call(limited(1), None))).error, TooManyCalls)
    free = other(Call(limited(2), None))
    free.send(None)
    assert len(wire.calls) == 2
    running.close()
    free.close()


async def test_the_report_says_why_the_call_stopped() -> None:
    async with rig(1, 1) as it:
        await it.call()
        call = Call(it.method, None)
        call.expires_at = it.clock.now() + 1.0
        waiting = asyncio.create_task(it.handler(call))
        await it.clock.advance(2.0)
        await waiting
        assert call.stop is StopReason.DEADLINE
        await it.call()
        refused = Call(it.method, None)
        assert isinstance((await it.handler(refused)).error, TooManyCalls)
        assert refused.stop is StopReason.LIMITED
