"""Circuit breakers over real loopback gRPC, on `kit.channel` and on a stock channel."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiobreaker
import grpc
import grpc.aio
import pytest

import kit
from kit.errors import BreakerOpen, CallFailed, PolicyError
from kit.policy import Resolved, policy_for
from kit.resilience.breaker_rules import BreakerRules
from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
ONCE = kit.RetryPolicy(max_attempts=1)
THREE = kit.MethodPolicy(retry=ONCE, breaker=kit.BreakerPolicy(failure_threshold=3))


async def fail(client: Client, times: int) -> None:
    client.faults.script(UNARY, [UNAVAILABLE] * times)
    for _ in range(times):
        with pytest.raises(CallFailed):
            await client.stub.Unary(text())


async def test_after_its_failures_calls_are_refused_at_once_and_not_sent(connect: Connect) -> None:
    client = await connect(policy=THREE)
    await fail(client, 3)
    spent = []
    for _ in range(20):
        before = time.perf_counter()
        with pytest.raises(BreakerOpen) as refusal:
            await client.stub.Unary(text())
        spent.append(time.perf_counter() - before)
    assert client.faults.count(UNARY) == 3
    assert min(spent) < 0.001
    error = refusal.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.endpoints == (client.endpoint,)
    assert 59 < error.retry_after <= 60
    assert "3 failures in a row" in (error.details() or "")
    assert "tried again in" in (error.details() or "")
    report = kit.report(error)
    assert (report.stop_reason, report.attempts) == ("BREAKER_OPEN", ())


async def test_a_refusal_is_an_error_of_aiobreaker_as_well(connect: Connect) -> None:
    client = await connect(policy=THREE)
    await fail(client, 3)
    with pytest.raises(aiobreaker.CircuitBreakerError) as refusal:
        await client.stub.Unary(text())
    assert refusal.value.time_remaining.total_seconds() == pytest.approx(60, abs=1)


async def test_four_attempts_over_a_breaker_of_three_are_three_executions(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_breaker(path: str, overrides: Any = None) -> Resolved:
        return replace(policy_for(path, overrides), breaker=BreakerRules(failure_threshold=3))

    # A policy that says so is refused when it is loaded; what holds at run time is shown all the same.
    monkeypatch.setattr("kit.policy.followed.policy_for", with_breaker)
    client = await connect()
    client.faults.script(UNARY, [UNAVAILABLE] * 4)
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    report = kit.report(failure.value)
    assert client.faults.count(UNARY) == len(report.attempts) == 3
    assert report.stop_reason == "BREAKER_OPEN"
    with pytest.raises(BreakerOpen) as refusal:
        await client.stub.Unary(text())
    assert kit.report(refusal.value).stop_reason == "BREAKER_OPEN"
    assert client.faults.count(UNARY) == 3


def test_a_breaker_that_opens_before_its_methods_attempts_end_is_refused() -> None:
    with pytest.raises(PolicyError) as refusal:
        policy_for(UNARY, kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=3)))
    assert (refusal.value.method, refusal.value.field) == (UNARY, "breaker.failure_threshold")
    assert "4 attempts" in refusal.value.reason


async def test_faults_of_the_caller_do_not_open_it(connect: Connect) -> None:
    client = await connect(policy=THREE)
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.INVALID_ARGUMENT)] * 5)
    for _ in range(5):
        with pytest.raises(CallFailed):
            await client.stub.Unary(text())
    assert (await client.stub.Unary(text())).value == "hello"


async def test_a_stream_is_judged_by_its_end(connect: Connect) -> None:
    policy = kit.MethodPolicy(retry=ONCE, breaker=kit.BreakerPolicy(failure_threshold=1))
    client = await connect(policy=policy)
    client.faults.script(DOWN, [Fault(code=grpc.StatusCode.UNAVAILABLE, after_messages=1)])
    call = client.stub.Down(text("a b"))
    assert (await call.read()).value == "a"
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    with pytest.raises(BreakerOpen):
        await client.stub.Down(text("a b")).read()
    assert client.faults.count(DOWN) == 1


async def probing(client: Client) -> Any:
    """A probe that is under way, with the only permit."""
    await fail(client, 1)
    probe = client.stub.Down(text("a ..."))
    assert (await probe.read()).value == "a"
    with pytest.raises(BreakerOpen, match="probes in flight: 1"):
        await client.stub.Unary(text())
    return probe


ONE_PROBE = kit.MethodPolicy(
    retry=ONCE, breaker=kit.BreakerPolicy(failure_threshold=1, open_for=0.0, success_threshold=1)
)


async def test_a_probe_whose_stream_is_cancelled_makes_room_for_the_next(connect: Connect) -> None:
    client = await connect(policy=ONE_PROBE)
    probe = await probing(client)
    probe.cancel()
    assert await probe.code() is grpc.StatusCode.CANCELLED
    assert (await client.stub.Unary(text())).value == "hello"


@pytest.mark.parametrize("connect", ["kit.channel"], indirect=True)
async def test_a_probe_whose_stream_is_abandoned_makes_room_for_the_next(connect: Connect) -> None:
    # On a stock channel grpc's own call keeps itself alive once it was read.
    client = await connect(policy=ONE_PROBE)
    probe = await probing(client)
    del probe
    gc.collect()
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()
    assert (await client.stub.Unary(text())).value == "hello"


async def test_an_endpoint_whose_breaker_is_open_is_skipped_and_that_is_no_attempt() -> None:
    async with AsyncExitStack() as stack:
        bad, good = [await stack.enter_async_context(InProcess(Echo(), add_echo)) for _ in range(2)]
        policy = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=4))
        channel = await stack.enter_async_context(kit.channel([bad.address, good.address], policy=policy))
        bad.faults.script(UNARY, [UNAVAILABLE] * 100)
        stub = EchoStub(channel)
        for _ in range(40):
            await stub.Unary(text())
        assert bad.faults.count(UNARY) == 4
        with kit.reports() as seen:
            for _ in range(10):
                await stub.Unary(text())
        assert {attempt.endpoint for report in seen for attempt in report.attempts} == {good.address}
        assert all(len(report.attempts) == 1 for report in seen)


async def test_listeners_of_aiobreaker_work_and_the_breakers_are_there_to_be_driven() -> None:
    class Listener(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]  # aiobreaker ships no types
        def __init__(self) -> None:
            self.states: list[str] = []

        def state_change(self, breaker: Any, old: Any, new: Any) -> None:
            self.states.append(f"{breaker.name} {new.state.name}")

    async with InProcess(Echo(), add_echo) as process:
        listener = Listener()
        async with kit.channel(process.address, policy=THREE, breaker_listeners=[listener]) as channel:
            stub = EchoStub(channel)
            await stub.Unary(text())
            [breaker] = channel.breakers
            breaker.open()
            with pytest.raises(BreakerOpen):
                await stub.Unary(text())
            breaker.close()
            await stub.Unary(text())
        assert listener.states == [f"{process.address} OPEN", f"{process.address} CLOSED"]


async def test_endpoints_that_cannot_be_reached_open_it_too() -> None:
    policy = kit.MethodPolicy(retry=ONCE, breaker=kit.BreakerPolicy(failure_threshold=1))
    async with InProcess(Echo(), add_echo) as process:
        address = process.address
    async with kit.channel(address, policy=policy) as channel:
        with pytest.raises(CallFailed):
            await EchoStub(channel).Unary(text())
        with pytest.raises(BreakerOpen):
            await EchoStub(channel).Unary(text())
