"""Calls per second that one process takes of a method.

Theory of operation. A token bucket that holds one second's worth, and at least one token: so a method of 100 a second
takes a hundred calls at once after a second of rest, and never more than 100 + 100 * t in t seconds. Who comes when it
is empty is told when a token will be there, each one later than the one before, up to `_MOST` seconds: told the same,
all of them would come back at once and all but one in vain.

Invariant: what is refused takes no token.
"""

from __future__ import annotations

from kit.resilience.tokens import TokenBucket

__all__ = ["RateLimit"]

#: The latest that somebody is asked to come back, in seconds.
_MOST = 30.0


class RateLimit:
    """The limit of one method; seconds."""

    __slots__ = ("_bucket", "_promised", "per_second", "refused")

    def __init__(self, per_second: float, now: float) -> None:
        """`per_second` is more than 0."""
        if not per_second > 0:
            raise ValueError(f"per_second must be more than 0, not {per_second}")
        self.per_second = per_second
        #: How many were refused.
        self.refused = 0
        self._bucket = TokenBucket(per_second, max(1.0, per_second), now)
        #: The instant that was last promised to somebody.
        self._promised = now

    def take(self, now: float) -> float:
        """0.0 where the call may go on, else the seconds after which to come back."""
        if self._bucket.take(now):
            return 0.0
        self.refused += 1
        soonest = now + self._bucket.wait(now)
        self._promised = min(max(soonest, self._promised + 1 / self.per_second), now + _MOST)
        return max(self._promised - now, 1e-3)

    def used(self, now: float) -> float:
        """Tokens of the bucket that are taken."""
        return max(1.0, self.per_second) - self._bucket.available(now)
