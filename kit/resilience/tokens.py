"""A token bucket: so many a second, so many at once.

Theory of operation. The bucket holds at most `burst` tokens, starts full, and gains `rate` tokens a second. Who takes
more than is there is refused and changes nothing. Time is only ever looked at when somebody asks; an instant before
the latest one seen counts as that one.

    tokens(now) = min(burst, tokens(then) + rate * (now - then))

Invariant: in any stretch of t seconds at most burst + rate * t tokens are taken, net of what is given back.
"""

from __future__ import annotations

import math

__all__ = ["TokenBucket"]

#: Of a token. What rounding took away must not refuse the last token of a burst.
_ROUNDING = 1e-6


class TokenBucket:
    """One bucket; instants and durations in seconds."""

    __slots__ = ("_burst", "_rate", "_seen", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """`rate` tokens a second, 0 or more (0: what is taken comes back only by `give_back`); `burst` more than 0."""
        if not 0 <= rate < math.inf:
            raise ValueError(f"rate must be 0 or more tokens a second, not {rate}")
        if not 0 < burst < math.inf:
            raise ValueError(f"burst must be more than 0 tokens, not {burst}")
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._seen = now

    def take(self, now: float, tokens: float = 1.0) -> bool:
        """Takes `tokens` (0 or more) if there are so many."""
        if self.available(now) + _ROUNDING < tokens:
            return False
        self._tokens = max(0.0, self._tokens - tokens)
        return True

    def wait(self, now: float, tokens: float = 1.0) -> float:
        """Seconds until `take` would succeed if nobody else took any; 0.0 for at once, infinite for never."""
        missing = tokens - self.available(now)
        if missing <= _ROUNDING:
            return 0.0
        if tokens > self._burst + _ROUNDING or self._rate == 0:
            return math.inf
        return missing / self._rate

    def give_back(self, now: float, tokens: float = 1.0) -> None:
        """Returns what was taken for something that was then not done."""
        self._tokens = min(self._burst, self.available(now) + tokens)

    def available(self, now: float) -> float:
        """Tokens that are there."""
        if now > self._seen:
            self._tokens = min(self._burst, self._tokens + self._rate * (now - self._seen))
            self._seen = now
        return self._tokens
