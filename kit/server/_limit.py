"""What a server limits, as numbers for whoever looks after it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limit"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """One limit, as of now.

    `kind` is "concurrency" (calls that run), "queue" (calls that wait) or "rate" (calls of the method `name` that were
    taken of what is allowed at once; the limit is calls a second).
    """

    name: str
    kind: str
    limit: float
    used: float
    #: Calls that it refused since the server was made.
    rejected: int
