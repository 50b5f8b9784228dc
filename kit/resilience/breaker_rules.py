"""What a breaker works by: the policy as it is written down, the rules that come of it, and what a status means to it.

Theory of operation. `BreakerPolicy` is what a user says, with None for what is inherited. `BreakerRules.of` fills what
is left open and refuses what contradicts itself: a field that the chosen kind does not look at is an error, because
it would be ignored. A policy that sets nothing means that there is no breaker.

A rate opens when it is **strictly greater** than its threshold: at 0.5 the 25th failure of 50 calls does not open and
the 26th does; three of five are 60 % and open. 0 opens at the first failure. A share cannot be greater than 1, so 1
stands for "all of them". A call is slow when it took `slow_call` or longer.

Statuses are told apart by what they say about the endpoint, not about the call (`classify`): a caller's own fault and a
cancellation are neutral. They are no failure of the endpoint; nor are they counted as success, or a stream of bad
requests would keep a dead endpoint's breaker closed.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, fields
from typing import Any, Final

__all__ = ["VERDICTS", "BreakerKind", "BreakerPolicy", "BreakerRules", "Verdict", "check_figures", "classify"]

#: More outcomes say nothing that fewer do not, and each costs a byte.
_MOST = 100_000


class BreakerKind(enum.Enum):
    """What opens a breaker. The values are those of kitapi.v1.BreakerPolicy.Kind."""

    CONSECUTIVE = 1
    COUNT_WINDOW = 2
    TIME_WINDOW = 3
    #: Nothing: there is no breaker. For a method that would inherit one; whatever else is inherited then says nothing.
    OFF = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerPolicy:
    """What a user says about breakers; the fields are those of kitapi.v1.BreakerPolicy. None inherits."""

    kind: BreakerKind | None = None
    #: CONSECUTIVE: failures in a row that open.
    failure_threshold: int | None = None
    #: Windows: share of failures, 0 to 1; opens when it is exceeded.
    failure_rate: float | None = None
    #: COUNT_WINDOW: calls that are looked at.
    window_size: int | None = None
    #: TIME_WINDOW: seconds that are looked at.
    window: float | None = None
    #: Windows: calls before a rate is computed.
    minimum_calls: int | None = None
    #: Seconds until probes are let through.
    open_for: float | None = None
    #: Probes that must succeed before it closes.
    success_threshold: int | None = None
    #: Probes at a time.
    half_open_permits: int | None = None
    #: Windows: a call that takes this many seconds or more is slow.
    slow_call: float | None = None
    #: Windows: share of slow calls, 0 to 1; opens when it is exceeded.
    slow_call_rate: float | None = None
    #: Seconds after which a probe that gave no answer frees its permit.
    lease: float | None = None


def check_figures(given: BreakerPolicy | BreakerRules) -> None:
    """Looks at each figure that is set, whatever the kind. Raises ValueError, naming the field."""
    for name in ("failure_threshold", "window_size", "minimum_calls", "success_threshold", "half_open_permits"):
        value = getattr(given, name)
        if value is not None and (type(value) is not int or not 1 <= value <= _MOST):
            raise ValueError(f"{name} must be a whole number from 1 to {_MOST}, not {value!r}")
    for name in ("failure_rate", "slow_call_rate"):
        value = getattr(given, name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} is a share from 0 to 1, not {value}")
    for name in ("window", "lease"):
        value = getattr(given, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be longer than 0 seconds and finite, not {value}")
    if given.open_for is not None and not 0 <= given.open_for < math.inf:
        raise ValueError(f"open_for must be a time of 0 or more seconds and finite, not {given.open_for}")
    if given.slow_call is not None and not given.slow_call > 0:
        raise ValueError(f"slow_call must be longer than 0 seconds, not {given.slow_call}")


_WINDOWS = frozenset({BreakerKind.COUNT_WINDOW, BreakerKind.TIME_WINDOW})
_LOOKED_AT_BY = {
    "failure_threshold": frozenset({BreakerKind.CONSECUTIVE}),
    "failure_rate": _WINDOWS,
    "window_size": frozenset({BreakerKind.COUNT_WINDOW}),
    "window": frozenset({BreakerKind.TIME_WINDOW}),
    "minimum_calls": _WINDOWS,
    "slow_call": _WINDOWS,
    "slow_call_rate": _WINDOWS,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerRules:
    """A policy with nothing left open. Raises ValueError, naming the field, for what cannot be meant."""

    kind: BreakerKind = BreakerKind.CONSECUTIVE
    failure_threshold: int = 5
    #: Half of the calls: below that most callers still get an answer, and retries carry the rest.
    failure_rate: float = 0.5
    window_size: int = 100
    #: Seconds; long enough for a rate at one call a second, short enough to open within an outage.
    window: float = 30.0
    #: Twenty calls: one failure is 5 % of them.
    minimum_calls: int = 20
    open_for: float = 60.0
    #: One success may be luck.
    success_threshold: int = 3
    #: As many as must succeed, so that it closes within one round trip.
    half_open_permits: int = 3
    #: Seconds; infinite: slowness is not looked at.
    slow_call: float = math.inf
    slow_call_rate: float = 0.5
    #: Seconds; twice the longest per-try timeout of the presets.
    lease: float = 60.0

    def __post_init__(self) -> None:
        if self.kind is BreakerKind.OFF:
            raise ValueError("kind OFF is no breaker; there are no rules for it")
        check_figures(self)
        if self.kind is BreakerKind.COUNT_WINDOW and self.minimum_calls > self.window_size:
            raise ValueError(
                f"minimum_calls must be at most window_size, {self.window_size}, or it never opens; "
                f"not {self.minimum_calls}"
            )

    @classmethod
    def of(cls, policy: BreakerPolicy) -> BreakerRules | None:
        """Fills what the policy leaves open; None where it sets nothing or OFF. Raises ValueError, naming the field."""
        given: dict[str, Any] = {
            field.name: value for field in fields(policy) if (value := getattr(policy, field.name)) is not None
        }
        if not given or policy.kind is BreakerKind.OFF:
            return None
        kind = given.setdefault("kind", BreakerKind.CONSECUTIVE)
        for name in given:
            if kind not in _LOOKED_AT_BY.get(name, (kind,)):
                if policy.kind is None:
                    kinds = " or ".join(each.name for each in BreakerKind if each in _LOOKED_AT_BY[name])
                    raise ValueError(f"{name} says nothing without a kind that looks at it: set kind to {kinds}")
                raise ValueError(f"{name} says nothing to a breaker of kind {kind.name}; remove it or change the kind")
        if "slow_call_rate" in given and "slow_call" not in given:
            raise ValueError("slow_call_rate needs slow_call, which says what is slow")
        if kind is BreakerKind.COUNT_WINDOW and "minimum_calls" not in given:
            given["minimum_calls"] = min(cls().minimum_calls, given.get("window_size", cls().window_size))
        given.setdefault("half_open_permits", given.get("success_threshold", cls().success_threshold))
        return cls(**given)

    @property
    def fewest_failures(self) -> int:
        """Failures in a row after which a fresh breaker is open: attempts of one call beyond that are refused by it."""
        return self.failure_threshold if self.kind is BreakerKind.CONSECUTIVE else self.minimum_calls


class Verdict(enum.Enum):
    """What a call's end says about the endpoint."""

    SUCCESS = "it works"
    FAILURE = "it does not work"
    NEUTRAL = "nothing"


#: By status code, with the reason.
VERDICTS: Final[tuple[tuple[Verdict, str], ...]] = (
    (Verdict.SUCCESS, "OK"),
    (Verdict.NEUTRAL, "CANCELLED: the caller gave up"),
    (Verdict.FAILURE, "UNKNOWN: a handler crashed, or the server says no more"),
    (Verdict.NEUTRAL, "INVALID_ARGUMENT: the request is wrong, wherever it goes"),
    (Verdict.FAILURE, "DEADLINE_EXCEEDED: no answer in time is what a hanging server looks like"),
    (Verdict.NEUTRAL, "NOT_FOUND: an answer about data"),
    (Verdict.NEUTRAL, "ALREADY_EXISTS: an answer about data"),
    (Verdict.NEUTRAL, "PERMISSION_DENIED: the caller may not"),
    (Verdict.FAILURE, "RESOURCE_EXHAUSTED: it is overloaded, and calls make that worse"),
    (Verdict.NEUTRAL, "FAILED_PRECONDITION: an answer about data"),
    (Verdict.NEUTRAL, "ABORTED: lost against another caller"),
    (Verdict.NEUTRAL, "OUT_OF_RANGE: the request is wrong, wherever it goes"),
    (Verdict.NEUTRAL, "UNIMPLEMENTED: it never will; other methods may well work"),
    (Verdict.FAILURE, "INTERNAL: a defect there"),
    (Verdict.FAILURE, "UNAVAILABLE: it cannot be reached, or says so itself"),
    (Verdict.FAILURE, "DATA_LOSS: what it stores is damaged"),
    (Verdict.NEUTRAL, "UNAUTHENTICATED: the caller is not known"),
)


def classify(code: int) -> Verdict:
    """What the status code of an attempt says about the endpoint; a number that does not exist is as UNKNOWN."""
    return VERDICTS[code][0] if 0 <= code < len(VERDICTS) else Verdict.FAILURE
