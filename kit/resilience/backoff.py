"""How long to wait before the next attempt.

Theory of operation. The delay before retry n (1 is the first) grows geometrically and is capped:

    d(n) = min(initial * multiplier ** (n - 1), maximum)

Jitter then spreads it, so that clients which failed together do not come back together. `u` is uniform in [0, 1):

    NONE            d
    FULL            d * u
    EQUAL           d/2 + d/2 * u
    PLUS_MINUS_20   d * (0.8 + 0.4 u)            gRFC A6; may exceed the cap by a fifth
    PLUS_MINUS_25   d * (0.75 + 0.5 u)           after the cap as well
    ADDITIVE        min(d * (1 + 0.5 u), maximum)
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

__all__ = ["Backoff", "Jitter", "longest_delay", "nth_delay"]


class Jitter(enum.Enum):
    """How a delay is spread. The values are those of kitapi.v1.Jitter."""

    NONE = 1
    FULL = 2
    EQUAL = 3
    PLUS_MINUS_20 = 4
    PLUS_MINUS_25 = 5
    ADDITIVE = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Delays in seconds. The defaults are 100 ms doubling up to 5 s, with the jitter of gRFC A6."""

    initial: float = 0.1
    multiplier: float = 2.0
    maximum: float = 5.0
    jitter: Jitter = Jitter.PLUS_MINUS_20

    def __post_init__(self) -> None:
        if not (self.initial >= 0 and math.isfinite(self.initial)):
            raise ValueError(f"initial_backoff must be a time of 0 or more, not {self.initial}")
        if not (self.maximum >= 0 and math.isfinite(self.maximum)):
            raise ValueError(f"max_backoff must be a time of 0 or more, not {self.maximum}")
        if not (self.multiplier >= 1 and math.isfinite(self.multiplier)):
            raise ValueError(f"backoff_multiplier must be at least 1, not {self.multiplier}")


def _base(backoff: Backoff, retry: int) -> float:
    try:
        grown = backoff.initial * backoff.multiplier ** (retry - 1)
    except OverflowError:
        grown = backoff.maximum
    return min(grown, backoff.maximum)


def nth_delay(backoff: Backoff, retry: int, u: float) -> float:
    """Seconds before retry number `retry` (1 is the first); `u` is uniform in [0, 1)."""
    base = _base(backoff, retry)
    match backoff.jitter:
        case Jitter.NONE:
            return base
        case Jitter.FULL:
            return base * u
        case Jitter.EQUAL:
            return base / 2 + base / 2 * u
        case Jitter.PLUS_MINUS_20:
            return base * (0.8 + 0.4 * u)
        case Jitter.PLUS_MINUS_25:
            return base * (0.75 + 0.5 * u)
        case Jitter.ADDITIVE:
            return min(base * (1 + 0.5 * u), backoff.maximum)


def longest_delay(backoff: Backoff, retry: int) -> float:
    """The most that `nth_delay` can give."""
    return nth_delay(backoff, retry, 1.0)
