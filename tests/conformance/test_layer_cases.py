"""Peers' cases of layers over layers: case 7's breakers under a pick, and what a refusal costs."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import grpc
import pytest

import kit
from kit.errors import BreakerOpen, CallFailed
from kit.policy import BalanceKind
from kit.testing import Fault, InProcess
from tests.integration.client.echo import UNARY, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


async def test_case_7_retries_meet_a_breaker_that_an_earlier_call_brought_near_to_opening() -> None:
    """A breaker of 4 with one failure behind it: three more executions, then it refuses the fourth attempt."""
    policy = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=4))
    async with InProcess(Echo(), add_echo, policy=policy) as process:
        process.faults.script(UNARY, [Fault(code=grpc.StatusCode.INTERNAL), *[UNAVAILABLE] * 9])
        stub = EchoStub(process.channel)
        with pytest.raises(CallFailed):
            await stub.Unary(text())
        with pytest.raises(CallFailed) as failure:
            await stub.Unary(text())
        report = kit.report(failure.value)
        assert (len(report.attempts), report.stop_reason) == (3, "BREAKER_OPEN")
        assert process.faults.count(UNARY) == 4


async def test_case_7_an_open_breaker_is_skipped_at_the_pick_and_is_no_attempt() -> None:
    async with AsyncExitStack() as stack:
        bad, good = [await stack.enter_async_context(InProcess(Echo(), add_echo)) for _ in range(2)]
        turns = kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN)
        policy = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=4), balance=turns)
        channel = await stack.enter_async_context(kit.channel([bad.address, good.address], policy=policy))
        stub = EchoStub(channel)
        for _ in range(2):
            await stub.Unary(text())
        {breaker.name: breaker for breaker in channel.breakers}[bad.address].open()
        with kit.reports() as seen:
            for _ in range(20):
                await stub.Unary(text())
        assert [attempt.endpoint for report in seen for attempt in report.attempts] == [good.address] * 20
        assert bad.faults.count(UNARY) == 1


async def test_a_refusal_is_answered_in_less_than_a_millisecond() -> None:
    once = kit.RetryPolicy(max_attempts=1)
    policy = kit.MethodPolicy(retry=once, breaker=kit.BreakerPolicy(failure_threshold=1))
    async with InProcess(Echo(), add_echo, policy=policy) as process:
        process.faults.script(UNARY, [UNAVAILABLE])
        stub = EchoStub(process.channel)
        with pytest.raises(CallFailed):
            await stub.Unary(text())
        took = []
        for _ in range(50):
            before = time.perf_counter()
            with pytest.raises(BreakerOpen):
                await stub.Unary(text())
            took.append(time.perf_counter() - before)
    assert sorted(took)[25] < 0.001
