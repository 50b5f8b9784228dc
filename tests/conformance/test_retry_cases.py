"""Cases 1 to 4 of the peers' suites, over real loopback gRPC. Waits are on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.errors import CallFailed
from kit.resilience.backoff import Jitter
from kit.testing import Fault, Faults, InProcess, VirtualClock
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text

ABORTED = Fault(code=grpc.StatusCode.ABORTED)
UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


def policy(*, attempts: int = 2, tokens: float | None = None, ratio: float | None = None) -> kit.MethodPolicy:
    throttling = None if tokens is None else kit.RetryThrottling(max_tokens=tokens, token_ratio=ratio)
    codes = [grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE]
    retry = kit.RetryPolicy(max_attempts=attempts, retryable_status_codes=codes)
    return kit.MethodPolicy(retry=retry, retry_throttling=throttling)


@asynccontextmanager
async def connected(how: str, given: kit.MethodPolicy) -> AsyncIterator[tuple[EchoStub, Faults]]:
    """A stub whose waits are virtual, on either kind of channel."""
    clock = VirtualClock(autojump=True)
    async with InProcess(Echo(), add_echo) as process:
        opened: grpc.aio.Channel
        if how == "kit.channel":
            opened = Channel(process.address, policy=given, clock=clock)
        else:
            opened = grpc.aio.insecure_channel(
                process.address, interceptors=kit.client_interceptors(policy=given, clock=clock)
            )
        async with opened as channel:
            yield EchoStub(channel), process.faults


BOTH_WAYS = pytest.mark.parametrize("how", ["kit.channel", "stock"])


async def failing(stub: EchoStub, faults: Faults) -> tuple[int, str]:
    """Calls once; gives the requests that arrived and why there were no more."""
    before = faults.count(UNARY)
    with pytest.raises(CallFailed) as failure:
        await stub.Unary(text())
    return faults.count(UNARY) - before, kit.report(failure.value).stop_reason


@BOTH_WAYS
async def test_case_1_two_tokens_leave_no_retry_after_one_failure(how: str) -> None:
    async with connected(how, policy(tokens=2, ratio=1.0)) as (stub, faults):
        faults.script(UNARY, [ABORTED] * 9)
        assert await failing(stub, faults) == (1, "THROTTLED")


@BOTH_WAYS
async def test_case_1_ten_tokens_leave_two_two_one_one_one_attempts(how: str) -> None:
    async with connected(how, policy(tokens=10, ratio=0.1)) as (stub, faults):
        faults.script(UNARY, [ABORTED] * 20)
        seen = [await failing(stub, faults) for _ in range(5)]
    assert [attempts for attempts, _ in seen] == [2, 2, 1, 1, 1]
    assert [reason for _, reason in seen] == ["ATTEMPTS_EXHAUSTED"] * 2 + ["THROTTLED"] * 3


@BOTH_WAYS
async def test_case_1_what_succeeds_gives_retries_back(how: str) -> None:
    async with connected(how, policy(tokens=2, ratio=1.0)) as (stub, faults):
        faults.script(UNARY, [ABORTED])
        assert await failing(stub, faults) == (1, "THROTTLED")
        await stub.Unary(text())
        faults.script(UNARY, [Fault(code=grpc.StatusCode.INVALID_ARGUMENT, pushback=-1)])
        assert await failing(stub, faults) == (1, "NOT_RETRYABLE")
        faults.script(UNARY, [ABORTED])
        assert await failing(stub, faults) == (1, "THROTTLED"), "pushback that says no costs a token as well"
        assert [message.value async for message in stub.Down(text("a"))] == ["a"]


async def test_case_2_pushback_of_two_seconds_wins_over_a_backoff_of_one() -> None:
    given = kit.MethodPolicy(retry=kit.RetryPolicy(initial_backoff=1.0, max_backoff=1.0))
    async with connected("kit.channel", given) as (stub, faults):
        faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=2000)])
        with kit.reports() as seen:
            await stub.Unary(text())
    first, second = seen[0].attempts
    assert second.started_after - first.started_after >= 1.5


async def test_case_2_after_pushback_the_backoff_starts_over() -> None:
    retry = kit.RetryPolicy(initial_backoff=0.1, max_backoff=10.0, backoff_multiplier=5.0, jitter=Jitter.NONE)
    async with connected("kit.channel", kit.MethodPolicy(retry=retry)) as (stub, faults):
        faults.script(UNARY, [UNAVAILABLE, Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=303), UNAVAILABLE])
        with kit.reports() as seen:
            await stub.Unary(text())
    assert [attempt.delay for attempt in seen[0].attempts] == [0.0, 0.1, 0.303, 0.1]


@BOTH_WAYS
async def test_case_3_success_on_the_third_attempt_is_three_requests_and_two_retries(how: str) -> None:
    async with connected(how, policy(attempts=5)) as (stub, faults):
        faults.script(UNARY, [UNAVAILABLE] * 2)
        with kit.reports() as seen:
            await stub.Unary(text())
        assert faults.count(UNARY) == 3
        assert len([attempt for attempt in seen[0].attempts if attempt.number > 1]) == 2
        faults.script(UNARY, [Fault(code=grpc.StatusCode.INTERNAL)])
        assert await failing(stub, faults) == (1, "NOT_RETRYABLE")


class CountUnary(grpc.aio.UnaryUnaryClientInterceptor):
    """Counts what passes."""

    def __init__(self) -> None:
        self.passed = 0

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.passed += 1
        return await continuation(client_call_details, request)


class CountStream(grpc.aio.UnaryStreamClientInterceptor):
    """Counts what passes."""

    def __init__(self) -> None:
        self.passed = 0

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.passed += 1
        return await continuation(client_call_details, request)


async def test_case_4_interceptors_outside_run_once_and_inside_for_every_attempt() -> None:
    outer, inner, outer_stream, inner_stream = CountUnary(), CountUnary(), CountStream(), CountStream()
    kits = kit.client_interceptors(policy=policy(attempts=4), clock=VirtualClock(autojump=True))
    async with InProcess(Echo(), add_echo) as process:
        process.faults.script(UNARY, [UNAVAILABLE] * 2)
        process.faults.script(DOWN, [UNAVAILABLE] * 2)
        chain = [outer, outer_stream, *kits, inner, inner_stream]
        async with grpc.aio.insecure_channel(process.address, interceptors=chain) as channel:
            stub = EchoStub(channel)
            assert (await stub.Unary(text())).value == "hello"
            assert [message.value async for message in stub.Down(text("a b"))] == ["a", "b"]
    assert [outer.passed, inner.passed, outer_stream.passed, inner_stream.passed] == [1, 3, 1, 3]


@BOTH_WAYS
async def test_retries_stop_when_the_budget_is_used_up(how: str) -> None:
    budget = kit.RetryBudget(ratio=0.5, min_per_second=0.0, window=1000.0)
    given = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=4), retry_budget=budget)
    async with connected(how, given) as (stub, faults):
        faults.script(UNARY, [UNAVAILABLE] * 30)
        seen = [await failing(stub, faults) for _ in range(6)]
    assert [attempts for attempts, _ in seen] == [1, 2, 1, 2, 1, 2]
    assert {reason for _, reason in seen} == {"BUDGET_EXHAUSTED"}
