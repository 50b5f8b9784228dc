"""`kit limits`: what a running process limits, and how much of it is used."""

from __future__ import annotations

from kit.cli._ops import listing
from kitapi.v1 import ops_pb2


def _row(one: ops_pb2.Limit) -> tuple[str, ...]:
    return (
        one.target or "(served)",
        one.kind,
        f"{one.used:g}",
        f"{one.limit:g}",
        str(one.queued),
        str(one.rejected),
        one.name,
    )


limits = listing(
    "limits",
    """List the limits of the process at ADDRESS: of calls that it serves, and of calls that it makes.""",
    lambda _: ("ListLimits", ops_pb2.ListLimitsRequest(), "limits"),
    ("TARGET", "KIND", "USED", "LIMIT", "QUEUED", "REJECTED", "OF"),
    _row,
)
