"""Which endpoint an attempt goes to.

Theory of operation. A balancer knows endpoints by opaque keys. `pick` chooses among those that are ready and gives a
`Pick`, which counts as in flight there until it is settled, once. Nothing is scanned: a pick costs O(1) when it looks
at two (least loaded) and O(log n) when it keeps turns (round robin, weighted).

    LEAST_LOADED   two endpoints are drawn at random, and the less loaded of them is taken ("power of two choices":
                   nearly as even as looking at all, and clients do not herd). load = (in flight + 1) * latency. Latency
                   jumps up with a slow answer and decays within seconds towards the mean of all ("peak EWMA"), so a
                   stalled endpoint is left at once and tried again later. A failure never lowers it: an endpoint
                   that fails fast must not look attractive. One that has not answered yet counts as the mean
    ROUND_ROBIN    each in turn
    WEIGHTED       smooth weighted round robin: each endpoint's next turn is due 1 / weight after its last, and the
                   earliest due is taken, so turns are shared exactly by weight and spread evenly

What all ways have in common (who is ready, who is left out, what is in flight) stands in `kit.resilience.picks`.

Invariants: a pick is ready and not excluded; with the same calls and the same u the same picks follow.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from kit.resilience.kinds import check_kinds
from kit.resilience.picks import Balancer, Member, Pick
from kit.resilience.turns import Turns

__all__ = ["BalanceKind", "BalancePolicy", "BalanceRules", "Balancer", "LeastLoaded", "Pick", "TakingTurns", "balancer"]


class BalanceKind(enum.Enum):
    """The values are those of kitapi.v1.BalancePolicy.Kind."""

    LEAST_LOADED = 1
    ROUND_ROBIN = 2
    WEIGHTED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancePolicy:
    """What a user says about the choice of endpoints. None inherits from the next layer out."""

    kind: BalanceKind | None = None
    #: Seconds; 0 turns slow start off.
    slow_start: float | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.slow_start is not None and not 0 <= self.slow_start < math.inf:
            raise ValueError(f"slow_start must be a time of 0 or more, not {self.slow_start}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceRules:
    """A policy with nothing left open.

    Least loaded by default, because it alone notices that an endpoint has become slow. No slow start by default: most
    services answer as fast at first, and a new endpoint is then wanted whole.
    """

    kind: BalanceKind = BalanceKind.LEAST_LOADED
    slow_start: float = 0.0
    #: Seconds in which a latency loses all but 37 % of its hold (Finagle's value).
    decay: float = 10.0

    @classmethod
    def of(cls, policy: BalancePolicy) -> BalanceRules:
        """Fills what the policy leaves open with the defaults."""
        usual = cls()
        return cls(
            kind=usual.kind if policy.kind is None else policy.kind,
            slow_start=usual.slow_start if policy.slow_start is None else policy.slow_start,
        )


class LeastLoaded(Balancer):
    """Power of two choices; see the module."""

    def __init__(self, rules: BalanceRules) -> None:
        super().__init__(rules.slow_start)
        self._decay = rules.decay
        self._mean: float | None = None
        self._mean_noted = 0.0

    def _choose(self, now: float, u1: float, u2: float, without: Sequence[int]) -> Member | None:
        ready = self._ready
        count = len(ready) - len(without)
        if count <= 0:
            return None
        scaled = u1 * count
        one = int(scaled)
        first = ready[_skip(one, without)]
        if count == 1:
            return first
        scaled_other = u2 * (count - 1)
        other = int(scaled_other)
        second = ready[_skip(other + (other >= one), without)]
        if self._slow_start:
            # What is left of u after the draw is uniform once more.
            share, share_other = self._share(first, now), self._share(second, now)
            passes, passes_other = scaled - one >= share, scaled_other - other >= share_other
            if passes != passes_other:
                return second if passes else first
            if passes and share != share_other:
                return first if share > share_other else second
        return first if self._load(first, now) <= self._load(second, now) else second

    def _load(self, member: Member, now: float) -> float:
        mean = self._mean
        if mean is None:
            return member.in_flight + 1.0
        latency = member.latency
        if latency is not None:
            hold = math.exp(min(0.0, member.noted - now) / self._decay)
            mean += (latency - mean) * hold
        return (member.in_flight + 1) * mean

    def _observe(self, member: Member, latency: float, now: float, *, lowers: bool) -> None:
        decay = self._decay
        mean, known = self._mean, member.latency
        if not lowers and (mean is None or latency <= (mean if known is None else known)):
            return
        if known is None:
            member.latency = latency
        else:
            hold = math.exp(min(0.0, member.noted - now) / decay)
            member.latency = max(latency, known * hold + latency * (1 - hold))
        member.noted = now
        if mean is not None:
            if not lowers and latency <= mean:
                return
            hold = math.exp(min(0.0, self._mean_noted - now) / decay)
            latency = mean * hold + latency * (1 - hold)
        self._mean = latency
        self._mean_noted = now


def _skip(place: int, without: Sequence[int]) -> int:
    """The place among all of the one that is in `place` among those that are not left out."""
    for gone in without:
        if gone > place:
            break
        place += 1
    return place


class TakingTurns(Balancer):
    """Round robin, and smooth weighted round robin; see the module."""

    def __init__(self, rules: BalanceRules) -> None:
        super().__init__(rules.slow_start)
        self._weighted = rules.kind is BalanceKind.WEIGHTED
        self._turns: Turns[Member] = Turns()

    def _joined(self, member: Member, now: float) -> None:
        self._turns.add(member, self._step(member, now) / 2)

    def _drop(self, member: Member) -> None:
        super()._drop(member)
        self._turns.remove(member)

    def _step(self, member: Member, now: float) -> float:
        weight = member.weight if self._weighted else 1.0
        return 1 / (weight * self._share(member, now))

    def _choose(self, now: float, u1: float, u2: float, without: Sequence[int]) -> Member | None:
        left_out = {self._ready[place] for place in without}
        chosen = self._turns.first(left_out)
        if chosen is not None:
            self._turns.took(chosen, self._step(chosen, now))
        return chosen


def balancer(rules: BalanceRules) -> Balancer:
    """What picks by these rules."""
    return LeastLoaded(rules) if rules.kind is BalanceKind.LEAST_LOADED else TakingTurns(rules)
