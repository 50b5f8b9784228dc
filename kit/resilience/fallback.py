"""What is answered when a call itself fails: what a user says, and when it holds.

Theory of operation. A call has failed for good: its attempts are over. Where its status counts
(`FallbackRules.covers`), these are tried in order, and the first that has an answer gives it:

    cached_for     the last good answer to the same request, no older than this      (`kit.resilience.last_good`)
    method         another method, asked in its stead within what is left of the time
    default_json   an answer that is written down

Each may be missing, and is turned off by 0 or "". By default those statuses count that a breaker would count as well:
the server's or the network's fault. A caller's own fault is not covered up, and a cancelled call has nobody who waits.
A status of that other kind that the server gave is news about the data or the caller, so that an answer from before
must not be given after it (`refutes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kit.resilience.breaker_rules import Verdict, classify
from kit.resilience.kinds import check_kinds
from kit.resilience.retry import status_code

__all__ = ["FallbackPolicy", "FallbackRules", "refutes"]

_CANCELLED = 1
_DEFAULT_CODES = frozenset(code for code in range(1, 17) if classify(code) is Verdict.FAILURE)


@dataclass(frozen=True, kw_only=True, slots=True)
class FallbackPolicy:
    """What a user says about fallbacks; the fields are those of kitapi.v1.FallbackPolicy. None inherits."""

    #: Short name of a method of the same service that takes and gives the same messages; "" turns off.
    method: str | None = None
    #: Seconds; 0 turns off.
    cached_for: float | None = None
    #: The answer as protobuf's JSON, "{}" for an empty message; "" turns off.
    default_json: str | None = None
    #: Numbers or grpc.StatusCode values; an empty list turns all of it off.
    status_codes: Iterable[object] | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.method and not (self.method.isascii() and self.method.isidentifier()):
            raise ValueError(f"method must be the short name of a method of the same service, not {self.method!r}")
        if self.cached_for is not None and not 0 <= self.cached_for < math.inf:
            raise ValueError(f"cached_for must be a time of 0 or more seconds and finite, not {self.cached_for}")
        if self.status_codes is not None:
            object.__setattr__(self, "status_codes", frozenset(map(_number, self.status_codes)))


def _number(code: object) -> int:
    number = status_code("status_codes", code)
    if number == _CANCELLED:
        raise ValueError("status_codes: CANCELLED means that nobody waits for an answer")
    return number


@dataclass(frozen=True, kw_only=True, slots=True)
class FallbackRules:
    """A policy with nothing left open; at least one of the three answers is there."""

    #: Seconds; 0 where no answers are kept.
    cached_for: float = 0.0
    method: str | None = None
    default_json: str | None = None
    codes: frozenset[int] = _DEFAULT_CODES

    @classmethod
    def of(cls, policy: FallbackPolicy) -> FallbackRules | None:
        """Fills what the policy leaves open; None where there is nothing to answer with, or no status that counts."""
        codes = _DEFAULT_CODES if policy.status_codes is None else frozenset(map(_number, policy.status_codes))
        rules = cls(
            cached_for=0.0 if policy.cached_for is None else policy.cached_for,
            method=policy.method or None,
            default_json=policy.default_json or None,
            codes=codes,
        )
        return rules if codes and (rules.cached_for or rules.method or rules.default_json) else None

    def covers(self, code: int) -> bool:
        """Whether a call that failed with `code` gets another answer."""
        return code in self.codes


def refutes(code: int) -> bool:
    """Whether a call that failed with `code` says that an earlier good answer no longer holds."""
    return code != _CANCELLED and classify(code) is Verdict.NEUTRAL
