"""The retry layer in virtual time."""

from __future__ import annotations

import asyncio
import random

import grpc
import pytest

import kit
from kit.client._pipeline import client_pipeline
from kit.layers import AttemptLayer, DeadlineLayer, ReportLayer, RetryLayer
from kit.pipeline import Call, Method, Outcome, Pipeline, Shape
from kit.testing import VirtualClock
from tests.unit.layers.wire import INTERNAL, Wire, failure, method


def pipeline(clock: VirtualClock) -> Pipeline:
    return Pipeline([ReportLayer(clock), DeadlineLayer(clock), RetryLayer(clock, lambda: 0.5), AttemptLayer(clock)])


async def run(
    clock: VirtualClock, wire: Wire, what: Method | None = None, timeout: float | None = None
) -> tuple[Outcome, Call]:
    what = what if what is not None else method()
    call = Call(what, "request", timeout=timeout)
    return await pipeline(clock).handler(what, wire)(call), call


async def test_the_delays_are_those_of_the_policy() -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [failure(), failure(), failure()])
    outcome, call = await run(clock, wire)
    assert outcome.response == "answer"
    assert wire.started == [0.0, 1.0, 3.0, 7.0]
    assert [attempt.delay for attempt in call.attempts] == [0.0, 1.0, 2.0, 4.0]


async def test_pushback_of_two_seconds_is_two_seconds() -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [failure(pushback="2000"), failure()])
    await run(clock, wire)
    assert wire.started == [0.0, 2.0, 3.0]


async def test_one_deadline_covers_every_attempt_and_delay() -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [failure(), failure(), failure()], seconds=0.5)
    outcome, call = await run(clock, wire, timeout=4.0)
    # 0.0 to 0.5, 1.5 to 2.0, and then two seconds would end at the deadline itself.
    assert wire.started == [0.0, 1.5]
    assert wire.allowed == [4.0, 2.5]
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == "DEADLINE"
    assert call.code is grpc.StatusCode.UNAVAILABLE


async def test_an_attempt_gets_its_own_time_and_is_made_again_when_that_is_up() -> None:
    clock = VirtualClock(autojump=True)
    late = failure(grpc.StatusCode.DEADLINE_EXCEEDED)
    wire = Wire(clock, [late], seconds=3.0)
    outcome, _ = await run(clock, wire, method(policy=kit.MethodPolicy(per_try_timeout=3.0)), timeout=20.0)
    assert wire.allowed == [3.0, 3.0]
    assert outcome.error is None


async def test_a_server_that_says_deadline_exceeded_by_itself_is_believed() -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [failure(grpc.StatusCode.DEADLINE_EXCEEDED)], seconds=0.1)
    outcome, _ = await run(clock, wire, method(policy=kit.MethodPolicy(per_try_timeout=3.0)), timeout=20.0)
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == "NOT_RETRYABLE"


@pytest.mark.parametrize(
    ("what", "step", "reason"),
    [
        (method(), failure(INTERNAL), "NOT_RETRYABLE"),
        (method(), failure(committed=True), "COMMITTED"),
        (method(), failure(pushback="-1"), "PUSHBACK"),
        (method(safe=False), failure(), "NOT_SAFE"),
        (method(shape=Shape.STREAM_UNARY), failure(), "NOT_SAFE"),
        (method(attempts=1), failure(), "OFF"),
    ],
)
async def test_it_says_why_there_was_no_further_attempt(what: Method, step: grpc.aio.AioRpcError, reason: str) -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [step])
    outcome, _ = await run(clock, wire, what)
    assert len(wire.started) == 1
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == reason


LET_GO = grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, grpc.aio.Metadata(), grpc.aio.Metadata(), details="CANCELLED")


async def test_what_a_stopping_server_let_go_of_is_made_again_where_the_method_may_run_twice() -> None:
    clock = VirtualClock(autojump=True)
    outcome, call = await run(clock, Wire(clock, [LET_GO]))
    assert outcome.error is None
    assert call.attempts[0].code is grpc.StatusCode.CANCELLED
    outcome, _ = await run(clock, Wire(clock, [LET_GO]), method(safe=False))
    assert outcome.error is not None
    assert outcome.error.code() is grpc.StatusCode.CANCELLED
    assert kit.report(outcome.error).stop_reason == "NOT_SAFE"


async def test_a_server_that_says_cancelled_in_words_of_its_own_is_believed() -> None:
    clock = VirtualClock(autojump=True)
    said = failure(grpc.StatusCode.CANCELLED)
    outcome, _ = await run(clock, Wire(clock, [said]))
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == "NOT_RETRYABLE"


async def test_what_was_never_sent_is_made_again_whatever_the_method() -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [Outcome(error=failure(), unsent=True)])
    outcome, _ = await run(clock, wire, method(safe=False))
    assert outcome.error is None
    assert len(wire.started) == 2


async def test_later_attempts_say_how_many_came_before() -> None:
    clock = VirtualClock(autojump=True)
    wire = Wire(clock, [failure(), failure()])
    await run(clock, wire)
    assert wire.metadata == [
        None,
        [("grpc-previous-rpc-attempts", "1"), ("kit-previous-rpc-attempts", "1")],
        [("grpc-previous-rpc-attempts", "2"), ("kit-previous-rpc-attempts", "2")],
    ]


async def test_a_cancellation_during_the_delay_ends_the_call() -> None:
    clock = VirtualClock()
    wire = Wire(clock, [failure()])
    with kit.reports() as seen:
        task = asyncio.create_task(run(clock, wire))
        await clock.advance(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(wire.started) == 1
    assert [(report.code, report.stop_reason) for report in seen] == [(grpc.StatusCode.CANCELLED, "CANCELLED")]


async def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    clock = VirtualClock()
    wire = Wire(clock, [failure()])
    task = asyncio.create_task(run(clock, wire, timeout=30.0))
    clock.shift_wall(3600.0)
    await clock.advance(1.0)
    outcome, _ = await task
    assert outcome.error is None
    assert wire.started == [0.0, 1.0]


async def test_a_report_is_kept_only_where_somebody_collects() -> None:
    clock = VirtualClock(autojump=True)
    with kit.reports() as outer:
        with kit.reports() as inner:
            await run(clock, Wire(clock))
        await run(clock, Wire(clock, [failure(INTERNAL)]))
    assert [report.code for report in inner] == [grpc.StatusCode.OK]
    assert [report.code for report in outer] == [grpc.StatusCode.OK, INTERNAL]
    assert "INTERNAL" in str(outer[1])


async def test_attempts_whose_own_time_was_up_close_the_throttle() -> None:
    clock = VirtualClock(autojump=True)
    late = failure(grpc.StatusCode.DEADLINE_EXCEEDED)
    throttling = kit.RetryThrottling(max_tokens=4, token_ratio=0.1)
    what = method(policy=kit.MethodPolicy(per_try_timeout=3.0, retry_throttling=throttling))
    outcome, _ = await run(clock, Wire(clock, [late] * 4, seconds=3.0), what)
    assert outcome.error is not None
    report = kit.report(outcome.error)
    assert len(report.attempts) == 2
    assert report.stop_reason == "THROTTLED"


async def test_no_backoff_is_waited_for_that_ends_in_a_certain_refusal() -> None:
    clock = VirtualClock(autojump=True)
    what = method(policy=kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=4, open_for=60.0)))
    handler = client_pipeline(clock, random.Random(1), None).handler(
        what, Wire(clock, [failure(INTERNAL)] * 3 + [failure()])
    )
    for _ in range(3):
        await handler(Call(what, "request"))
    before = clock.now()
    outcome = await handler(Call(what, "request"))
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == "BREAKER_OPEN"
    assert clock.now() == before
