"""The deadline of a context, and reports."""

from __future__ import annotations

import asyncio
import contextvars
import math

import grpc
import pytest

import kit
from kit.call import Attempt, CallReport, Deadline, reset_deadline, set_deadline
from kit.errors import CallFailed, UsageError
from kit.testing import VirtualClock


def test_there_is_no_deadline_unless_somebody_sets_one() -> None:
    assert kit.deadline().expires_at == math.inf
    assert kit.deadline().remaining() == math.inf
    assert not kit.deadline().expired()


def test_a_timeout_holds_inside_and_ends_with_the_block() -> None:
    clock = VirtualClock()
    with kit.timeout(5.0, clock=clock) as deadline:
        assert kit.deadline() is deadline
        assert deadline.remaining() == 5.0
    assert kit.deadline().expires_at == math.inf


def test_a_timeout_can_only_narrow() -> None:
    clock = VirtualClock()
    with kit.timeout(5.0, clock=clock):
        with kit.timeout(9.0):
            assert kit.deadline().remaining() == 5.0
        with kit.timeout(2.0):
            assert kit.deadline().remaining() == 2.0
        assert kit.deadline().remaining() == 5.0


async def test_a_deadline_that_has_passed_has_nothing_left() -> None:
    clock = VirtualClock()
    deadline = Deadline(clock.now() + 1.0, clock)
    await clock.advance(3.0)
    assert deadline.remaining() == 0.0
    assert deadline.expired()


def test_a_server_sets_the_deadline_of_its_context() -> None:
    def serve() -> float:
        token = set_deadline(1234.5)
        found = kit.deadline().expires_at
        reset_deadline(token)
        set_deadline(None)
        return found

    assert contextvars.copy_context().run(serve) == 1234.5
    assert kit.deadline().expires_at == math.inf


async def test_the_deadline_is_handed_to_tasks_that_are_started_inside() -> None:
    async def seen() -> float:
        return kit.deadline().expires_at

    with kit.timeout(5.0) as deadline:
        task = asyncio.create_task(seen())
    assert await task == deadline.expires_at


def test_an_error_gives_its_report() -> None:
    attempt = Attempt(
        number=1, endpoint="h:1", delay=0.0, started_after=0.0, duration=0.25, code=grpc.StatusCode.ABORTED
    )
    made = CallReport(
        method="/a.B/C",
        target="h:1",
        attempts=(attempt,),
        code=grpc.StatusCode.ABORTED,
        details="lost",
        duration=0.3,
        stop_reason="NOT_RETRYABLE",
    )
    error = CallFailed(grpc.StatusCode.ABORTED, "lost", report=made)
    assert kit.report(error) is made
    course = "/a.B/C, 300 ms in all: attempt 1 at h:1 ABORTED in 250 ms; the status is not worth another attempt"
    assert str(made) == f"ABORTED (lost): {course}"
    assert str(error) == f"ABORTED: lost ({course})"


def test_a_report_tells_where_the_time_of_a_call_went_and_what_limits_it() -> None:
    first = Attempt(number=1, endpoint="h:1", delay=0, started_after=0, duration=1.25, code=grpc.StatusCode.UNAVAILABLE)
    second = Attempt(number=2, endpoint="h:2", delay=0.4, started_after=1.65, duration=0.35, code=None)
    hedge = Attempt(number=3, endpoint="h:1", delay=0.1, started_after=1.75, duration=0.25, code=None, hedge=True)
    made = CallReport(
        method="/a.B/C",
        target="h:1,h:2",
        attempts=(first, second, hedge),
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
        details="",
        duration=2.0,
        stop_reason="DEADLINE",
        breakers={"h:1": "OPEN", "h:2": "CLOSED"},
        retries_left=3,
        throttle_tokens=7.5,
    )
    assert made.hedges == 1
    assert str(made) == (
        "DEADLINE_EXCEEDED: /a.B/C, 2.00 s in all: attempt 1 at h:1 UNAVAILABLE in 1.25 s, waited 400 ms, "
        "attempt 2 at h:2 running in 350 ms, hedge 3 at h:1 running in 250 ms; no time was left; breakers: h:1 OPEN; "
        "retries left: 3; throttle tokens: 7.5"
    )


@pytest.mark.parametrize("other", [object(), ValueError("no"), grpc.aio.AioRpcError(grpc.StatusCode.OK)])
def test_what_is_not_the_kits_has_no_report(other: object) -> None:
    with pytest.raises(UsageError, match="carries no report"):
        kit.report(other)
