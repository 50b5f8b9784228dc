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
    assert kit.report(CallFailed(grpc.StatusCode.ABORTED, "lost", report=made)) is made
    assert str(made) == "/a.B/C ABORTED after 300 ms (NOT_RETRYABLE); attempts: 1: ABORTED at h:1 in 250 ms"


@pytest.mark.parametrize("other", [object(), ValueError("no"), grpc.aio.AioRpcError(grpc.StatusCode.OK)])
def test_what_is_not_the_kits_has_no_report(other: object) -> None:
    with pytest.raises(UsageError, match="carries no report"):
        kit.report(other)
