"""When to send a further attempt beside those that run, and which one's answer counts: gRFC A6 hedging.

Theory of operation. A `Hedge` follows one call. The driver tells it what happened (it was woken, a hedge was sent, an
attempt ended) and carries out the `Step` that comes back: cancel these attempts; if `result` names an attempt, its
outcome is the call's; else, if `send`, ask for leave (throttle, budget, an endpoint) and answer `sent` or `refused`;
else wait until `wake_at` or until an attempt ends. The first attempt needs no leave and is sent before anything else.

    what happened                                  next attempt             running ones
    the delay since the last one is over           at once                  go on
    an attempt ended OK, or its answer began       none                     the others are cancelled: it is the result
    ... with a fatal code                          none                     the others are cancelled: it is the result
    ... with a non-fatal code                      at once                  go on
    ... with that and pushback n                   in n ms                  go on
    ... with that and don't-retry pushback         none any more            go on
    leave was refused (throttle, budget)           none any more            go on
    the caller gave up                             none                     all are cancelled

After every attempt sent, the next is due one delay later: after pushback n, n + delay from now. Pushback is a floor: a
sibling that fails without one does not bring the next attempt forward. An attempt that provably never left, or that ran
out of its own time, is non-fatal whatever its code. When none runs and none may follow, the last failure is the result.

The delay is fixed, or the quantile of recent latencies (`delay_of`), so that only the slowest few calls are hedged.

Invariants: at most max_attempts are sent; exactly one result; after it, or for an attempt that was cancelled, nothing
changes any more; a refused hedge never harms the attempts that run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kit.resilience.kinds import check_kinds
from kit.resilience.retry import MAX_ATTEMPTS, parse_pushback, status_code

__all__ = ["DEFAULT_QUANTILE", "Hedge", "HedgingPolicy", "HedgingRules", "Step", "delay_of"]

#: Of the calls, the slowest twentieth is hedged: about 5 % more load (Dean and Barroso, "The Tail at Scale").
DEFAULT_QUANTILE = 0.95
#: A delay found by quantile is never shorter: below this a hedge costs more than it can win.
_SHORTEST_QUANTILE_DELAY = 0.001
#: UNAVAILABLE. With none, as gRFC A6 would have it, a hedge that meets a dead replica fails a call that was only slow.
_DEFAULT_CODES = frozenset({14})


def _codes(codes: Iterable[object]) -> frozenset[int]:
    return frozenset(status_code("non_fatal_status_codes", code) for code in codes)


@dataclass(frozen=True, kw_only=True, slots=True)
class HedgingPolicy:
    """What a user says about hedging; names and meaning are gRFC A6's. None inherits from the next layer out."""

    #: Attempts in all, the first included: 1 turns hedging off, 5 is the most.
    max_attempts: int | None = None
    #: Seconds before each further attempt; 0 sends them all at once.
    hedging_delay: float | None = None
    #: Wait for this quantile of the latencies seen instead; within (0, 1).
    delay_quantile: float | None = None
    #: Numbers or grpc.StatusCode values.
    non_fatal_status_codes: Iterable[object] | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.max_attempts is not None and not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ValueError(f"max_attempts must be 1 to {MAX_ATTEMPTS}, not {self.max_attempts}")
        if self.hedging_delay is not None and not 0 <= self.hedging_delay < math.inf:
            raise ValueError(f"hedging_delay must be a time of 0 or more, not {self.hedging_delay}")
        if self.delay_quantile is not None and not 0 < self.delay_quantile < 1:
            raise ValueError(f"delay_quantile must lie between 0 and 1, not {self.delay_quantile}")
        if self.non_fatal_status_codes is not None:
            object.__setattr__(self, "non_fatal_status_codes", _codes(self.non_fatal_status_codes))


@dataclass(frozen=True, kw_only=True, slots=True)
class HedgingRules:
    """A policy with nothing left open: what the machine works by."""

    max_attempts: int = 1
    #: Seconds; with a quantile, what is waited while too little has been seen. Infinite: only a failure sends another.
    delay: float = math.inf
    quantile: float | None = None
    non_fatal: frozenset[int] = _DEFAULT_CODES

    @classmethod
    def of(cls, policy: HedgingPolicy) -> HedgingRules:
        """Fills what the policy leaves open.

        Where neither a delay nor a quantile is named, it is the quantile and not gRFC A6's delay of 0, which would
        multiply the load by max_attempts.
        """
        neither = policy.hedging_delay is None and policy.delay_quantile is None
        codes = policy.non_fatal_status_codes
        return cls(
            max_attempts=1 if policy.max_attempts is None else policy.max_attempts,
            delay=math.inf if policy.hedging_delay is None else policy.hedging_delay,
            quantile=DEFAULT_QUANTILE if neither else policy.delay_quantile,
            non_fatal=_DEFAULT_CODES if codes is None else _codes(codes),
        )


def delay_of(rules: HedgingRules, seen: float | None) -> float:
    """Seconds between two attempts; `seen` is the quantile of recent latencies, None while too little is known."""
    if rules.quantile is None or seen is None:
        return rules.delay
    return max(seen, _SHORTEST_QUANTILE_DELAY)


class Step(NamedTuple):
    """What the driver does next; see the module."""

    #: Ask for leave to send another attempt, now.
    send: bool = False
    #: The instant at which to call `woken`; infinite when only an attempt's end changes anything.
    wake_at: float = math.inf
    #: Numbers of the attempts to cancel.
    cancel: tuple[int, ...] = ()
    #: Number of the attempt whose outcome is the call's.
    result: int | None = None


_NOTHING = Step()


class Hedge:
    """The attempts of one call, numbered from 1. Make it when the first is sent."""

    __slots__ = ("_delay", "_due", "_failed", "_floor", "_over", "_rules", "_running", "sent_attempts", "stopped")

    def __init__(self, rules: HedgingRules, now: float, delay: float) -> None:
        """`delay` in seconds is what `delay_of` gave for this call."""
        self._rules = rules
        self._delay = delay
        #: When the next attempt may go; pushback moves it, and `_floor` then keeps others from moving it forward.
        self._due = now + delay
        self._floor = -math.inf
        self._running = [1]
        #: The attempt that failed last.
        self._failed = 1
        self._over = False
        #: Attempts sent so far.
        self.sent_attempts = 1
        #: No further attempt will be sent, whatever happens.
        self.stopped = rules.max_attempts == 1

    def woken(self, now: float) -> Step:
        """Says what is to be done now; call it first thing, and whenever the time of the last step has come."""
        if self._over:
            return _NOTHING
        if self.stopped:
            return _NOTHING if self._running else self._end(self._failed)
        return Step(send=True) if now >= self._due else Step(wake_at=self._due)

    def sent(self, now: float) -> Step:
        """Another attempt was sent, with the number `sent_attempts`."""
        self.sent_attempts += 1
        self._running.append(self.sent_attempts)
        self._due = now + self._delay
        self.stopped = self.stopped or self.sent_attempts >= self._rules.max_attempts
        return self.woken(now)

    def refused(self, now: float) -> Step:
        """Leave for another attempt was not given; it is not asked for again."""
        self.stopped = True
        return self.woken(now)

    def began(self, number: int) -> Step:
        """Response headers or a first message of this attempt arrived: it is the one that the caller sees."""
        return self._end(number) if number in self._running and not self._over else _NOTHING

    def ended(
        self,
        number: int,
        code: int,
        now: float,
        *,
        unsent: bool = False,
        timed_out: bool = False,
        pushback: str | bytes | None = None,
    ) -> Step:
        """An attempt ended with `code`; the rest is as in `Retry.failed`. One that is not running changes nothing."""
        if self._over or number not in self._running:
            return _NOTHING
        if not (code and (unsent or timed_out or code in self._rules.non_fatal)):
            return self._end(number)
        self._running.remove(number)
        self._failed = number
        milliseconds = None if pushback is None else parse_pushback(pushback)
        if milliseconds is not None:
            self._due = self._floor = now + milliseconds / 1000
        elif pushback is not None:
            self.stopped = True
        else:
            self._due = max(now, self._floor)
        return self.woken(now)

    def cancelled(self) -> Step:
        """The caller gave up, or the call's time is over."""
        if self._over:
            return _NOTHING
        self._over = self.stopped = True
        running, self._running = tuple(self._running), []
        return Step(cancel=running)

    def _end(self, number: int) -> Step:
        self._over = self.stopped = True
        others = tuple(other for other in self._running if other != number)
        self._running = []
        return Step(cancel=others, result=number)
