"""`kit calls`: calls that a running process has made and that were more than a success at the first attempt."""

from __future__ import annotations

import click

from kit.cli._ops import duration, listing, wall
from kitapi.v1 import ops_pb2


def _row(call: ops_pb2.Call) -> tuple[str, ...]:
    attempts = ", ".join(f"{'hedge ' if one.hedge else ''}{one.endpoint} {one.code}".strip() for one in call.attempts)
    return (
        wall(call, "start_time"),
        call.method,
        f"{call.code}{' (degraded)' if call.degraded else ''}",
        duration(call, "duration"),
        str(len(call.attempts)),
        call.stop_reason,
        attempts,
        call.message,
    )


calls = listing(
    "calls",
    """List the last calls that the process at ADDRESS has made, newest first.

    Those that failed, were refused, tried again or hedged, or had a fallback, and streams; what went well at the first
    attempt is not kept. Neither metadata nor messages are.
    """,
    lambda given: (
        "ListCalls",
        ops_pb2.ListCallsRequest(page_size=given["number"], failed_only=given["failed"]),
        "calls",
    ),
    ("STARTED", "METHOD", "CODE", "TOOK", "ATTEMPTS", "STOP REASON", "AT", "MESSAGE"),
    _row,
    [
        click.option("-n", "number", type=click.IntRange(1), default=20, show_default=True, help="At most so many."),
        click.option("--failed", is_flag=True, help="Only those that failed, or were answered by a fallback."),
    ],
)
