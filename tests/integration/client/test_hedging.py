"""Hedging over real loopback gRPC. Case 8 of the peers' suites is among it."""

from __future__ import annotations

import asyncio
import gc

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import CallFailed, PolicyError
from kit.policy import policy_for
from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import BOTH, DOWN, UNARY, UNSAFE, UP, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
ONCE = kit.RetryPolicy(max_attempts=1)


def hedged(
    method: str = UNARY,
    *,
    attempts: int = 3,
    delay: float = 0.05,
    budget: kit.RetryBudget | None = None,
    tokens: float | None = None,
) -> dict[str, kit.MethodPolicy]:
    throttling = None if tokens is None else kit.RetryThrottling(max_tokens=tokens)
    hedging = kit.HedgingPolicy(max_attempts=attempts, hedging_delay=delay)
    return {
        method: kit.MethodPolicy(retry=ONCE, hedging=hedging, retry_budget=budget, retry_throttling=throttling),
    }


async def hold(client: Client, times: int) -> asyncio.Event:
    """The next calls of Unary are held until the event is set."""
    event = asyncio.Event()
    client.faults.script(UNARY, [Fault(until=event)] * times)
    return event


async def test_case_8_a_slow_primary_and_two_hedges_are_three_executions(connect: Connect) -> None:
    client = await connect(policy=hedged())
    await hold(client, 2)
    with kit.reports() as seen:
        call = client.stub.Unary(text())
        assert (await call).value == "hello"
    assert client.faults.count(UNARY) == 3
    assert [request.header("kit-previous-rpc-attempts") for request in client.faults.seen] == [None, "1", "2"]
    [report] = seen
    assert [attempt.code for attempt in report.attempts] == [
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.OK,
    ]
    assert [attempt.hedge for attempt in report.attempts] == [False, True, True]
    assert all(attempt.delay >= 0.05 for attempt in report.attempts[1:])
    assert (report.code, report.stop_reason) == (grpc.StatusCode.OK, "OK")
    async with asyncio.timeout(5):
        for loser in client.faults.seen[:2]:
            await loser.cancelled.wait()


async def test_case_8_with_the_budget_used_up_no_hedge_is_sent_and_the_primary_succeeds(connect: Connect) -> None:
    none = kit.RetryBudget(ratio=0.0, min_per_second=0.0)
    client = await connect(policy=hedged(delay=0.0, budget=none))
    assert (await client.stub.Unary(text())).value == "hello"
    assert client.faults.count(UNARY) == 1


async def test_what_is_not_fatal_sends_the_next_at_once(connect: Connect) -> None:
    client = await connect(policy=hedged(delay=1000.0))
    client.faults.script(UNARY, [UNAVAILABLE] * 2)
    assert (await client.stub.Unary(text())).value == "hello"
    assert client.faults.count(UNARY) == 3


async def test_what_is_fatal_ends_the_call_and_cancels_the_others(connect: Connect) -> None:
    client = await connect(policy=hedged())
    client.faults.script(UNARY, [Fault(until=asyncio.Event()), Fault(code=grpc.StatusCode.INTERNAL)])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    report = kit.report(failure.value)
    assert failure.value.code() is grpc.StatusCode.INTERNAL
    assert [attempt.code for attempt in report.attempts] == [grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL]
    async with asyncio.timeout(5):
        await client.faults.seen[0].cancelled.wait()


async def test_every_attempt_failing_is_the_last_failure(connect: Connect) -> None:
    client = await connect(policy=hedged(delay=1000.0))
    client.faults.script(UNARY, [UNAVAILABLE] * 9)
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    report = kit.report(failure.value)
    assert (client.faults.count(UNARY), len(report.attempts), report.stop_reason) == (3, 3, "ATTEMPTS_EXHAUSTED")


async def test_failures_throttle_hedges_as_they_throttle_retries(connect: Connect) -> None:
    client = await connect(policy=hedged(delay=1000.0, tokens=2))
    client.faults.script(UNARY, [UNAVAILABLE])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    assert (client.faults.count(UNARY), kit.report(failure.value).stop_reason) == (1, "THROTTLED")


async def test_pushback_that_says_no_stops_further_hedges(connect: Connect) -> None:
    client = await connect(policy=hedged(delay=1000.0))
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=-1)])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    assert (client.faults.count(UNARY), kit.report(failure.value).stop_reason) == (1, "PUSHBACK")


@pytest.mark.parametrize("how", ["await", "call"])
async def test_cancelling_the_call_cancels_every_attempt(connect: Connect, how: str) -> None:
    client = await connect(policy=hedged(attempts=2))
    await hold(client, 2)
    call = client.stub.Unary(text())

    async def answer() -> object:
        return await call

    waiting = asyncio.create_task(answer())
    await client.faults.arrived(UNARY, 2)
    (waiting if how == "await" else call).cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        for request in client.faults.seen:
            await request.cancelled.wait()


async def test_code_and_metadata_are_those_of_the_winner(connect: Connect) -> None:
    client = await connect(policy=hedged(attempts=2))
    await hold(client, 1)
    call = client.stub.Unary(text())
    async with asyncio.timeout(5):
        assert await call.code() is grpc.StatusCode.OK
        await call.initial_metadata()
        await call.trailing_metadata()
    assert call.done()


async def test_initial_metadata_of_an_attempt_that_fails_makes_it_the_calls_failure(connect: Connect) -> None:
    client = await connect(policy=hedged(delay=1000.0))
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, initial_metadata=(("i-am", "here"),))])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    assert (client.faults.count(UNARY), kit.report(failure.value).stop_reason) == (1, "COMMITTED")


# Answers that are streams.

OPEN = "a b ..."


async def test_the_stream_whose_first_message_comes_first_goes_on_and_the_others_are_cancelled(
    connect: Connect,
) -> None:
    client = await connect(policy=hedged(DOWN))
    second = asyncio.Event()
    client.faults.script(DOWN, [Fault(until=asyncio.Event()), Fault(until=second), Fault(until=asyncio.Event())])
    with kit.reports() as seen:
        call = client.stub.Down(text("a b c"))
        reading = asyncio.create_task(call.read())
        await client.faults.arrived(DOWN, 3)
        second.set()
        assert (await reading).value == "a"
        async with asyncio.timeout(5):
            for loser in (client.faults.seen[0], client.faults.seen[2]):
                await loser.cancelled.wait()
        assert [(await call.read()).value for _ in range(2)] == ["b", "c"]
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    assert [request.header("kit-previous-rpc-attempts") for request in client.faults.seen] == [None, "1", "2"]
    [report] = seen
    assert [attempt.code for attempt in report.attempts] == [
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
    ]
    assert [attempt.hedge for attempt in report.attempts] == [False, True, True]
    assert (report.code, report.stop_reason) == (grpc.StatusCode.OK, "OK")


async def test_a_hedged_stream_can_be_iterated(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN, attempts=2))
    client.faults.script(DOWN, [Fault(until=asyncio.Event())])
    assert [message.value async for message in client.stub.Down(text("a b c"))] == ["a", "b", "c"]
    assert client.faults.count(DOWN) == 2


async def test_a_stream_that_ends_well_without_a_message_wins(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN))
    client.faults.script(DOWN, [Fault(until=asyncio.Event())])
    assert [message async for message in client.stub.Down(text(""))] == []


async def test_initial_metadata_wins_before_there_is_a_message(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN, attempts=2))
    late = asyncio.Event()
    here = Fault(initial_metadata=(("i-am", "here"),), until=late)
    client.faults.script(DOWN, [Fault(until=asyncio.Event()), here])
    call = client.stub.Down(text("a"))
    async with asyncio.timeout(5):
        assert (await call.initial_metadata())["i-am"] == "here"
        await client.faults.seen[0].cancelled.wait()
    late.set()
    assert (await call.read()).value == "a"


async def test_once_it_has_begun_a_streams_failure_is_the_calls(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN, delay=1000.0))
    client.faults.script(DOWN, [Fault(code=grpc.StatusCode.UNAVAILABLE, after_messages=1)])
    call = client.stub.Down(text("a b"))
    assert (await call.read()).value == "a"
    with pytest.raises(CallFailed) as failure:
        await call.read()
    report = kit.report(failure.value)
    assert (client.faults.count(DOWN), report.code, report.stop_reason) == (1, grpc.StatusCode.UNAVAILABLE, "COMMITTED")
    assert [attempt.code for attempt in report.attempts] == [grpc.StatusCode.UNAVAILABLE]


async def test_a_stream_that_fails_before_it_begins_sends_the_next_at_once(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN, delay=1000.0))
    client.faults.script(DOWN, [UNAVAILABLE] * 2)
    assert [message.value async for message in client.stub.Down(text("a b"))] == ["a", "b"]
    assert client.faults.count(DOWN) == 3


async def test_a_fatal_failure_of_a_stream_cancels_the_others(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN))
    client.faults.script(DOWN, [Fault(until=asyncio.Event()), Fault(code=grpc.StatusCode.INTERNAL)])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Down(text("a")).read()
    assert failure.value.code() is grpc.StatusCode.INTERNAL
    async with asyncio.timeout(5):
        await client.faults.seen[0].cancelled.wait()


@pytest.mark.parametrize("how", ["read", "call"])
async def test_cancelling_a_stream_cancels_every_attempt(connect: Connect, how: str) -> None:
    client = await connect(policy=hedged(DOWN, attempts=2))
    client.faults.script(DOWN, [Fault(until=asyncio.Event())] * 2)
    call = client.stub.Down(text("a"))
    reading = asyncio.create_task(call.read())
    await client.faults.arrived(DOWN, 2)
    (reading if how == "read" else call).cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(5):
        for request in client.faults.seen:
            await request.cancelled.wait()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_cancelling_a_stream_that_nobody_reads_cancels_every_attempt(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN, attempts=2))
    client.faults.script(DOWN, [Fault(until=asyncio.Event())] * 2)
    call = client.stub.Down(text("a"))
    await client.faults.arrived(DOWN, 2)
    assert call.cancel()
    async with asyncio.timeout(5):
        for request in client.faults.seen:
            await request.cancelled.wait()


async def test_cancelling_after_a_stream_has_begun_reaches_the_winners_server(connect: Connect) -> None:
    client = await connect(policy=hedged(DOWN, attempts=2))
    client.faults.script(DOWN, [Fault(until=asyncio.Event())])
    call = client.stub.Down(text(OPEN))
    assert (await call.read()).value == "a"
    assert call.cancel()
    async with asyncio.timeout(5):
        for request in client.faults.seen:
            await request.cancelled.wait()


@pytest.mark.parametrize("begun", [True, False])
async def test_a_hedged_stream_that_is_dropped_ends_on_every_server(begun: bool) -> None:
    async with InProcess(Echo(), add_echo, policy=hedged(DOWN, attempts=2)) as process:
        process.faults.script(DOWN, [Fault(until=asyncio.Event())] * (1 if begun else 2))
        call = EchoStub(process.channel).Down(text(OPEN))
        if begun:
            assert (await call.read()).value == "a"
        else:
            await process.faults.arrived(DOWN, 2)
        del call
        gc.collect()
        async with asyncio.timeout(5):
            for request in process.faults.seen:
                await request.cancelled.wait()


@pytest.mark.parametrize(
    ("method", "given", "reason"),
    [
        (
            UNARY,
            kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=2), hedging=kit.HedgingPolicy(max_attempts=2)),
            "never together with retries",
        ),
        (UNSAFE, kit.MethodPolicy(retry=ONCE, hedging=kit.HedgingPolicy(max_attempts=2)), "not declared safe"),
        (UP, kit.MethodPolicy(retry=ONCE, hedging=kit.HedgingPolicy(max_attempts=2)), "a stream of requests is not"),
        (BOTH, kit.MethodPolicy(retry=ONCE, hedging=kit.HedgingPolicy(max_attempts=2)), "a stream of requests is not"),
    ],
)
def test_hedging_where_it_does_harm_is_refused(method: str, given: kit.MethodPolicy, reason: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        policy_for(method, {method: given})
    assert (refusal.value.method, refusal.value.field) == (method, "hedging.max_attempts")
    assert reason in refusal.value.reason


async def test_a_stream_of_requests_that_no_descriptor_shows_is_refused_when_its_stub_is_made() -> None:
    hedging = kit.HedgingPolicy(max_attempts=2)
    given = kit.MethodPolicy(idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, hedging=hedging)
    async with kit.channel("h:1", policy={"/unknown.Service/*": given}) as channel:
        assert channel.unary_stream("/unknown.Service/Watch")
        with pytest.raises(PolicyError, match="a stream of requests is not hedged"):
            channel.stream_unary("/unknown.Service/Upload")
        assert EchoStub(channel)
