"""Recent calls: what is kept of them, and what is told."""

from __future__ import annotations

import grpc

from kit.call import Attempt, CallReport
from kit.layers.recent import Recent, RecentCall
from kit.ops.calls import MAX_MESSAGE, call_message

REPORT = CallReport(
    method="/shop.v1.Shop/Get",
    target="dns:///shop:1",
    attempts=(
        Attempt(
            number=1,
            endpoint="10.0.0.1:1",
            delay=0.0,
            started_after=0.0,
            duration=0.25,
            code=grpc.StatusCode.UNAVAILABLE,
            details="busy",
        ),
        Attempt(
            number=2,
            endpoint="10.0.0.2:1",
            delay=0.5,
            started_after=0.75,
            duration=0.25,
            code=grpc.StatusCode.OK,
            hedge=True,
        ),
    ),
    code=grpc.StatusCode.OK,
    details="x" * 5000,
    duration=1.0,
    stop_reason="OK",
    idempotency_key="secret-key",
    degraded="default",
)


def test_a_call_is_told_with_its_attempts_and_without_its_key() -> None:
    call = call_message(RecentCall(REPORT, ended_at=1_700_000_001.0, trace_id="abc"))
    assert call.method == "shop.v1.Shop/Get"
    assert call.start_time.ToMilliseconds() == 1_700_000_000_000
    assert call.duration.ToMilliseconds() == 1000
    assert (call.code, call.trace_id, call.degraded, call.stop_reason) == ("OK", "abc", "default", "OK")
    assert len(call.message) == MAX_MESSAGE
    first, second = call.attempts
    assert (first.number, first.endpoint, first.code, first.hedge) == (1, "10.0.0.1:1", "UNAVAILABLE", False)
    assert (second.delay.ToMilliseconds(), second.hedge) == (500, True)
    assert b"secret-key" not in call.SerializeToString()


def test_the_ring_forgets_the_oldest() -> None:
    recent = Recent(size=2)
    for number in range(3):
        recent._kept.append(RecentCall(REPORT, float(number), ""))
    assert [one.ended_at for one in recent.newest_first()] == [2.0, 1.0]
