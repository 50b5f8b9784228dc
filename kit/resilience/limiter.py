"""How many calls run at a time, and who waits: bulkhead and adaptive concurrency limit.

Theory of operation. A call that enters is admitted while fewer than the limit run and nobody waits; else it is queued
while fewer than `max_queued` wait; else it is refused. Whoever waits is admitted in the order of arrival as places
come free. A settlement gives back the permits that were admitted by it, for the driver to wake.

    permit      what happened                  next        places
    -           enters, there is one           ADMITTED    one taken
    -           enters, there is none          QUEUED      or refused, where the queue is full
    QUEUED      first in the queue, one free   ADMITTED    one taken
    QUEUED      released                       SETTLED     -
    ADMITTED    success, failure, released     SETTLED     one free
    SETTLED     anything                       SETTLED     -

The limit is fixed (a bulkhead) or follows the latency (`kit.resilience.gradient`), with max_concurrent as the ceiling.
A limit that falls below what runs takes nobody's place: nobody is admitted until enough have ended. Waiting, and giving
it up when the call's deadline has come, is the driver's job. There is no place for priorities here.

Invariants: running never grows while it is at or above the limit; queued <= max_queued; nobody waits while there is a
place; each permit frees its place once.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass

from kit.resilience.gradient import Gradient, GradientRules
from kit.resilience.kinds import check_kinds

__all__ = ["ConcurrencyPolicy", "ConcurrencyRules", "Limiter", "Permit", "PermitState", "Refusal"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConcurrencyPolicy:
    """What a user says about calls in flight. None inherits from the next layer out."""

    #: The limit, or the ceiling of the adaptive one; 0 turns the limit off.
    max_concurrent: int | None = None
    adaptive: bool | None = None
    #: Calls that may wait for a place.
    max_queued: int | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.max_concurrent is not None and self.max_concurrent < 0:
            raise ValueError(f"max_concurrent must be at least 1, or 0 for no limit, not {self.max_concurrent}")
        if self.max_queued is not None and self.max_queued < 0:
            raise ValueError(f"max_queued must be 0 or more, not {self.max_queued}")

    @property
    def off(self) -> bool:
        """Whether it says that there is no limit."""
        return self.max_concurrent == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ConcurrencyRules:
    """A policy with nothing left open.

    Nobody waits by default: a queue hides an overload until every call in it is late. There is no default for a fixed
    limit, as there is none that is right for more than one service; the adaptive one finds its own below Envoy's 1000.
    """

    max_concurrent: int
    adaptive: bool = False
    max_queued: int = 0

    @classmethod
    def of(cls, policy: ConcurrencyPolicy) -> ConcurrencyRules:
        """Fills what the policy leaves open. Raises ValueError for a fixed limit without a number, and for no limit."""
        if policy.off:
            raise ValueError("max_concurrent is 0, which is no limit; there are no rules for it")
        adaptive = bool(policy.adaptive)
        most = policy.max_concurrent
        if most is None:
            if not adaptive:
                raise ValueError("max_concurrent must be set unless the limit is adaptive")
            most = GradientRules().max_limit
        return cls(
            max_concurrent=most, adaptive=adaptive, max_queued=0 if policy.max_queued is None else policy.max_queued
        )


class Refusal(enum.Enum):
    """Why a call was not let in; the text is for people."""

    AT_LIMIT = "as many calls as allowed are running"
    QUEUE_FULL = "as many calls as allowed are running, and as many as allowed are waiting"


class PermitState(enum.Enum):
    """Where a permit stands."""

    QUEUED = 1
    ADMITTED = 2
    SETTLED = 3


_QUEUED, _ADMITTED, _SETTLED = PermitState.QUEUED, PermitState.ADMITTED, PermitState.SETTLED


class Permit:
    """One call's place, or its claim to one. Settle it once: the first settlement counts.

    Each settlement gives the permits that were admitted in its place (none, one, or after a rise of the limit several).
    """

    __slots__ = ("_limiter", "generation", "since", "state")

    def __init__(self, limiter: Limiter, state: PermitState, now: float) -> None:
        self._limiter = limiter
        self.state = state
        #: When it was admitted, or began to wait.
        self.since = now
        #: What it was admitted in, of the adaptive limit's generations; before that and for a fixed limit 0.
        self.generation = 0

    def success(self, now: float) -> tuple[Permit, ...]:
        """The call was answered; how long it took says how loaded the server is."""
        return self._limiter._settle(self, now, counts=True, failed=False)

    def failure(self, now: float) -> tuple[Permit, ...]:
        """The call failed in a way that tells of overload: no answer in time, RESOURCE_EXHAUSTED, UNAVAILABLE."""
        return self._limiter._settle(self, now, counts=True, failed=True)

    def released(self, now: float) -> tuple[Permit, ...]:
        """It was cancelled, gave up waiting, or ended with what says nothing of the load."""
        return self._limiter._settle(self, now, counts=False, failed=False)


class Limiter:
    """The places of one server, or of one method."""

    __slots__ = ("_gradient", "_limit", "_max_queued", "_queue", "running")

    def __init__(self, rules: ConcurrencyRules, now: float, gradient: GradientRules | None = None) -> None:
        """`gradient` says more of an adaptive limit than a policy can; by default only its ceiling differs."""
        self._limit = rules.max_concurrent
        self._max_queued = rules.max_queued
        self._gradient: Gradient | None = None
        if rules.adaptive:
            most = rules.max_concurrent
            usual = GradientRules()
            least = min(usual.min_limit, most)
            self._gradient = Gradient(gradient or GradientRules(min_limit=least, max_limit=most), now)
        #: In order of arrival; a permit that gives up leaves at once.
        self._queue: OrderedDict[Permit, None] = OrderedDict()
        #: Calls that are admitted and not settled.
        self.running = 0

    @property
    def limit(self) -> int:
        """Calls that may run at a time now."""
        return self._limit if self._gradient is None else int(self._gradient.limit)

    @property
    def queued(self) -> int:
        """Calls that wait."""
        return len(self._queue)

    @property
    def gradient(self) -> Gradient | None:
        """What finds the limit; None for a fixed one."""
        return self._gradient

    def enter(self, now: float) -> Permit | Refusal:
        """A permit, which is ADMITTED or QUEUED, or why there is none."""
        if self.running < self.limit and not self._queue:
            permit = Permit(self, _ADMITTED, now)
            self._admit(permit)
            return permit
        if len(self._queue) < self._max_queued:
            permit = Permit(self, _QUEUED, now)
            self._queue[permit] = None
            return permit
        return Refusal.QUEUE_FULL if self._max_queued else Refusal.AT_LIMIT

    def _settle(self, permit: Permit, now: float, *, counts: bool, failed: bool) -> tuple[Permit, ...]:
        state, permit.state = permit.state, _SETTLED
        if state is _SETTLED:
            return ()
        if state is _QUEUED:
            del self._queue[permit]
            return ()
        gradient = self._gradient
        if gradient is not None:
            if not counts:
                gradient.left(permit.generation)
            elif failed:
                gradient.failed(now, self.running, permit.generation)
            else:
                gradient.answered(now, max(0.0, now - permit.since), self.running, permit.generation)
        self.running -= 1
        return self._admit_waiting(now) if self._queue else ()

    def _admit_waiting(self, now: float) -> tuple[Permit, ...]:
        admitted = []
        while self._queue and self.running < self.limit:
            permit, _ = self._queue.popitem(last=False)
            permit.state = _ADMITTED
            permit.since = now
            self._admit(permit)
            admitted.append(permit)
        return tuple(admitted)

    def _admit(self, permit: Permit) -> None:
        self.running += 1
        if self._gradient is not None:
            permit.generation = self._gradient.admitted()
