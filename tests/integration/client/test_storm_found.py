"""What a storm of calls that end at any moment has broken, each alone."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client._closing import Closing
from kit.client.channel import Channel
from kit.client.direct import DirectCall
from kit.client.transport import _KeepsStatus
from kit.testing import Fault, InProcess, VirtualClock
from tests.integration.client.conftest import Connect
from tests.integration.client.echo import UNARY, UNSAFE, UP, Echo, EchoStub, add_echo, text

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
#: Longer than any test.
LATE = Fault(code=UNAVAILABLE, pushback=3_600_000)
_SAFE = kit.IdempotencyLevel.IDEMPOTENT


async def has_ended(call: Any, stub: EchoStub) -> None:
    """Returns when grpc's own call has ended, though nobody awaits ours."""
    inner = call.first if isinstance(call, DirectCall) else call
    async with asyncio.timeout(10):
        while not inner.done():
            await stub.Unsafe(text())


@pytest.mark.parametrize("code", [None, grpc.StatusCode.NOT_FOUND], ids=["answered", "failed"])
async def test_a_call_that_ended_and_that_nobody_awaits_cannot_be_cancelled(
    connect: Connect, code: grpc.StatusCode | None
) -> None:
    client = await connect()
    client.faults.script(UNARY, [] if code is None else [Fault(code=code)])
    call = client.stub.Unary(text())
    await has_ended(call, client.stub)

    assert call.cancel() is False
    assert not call.cancelled()
    if code is None:
        assert await call == text()
    else:
        with pytest.raises(kit.errors.CallFailed) as failed:
            await call
        assert failed.value.code() is code
    assert await call.code() is (code or grpc.StatusCode.OK)


async def test_a_callback_is_run_that_is_added_to_a_call_that_ended_and_that_nobody_awaits(connect: Connect) -> None:
    client = await connect()
    call = client.stub.Unary(text())
    await has_ended(call, client.stub)
    ended = asyncio.get_running_loop().create_future()

    call.add_done_callback(ended.set_result)
    async with asyncio.timeout(10):
        assert (await ended).done()


async def test_what_a_late_callback_raises_is_raised_there_and_the_answer_stays(connect: Connect) -> None:
    def raises(_: object) -> None:
        raise ValueError("mine")

    client = await connect()
    call = client.stub.Unary(text())
    if client.endpoint:
        await has_ended(call, client.stub)
        with pytest.raises(ValueError, match="mine"):
            call.add_done_callback(raises)
    assert await call == text()
    with pytest.raises(ValueError, match="mine"):
        call.add_done_callback(raises)


async def test_a_call_that_several_await_counts_once(connect: Connect) -> None:
    throttling = kit.RetryThrottling(max_tokens=100, token_ratio=1.0)
    client = await connect(policy={"*": kit.MethodPolicy(retry_throttling=throttling)})
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=-1)] * 6)
    for _ in range(5):
        with pytest.raises(kit.errors.CallFailed):
            await client.stub.Unary(text())

    async def once(call: Any) -> object:
        return await call

    with pytest.raises(kit.errors.CallFailed) as before:
        await client.stub.Unary(text())
    call = client.stub.Unary(text())
    await asyncio.gather(once(call), once(call), once(call))
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=-1)])
    with pytest.raises(kit.errors.CallFailed) as after:
        await client.stub.Unary(text())

    had, has = kit.report(before.value).throttle_tokens, kit.report(after.value).throttle_tokens
    assert had is not None
    # One for the call that was answered, and one less for the one that was not.
    assert has == had + 1 - 1


async def test_a_breaker_is_not_made_anew_for_an_endpoint_that_went_while_a_call_was_under_way() -> None:
    policy = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=5), retry=kit.RetryPolicy(max_attempts=1))
    async with InProcess(Echo(), add_echo, policy={"*": policy}) as process:
        held = asyncio.Event()
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, until=held)])
        call = EchoStub(process.channel).Unary(text())
        assert isinstance(call, DirectCall)
        await process.faults.arrived(UNARY)
        process.channel._breakers.forget(process.address)
        held.set()
        with pytest.raises(kit.errors.CallFailed):
            await call
        assert not process.channel.breakers


async def ends_cancelled(call: Any, waiting: asyncio.Future[Any]) -> None:
    """Sees that the call ends, cancelled, and says so everywhere."""
    async with asyncio.timeout(10):
        await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert call.done()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
    report = kit.report(call)
    assert (report.code, report.stop_reason) == (grpc.StatusCode.CANCELLED, "CANCELLED")


async def started(call: Any) -> asyncio.Future[Any]:
    async def answer() -> object:
        return await call

    return asyncio.ensure_future(answer())


_CLOSED_WHILE = {
    "it waits for its next attempt": kit.MethodPolicy(
        timeout=36_000.0, retry=kit.RetryPolicy(max_attempts=3), idempotency_level=_SAFE
    ),
    "it waits for its next hedge": kit.MethodPolicy(
        timeout=36_000.0,
        retry=kit.RetryPolicy(max_attempts=1),
        hedging=kit.HedgingPolicy(max_attempts=2, hedging_delay=3600.0, non_fatal_status_codes=[UNAVAILABLE]),
        idempotency_level=_SAFE,
    ),
}


@pytest.mark.parametrize("policy", _CLOSED_WHILE.values(), ids=_CLOSED_WHILE)
async def test_closing_the_channel_cancels_a_call_while(policy: kit.MethodPolicy) -> None:
    async with InProcess(Echo(), add_echo, policy={"*": policy}) as process:
        process.faults.script(UNARY, [LATE])
        with kit.reports() as seen:
            call = EchoStub(process.channel).Unary(text())
        waiting = await started(call)
        async with asyncio.timeout(10):
            while not kit.report(call).attempts or kit.report(call).attempts[0].code is None:
                await EchoStub(process.channel).Unsafe(text())
        await process.channel.close()
        await ends_cancelled(call, waiting)
        assert [report.stop_reason for report in seen] == ["CANCELLED"]


async def test_closing_the_channel_cancels_a_call_that_waits_for_its_turn() -> None:
    policy = {UNARY: kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_concurrent=1, max_queued=1))}
    async with InProcess(Echo(), add_echo, policy=policy) as process:
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, until=asyncio.Event())])
        stub = EchoStub(process.channel)
        first = stub.Unary(text())
        await process.faults.arrived(UNARY)
        call = stub.Unary(text())
        waiting = await started(call)
        await process.channel.close()
        await ends_cancelled(call, waiting)
        assert first.cancelled()


@pytest.mark.parametrize("endpoints", [1, 2])
async def test_closing_the_channel_cancels_a_hedged_call_that_has_yet_to_begin(endpoints: int) -> None:
    policy = kit.MethodPolicy(
        hedging=kit.HedgingPolicy(max_attempts=2), retry=kit.RetryPolicy(max_attempts=1), idempotency_level=_SAFE
    )
    async with InProcess(Echo(), add_echo) as process:
        addresses = [process.address, "127.0.0.1:1"][:endpoints]
        channel = kit.channel(addresses, policy={"*": policy}, warm_up=False)
        call = EchoStub(channel).Unary(text())
        closing = asyncio.ensure_future(channel.close())
        waiting = await started(call)
        await closing
        await ends_cancelled(call, waiting)
        with pytest.raises(grpc.aio.UsageError):
            await EchoStub(channel).Unary(text())


async def test_closing_the_channel_cancels_a_call_that_waits_for_dns() -> None:
    asked = asyncio.Event()
    never = asyncio.Event()

    async def resolver(_host: str, _port: int) -> list[str]:
        asked.set()
        await never.wait()
        return []

    channel = Channel("dns:///service.test:80", resolver=resolver)
    call = EchoStub(channel).Unary(text())
    waiting = await started(call)
    await asked.wait()
    await channel.close()
    await ends_cancelled(call, waiting)


async def test_a_call_that_fails_while_the_channel_is_closing_is_cancelled_in_place_of_its_fallback() -> None:
    policy = {
        UNARY: kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1), fallback=kit.FallbackPolicy(method="Unsafe"))
    }
    async with InProcess(Echo(), add_echo, policy=policy) as process:
        held = asyncio.Event()
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, until=held)])
        call = EchoStub(process.channel).Unary(text())
        await process.faults.arrived(UNARY)
        waiting = await started(call)
        closing = asyncio.ensure_future(process.channel.close(10))
        await asyncio.sleep(0)
        held.set()
        await closing
        await ends_cancelled(call, waiting)
        assert process.faults.count(UNSAFE) == 0


async def test_an_attempt_keeps_its_grace_when_a_hedge_comes_too_late() -> None:
    clock = VirtualClock()
    policy = kit.MethodPolicy(
        hedging=kit.HedgingPolicy(max_attempts=3, hedging_delay=1.0),
        retry=kit.RetryPolicy(max_attempts=1),
        idempotency_level=_SAFE,
    )
    release = asyncio.Event()
    arrived = asyncio.Event()

    async def act(_name: str, _context: object) -> None:
        arrived.set()
        await release.wait()

    async with InProcess(Echo(act), add_echo) as process:
        channel = Channel(process.address, policy={"*": policy}, clock=clock)
        call = EchoStub(channel).Unary(text())
        waiting = await started(call)
        await arrived.wait()
        closing = asyncio.ensure_future(channel.close(10))
        await asyncio.sleep(0)
        await clock.advance(5)
        release.set()
        assert await waiting == text()
        await closing


async def test_a_hedged_call_that_is_cancelled_reports_every_attempt_as_ended() -> None:
    policy = kit.MethodPolicy(
        hedging=kit.HedgingPolicy(max_attempts=2, hedging_delay=0.001),
        retry=kit.RetryPolicy(max_attempts=1),
        idempotency_level=_SAFE,
    )
    async with InProcess(Echo(), add_echo, policy={"*": policy}) as process:
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, until=asyncio.Event())] * 2)
        call = EchoStub(process.channel).Unary(text())
        await process.faults.arrived(UNARY, 2)
        call.cancel()
        waiting = await started(call)
        await ends_cancelled(call, waiting)
        assert [attempt.code for attempt in kit.report(call).attempts] == [grpc.StatusCode.CANCELLED] * 2


async def test_a_callback_that_raises_keeps_nobody_waiting_for_metadata() -> None:
    policy = {UNARY: kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_concurrent=1, max_queued=1))}

    def raises(_: object) -> None:
        raise ValueError("mine")

    async with InProcess(Echo(), add_echo, policy=policy) as process:
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, until=asyncio.Event())])
        stub = EchoStub(process.channel)
        first = stub.Unary(text())
        await process.faults.arrived(UNARY)
        call = stub.Unary(text())
        waiting = asyncio.ensure_future(call.initial_metadata())
        await asyncio.sleep(0)
        call.add_done_callback(raises)
        awaiting = await started(call)
        call.cancel()
        await asyncio.wait([awaiting])
        async with asyncio.timeout(10):
            assert not await waiting
        first.cancel()
        with pytest.raises(ValueError, match="mine"):
            call._task.result()


async def test_an_awaiter_that_is_closed_cancels_the_call_and_its_report_says_so() -> None:
    async with InProcess(Echo(), add_echo) as process:
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, until=asyncio.Event())])
        with kit.reports() as seen:  # not without the pipeline
            call = EchoStub(process.channel).Unary(text())
        awaiter = call.__await__()
        awaiter.send(None)._asyncio_future_blocking = False  # as a task does
        seen_there = await process.faults.arrived(UNARY)
        awaiter.close()
        assert [report.stop_reason for report in seen] == ["CANCELLED"]
        assert await call.code() is grpc.StatusCode.CANCELLED
        async with asyncio.timeout(10):
            await seen_there.cancelled.wait()


async def test_the_iterator_of_a_kept_stream_that_is_dropped_is_not_left_waiting() -> None:
    policy = {UP: kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=2, replay_buffer_bytes=100))}
    ended = asyncio.Event()
    never = asyncio.Event()

    async def requests() -> AsyncIterator[object]:
        try:
            yield text()
            await never.wait()
        finally:
            ended.set()

    async def act(_name: str, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "")

    async with InProcess(Echo(act), add_echo, policy=policy) as process:
        EchoStub(process.channel).Up(requests())
        await process.faults.arrived(UP)
        gc.collect()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_closing_the_writing_side_of_a_call_that_ends_meanwhile_is_no_error() -> None:
    class Core:
        error = ""

        async def send_receive_close(self) -> None:
            raise grpc.aio.InternalError(self.error)

    core = Core()
    kept = _KeepsStatus(core)
    core.error = 'Failed "execute_batch": (...)'
    await kept.send_receive_close()
    core.error = "something else"
    with pytest.raises(grpc.aio.InternalError, match="something else"):
        await kept.send_receive_close()


async def test_a_clock_of_a_channel_that_was_closed_lets_nobody_sleep() -> None:
    clock = VirtualClock()
    closing = Closing(clock)
    sleeping = asyncio.ensure_future(closing.sleep(1))
    await asyncio.sleep(0)
    await clock.advance(1)
    await sleeping
    sleeping = asyncio.ensure_future(closing.sleep(1))
    await asyncio.sleep(0)
    closing.close()
    await asyncio.wait([sleeping])
    assert sleeping.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await closing.sleep(0)


async def test_a_stock_channel_that_is_closed_cancels_a_call_between_attempts() -> None:
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(InProcess(Echo(), add_echo))
        process.faults.script(UNARY, [Fault(code=UNAVAILABLE, pushback=1000)] * 4)
        clock = VirtualClock()
        channel = grpc.aio.insecure_channel(process.address, interceptors=kit.client_interceptors(clock=clock))
        call = EchoStub(channel).Unary(text())
        waiting = await started(call)
        await process.faults.arrived(UNARY)
        async with asyncio.timeout(10):
            while not clock.sleeps:
                await EchoStub(process.channel).Unsafe(text())
        await channel.close()
        await clock.advance(10)
        await asyncio.wait([waiting])
        assert waiting.cancelled()
