"""How many further attempts all calls together may make: the retry budget.

Theory of operation. Calls and the retries (or hedges) spent on them are counted over a sliding window. One more may
be spent while

    retries spent in the window + 1 <= ratio * calls in the window + min_per_second * window

so that whatever fails, the load on a server is at most 1 + ratio times the calls, and the floor. The window is kept as
ten slots that expire one by one; what was spent expires together with the calls of its time.

A permit says that one retry was spent. It is settled once: `spent` when the attempt was sent, however it came out, or
`withdraw` when it was not sent after all, which gives it back if its slot still counts:

    permit     spent()     withdraw(now)     a second time
    open       settled     settled, back     -
    settled    ignored     ignored           ignored

Invariants: the inequality above holds after every grant; counts are never negative; a permit gives back at most what
it took, and nothing after its slot has expired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kit.resilience.kinds import check_kinds
from kit.resilience.retry import MAX_ATTEMPTS

__all__ = ["Budget", "BudgetPermit", "BudgetRules", "RetryBudget"]

_SLOTS = 10
#: Rounding must not refuse the last retry: 0.29 * 100 is a little less than 29.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryBudget:
    """What a user says about the budget. None inherits from the next layer out."""

    #: 0.2 = one retry for every five calls; at most 4, as no call makes more than 5 attempts; infinite: no budget.
    ratio: float | None = None
    #: Retries per second that are always allowed.
    min_per_second: float | None = None
    #: Seconds over which calls are counted.
    window: float | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.ratio is not None and not self.off and not 0 <= self.ratio <= MAX_ATTEMPTS - 1:
            raise ValueError(
                f"ratio must be 0 to {MAX_ATTEMPTS - 1} retries a call, or inf for no budget, not {self.ratio}"
            )
        if self.min_per_second is not None and not 0 <= self.min_per_second < math.inf:
            raise ValueError(f"min_per_second must be 0 or more, not {self.min_per_second}")
        if self.window is not None and not 0 < self.window < math.inf:
            raise ValueError(f"window must be a time of more than 0, not {self.window}")

    @property
    def off(self) -> bool:
        """Whether it says that there is no budget."""
        return self.ratio == math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetRules:
    """A policy with nothing left open.

    The defaults are those on which Finagle, Linkerd and tower agree: 20 %, and Envoy's share as well, since a fifth
    more load is what a healthy server has to spare; 10 retries a second, so that a client that calls seldom may retry
    at all; 10 s, which outlives a restart's blip and forgets an outage soon. A server under many idle clients wants a
    lower floor: it multiplies by their number.
    """

    ratio: float = 0.2
    min_per_second: float = 10.0
    window: float = 10.0

    @classmethod
    def of(cls, policy: RetryBudget) -> BudgetRules:
        """Fills what the policy leaves open with the defaults."""
        usual = cls()
        return cls(
            ratio=usual.ratio if policy.ratio is None else policy.ratio,
            min_per_second=usual.min_per_second if policy.min_per_second is None else policy.min_per_second,
            window=usual.window if policy.window is None else policy.window,
        )


class BudgetPermit:
    """One retry that was granted."""

    __slots__ = ("_budget", "_generation")

    def __init__(self, budget: Budget, generation: int) -> None:
        self._budget: Budget | None = budget
        self._generation = generation

    def spent(self) -> None:
        """The attempt was sent."""
        self._budget = None

    def withdraw(self, now: float) -> None:
        """The attempt was not sent: the call ended while it waited, or there was no endpoint."""
        if self._budget is not None:
            self._budget._give_back(self._generation, now)
            self._budget = None


class Budget:
    """The calls and retries of one window. Share one among all methods of a target."""

    __slots__ = ("_calls", "_calls_in", "_floor", "_ratio", "_retries", "_retries_in", "_slot", "_slot_length")

    def __init__(self, rules: BudgetRules) -> None:
        self._ratio = rules.ratio
        self._floor = rules.min_per_second * rules.window + _ROUNDING
        self._slot_length = rules.window / _SLOTS
        #: Number of the current slot since the clock began: the generation of the permits given out in it.
        self._slot: int | None = None
        self._calls_in = [0] * _SLOTS
        self._retries_in = [0] * _SLOTS
        self._calls = 0
        self._retries = 0

    def call(self, now: float) -> None:
        """Counts a call; its retries are not calls."""
        self._calls_in[self._advance(now) % _SLOTS] += 1
        self._calls += 1

    def take(self, now: float) -> BudgetPermit | None:
        """A permit for one retry or hedge; None when the budget is spent."""
        slot = self._advance(now)
        if self._retries + 1 > self._ratio * self._calls + self._floor:
            return None
        self._retries_in[slot % _SLOTS] += 1
        self._retries += 1
        return BudgetPermit(self, slot)

    def left(self, now: float) -> int:
        """Retries that could be taken now."""
        self._advance(now)
        return max(0, math.floor(self._ratio * self._calls + self._floor) - self._retries)

    def spent(self, now: float) -> int:
        """Retries in the window."""
        self._advance(now)
        return self._retries

    def _give_back(self, generation: int, now: float) -> None:
        if self._advance(now) - generation < _SLOTS:
            self._retries_in[generation % _SLOTS] -= 1
            self._retries -= 1

    def _advance(self, now: float) -> int:
        """Expires the slots that have left the window and returns the number of the current one."""
        slot = math.floor(now / self._slot_length)
        last = self._slot
        if last is None:
            self._slot = last = slot
        if slot <= last:
            return last
        for gone in range(max(last + 1, slot - _SLOTS + 1), slot + 1):
            place = gone % _SLOTS
            self._calls -= self._calls_in[place]
            self._retries -= self._retries_in[place]
            self._calls_in[place] = self._retries_in[place] = 0
        self._slot = slot
        return slot
