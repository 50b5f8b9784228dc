"""Whether further attempts are still worth their load: the retry throttle of gRFC A6.

Theory of operation. One token count for each server name, shared by every method called there. It starts full and
moves between 0 and max_tokens as attempts end; a retry or a hedge may be sent only while it is above half:

    an attempt ended with                          tokens
    OK                                             + token_ratio
    a code that the policy would try again         - 1
    pushback that asks for no retry, any code      - 1
    any other failure (a caller's own fault)       unchanged
    anything, where it provably never left         unchanged       a transparent retry is no news of the server

In the long run it lets further attempts through as long as fewer than about token_ratio / (1 + token_ratio) of the
attempts fail. It never blocks and knows no time: it opens again because first attempts, which it does not touch,
succeed. All counts are integers of a thousandth of a token, so that no rounding adds up.

Invariants: 0 <= tokens <= max_tokens; `attempt_ended` and `may_retry` agree.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from kit.resilience.kinds import check_kinds
from kit.resilience.retry import parse_pushback

__all__ = ["RetryThrottling", "Throttle", "ThrottleRules"]

_TOKEN = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryThrottling:
    """What a user says about the throttle; names and meaning are gRFC A6's. None inherits from the next layer out."""

    #: More than 0, at most 1000; infinite turns the throttle off.
    max_tokens: float | None = None
    #: What a success gives back. More than 0; as in gRPC, places beyond the third are cut off.
    token_ratio: float | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        tokens = self.max_tokens
        if tokens is not None and not self.off and not (tokens <= 1000 and _thousandths(tokens) > 0):
            raise ValueError(f"max_tokens must be more than 0 and at most 1000, or inf for no throttle, not {tokens}")
        if self.token_ratio is not None and not (math.isfinite(self.token_ratio) and _thousandths(self.token_ratio)):
            raise ValueError(f"token_ratio must be a number of at least 0.001, not {self.token_ratio}")

    @property
    def off(self) -> bool:
        """Whether it says that there is no throttle: tokens without end are never used up."""
        return self.max_tokens == math.inf


def _thousandths(value: float) -> int:
    """Cut off, not rounded, after the third place; but 0.29 is 290 although 0.29 * 1000 may come out below."""
    return max(0, round(value * 1_000_000) // 1000) if math.isfinite(value) else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottleRules:
    """A policy with nothing left open, in thousandths of a token.

    The defaults are gRFC A6's own example, 10 and 0.1: four failures in a row still leave a retry, and retries stop
    when about one attempt in eleven fails for good.
    """

    max_tokens: int = 10 * _TOKEN
    token_ratio: int = 100

    @classmethod
    def of(cls, policy: RetryThrottling) -> ThrottleRules:
        """Fills what the policy leaves open with the defaults."""
        usual = cls()
        return cls(
            max_tokens=usual.max_tokens if policy.max_tokens is None else _thousandths(policy.max_tokens),
            token_ratio=usual.token_ratio if policy.token_ratio is None else _thousandths(policy.token_ratio),
        )


class Throttle:
    """The tokens of one server name."""

    __slots__ = ("_max", "_ratio", "_tokens")

    def __init__(self, rules: ThrottleRules) -> None:
        self._tokens = self._max = rules.max_tokens
        self._ratio = rules.token_ratio

    @property
    def tokens(self) -> float:
        """What is left, in tokens."""
        return self._tokens / _TOKEN

    @property
    def max_tokens(self) -> float:
        """What there is at most, in tokens."""
        return self._max / _TOKEN

    @property
    def may_retry(self) -> bool:
        """Whether a retry or a hedge may be sent now."""
        return self._tokens * 2 > self._max

    def attempt_ended(
        self, code: int, retryable: Container[int], *, pushback: str | bytes | None = None, unsent: bool = False
    ) -> bool:
        """Counts one attempt that ended with `code`; true when another may be sent.

        `retryable` are the codes that the method's policy would try again (for a hedged one, its non-fatal codes),
        `pushback` is the server's header as it came, and `unsent` says that the attempt provably never left.
        """
        if not unsent:
            if code == 0:
                self._tokens = min(self._max, self._tokens + self._ratio)
            elif code in retryable or (pushback is not None and parse_pushback(pushback) is None):
                self._tokens = max(0, self._tokens - _TOKEN)
        return self._tokens * 2 > self._max

    def reconfigure(self, rules: ThrottleRules) -> None:
        """Takes new rules and keeps the share of tokens that is left: a reload neither forgives nor punishes."""
        self._tokens = self._tokens * rules.max_tokens // self._max
        self._max = rules.max_tokens
        self._ratio = rules.token_ratio
