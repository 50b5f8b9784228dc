"""Recent calls as messages."""

from __future__ import annotations

from kit.durations import to_duration
from kit.layers.recent import RecentCall
from kit.observe.redaction import redacted_text
from kitapi.v1 import ops_pb2

__all__ = ["call_message"]

#: Characters of an error's text that are shown.
MAX_MESSAGE = 1024


def call_message(recent: RecentCall) -> ops_pb2.Call:
    """A call that has ended, without its idempotency key, which is the caller's."""
    report = recent.report
    call = ops_pb2.Call(
        method=report.method.removeprefix("/"),
        target=report.target,
        duration=to_duration(report.duration),
        code="" if report.code is None else report.code.name,
        message=redacted_text(report.details[:MAX_MESSAGE]),
        stop_reason=report.stop_reason,
        trace_id=recent.trace_id,
        degraded=report.degraded,
        attempts=[
            ops_pb2.Attempt(
                number=attempt.number,
                endpoint=attempt.endpoint,
                code="" if attempt.code is None else attempt.code.name,
                duration=to_duration(attempt.duration),
                delay=to_duration(attempt.delay),
                hedge=attempt.hedge,
            )
            for attempt in report.attempts
        ],
    )
    call.start_time.FromNanoseconds(round((recent.ended_at - report.duration) * 1e9))
    return call
