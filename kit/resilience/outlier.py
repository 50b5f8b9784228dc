"""When an endpoint is taken out of the pick because it fails where others do not.

Theory of operation. Each endpoint counts its failures in a row. One too many and it is ejected at once, if the cap
allows. How long grows with every further ejection; a sweep, every `interval`, looks whose time is over. Such an
endpoint is not simply back: it is on trial, with one call at a time, until one of them has succeeded.

    state     what happened                                        next      note
    IN        the consecutive_errors-th failure in a row           OUT       unless the cap forbids it
    OUT       a sweep, the ejection time is over                   TRIAL
    TRIAL     the call on trial succeeds                           IN
    TRIAL     the call on trial fails                              OUT       for longer
    OUT       every other endpoint is gone                         IN        the last one is never out
    TRIAL     every other endpoint is gone                         IN

An ejection lasts base_ejection_time x the number of ejections held against the endpoint, at most MAX_EJECTION_TIME. A
sweep that finds it IN takes one off that number, so that an old fault is forgiven in time. A call on trial that is
released leaves the place to the next; one that gives no answer for TRIAL_LEASE loses it.

The cap is as in Envoy and gRFC A50: an ejection is allowed while fewer than max_ejection_percent of the endpoints are
ejected, so at 10 % one of three may go, though that is a third of them. The last endpoint that is IN is never ejected,
whatever the percentage: a bad endpoint is better than none, and its breaker may still refuse. Who is OUT or on TRIAL
counts as ejected. An endpoint that the cap has spared goes on counting, and is tried for again with its next failure.

Every change of state begins a new generation of the endpoint, and so does every call on trial; an answer to a permit of
an older one changes nothing. So the calls that were in flight when it was ejected do not eject it twice.

Invariants: while there are endpoints, one is IN; no endpoint is ejected while the cap is reached; a permit counts once.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from kit.resilience.kinds import check_kinds

__all__ = ["MAX_EJECTION_TIME", "TRIAL_LEASE", "Change", "OutlierPolicy", "OutlierRules", "Outliers", "Permit", "State"]

#: Seconds; Envoy's and gRFC A50's.
MAX_EJECTION_TIME = 300.0
#: Seconds; as long as the longest per-try timeout of the presets.
TRIAL_LEASE = 30.0
#: Changes that are kept for a driver that does not fetch them.
_KEPT = 64


class State(enum.Enum):
    """Where an endpoint stands."""

    IN = 1
    TRIAL = 2
    OUT = 3


_IN, _TRIAL, _OUT = State.IN, State.TRIAL, State.OUT


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlierPolicy:
    """What a user says about ejection; names and meaning are Envoy's. None inherits from the next layer out."""

    consecutive_errors: int | None = None
    #: Seconds between two sweeps.
    interval: float | None = None
    #: Seconds.
    base_ejection_time: float | None = None
    #: 0 to 100; 0 turns ejection off.
    max_ejection_percent: int | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.consecutive_errors is not None and self.consecutive_errors < 1:
            raise ValueError(f"consecutive_errors must be at least 1, not {self.consecutive_errors}")
        if self.interval is not None and not 0 < self.interval < math.inf:
            raise ValueError(f"interval must be a time of more than 0, not {self.interval}")
        if self.base_ejection_time is not None and not 0 <= self.base_ejection_time <= MAX_EJECTION_TIME:
            raise ValueError(f"base_ejection_time must be 0 to {MAX_EJECTION_TIME:g} s, not {self.base_ejection_time}")
        if self.max_ejection_percent is not None and not 0 <= self.max_ejection_percent <= 100:
            raise ValueError(f"max_ejection_percent must be 0 to 100, not {self.max_ejection_percent}")

    @property
    def off(self) -> bool:
        """Whether it says that nothing is ejected."""
        return self.max_ejection_percent == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlierRules:
    """A policy with nothing left open. The defaults are Envoy's: 5 in a row, 30 s, swept every 10 s, 10 %."""

    consecutive_errors: int = 5
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_percent: int = 10

    @classmethod
    def of(cls, policy: OutlierPolicy) -> OutlierRules:
        """Fills what the policy leaves open with the defaults."""
        usual = cls()
        errors, percent = policy.consecutive_errors, policy.max_ejection_percent
        base = policy.base_ejection_time
        return cls(
            consecutive_errors=usual.consecutive_errors if errors is None else errors,
            interval=usual.interval if policy.interval is None else policy.interval,
            base_ejection_time=usual.base_ejection_time if base is None else base,
            max_ejection_percent=usual.max_ejection_percent if percent is None else percent,
        )


class Change(NamedTuple):
    """One change of state of one endpoint."""

    key: Hashable
    old: State
    new: State
    #: The instant at which an ejection is over, to be seen by the sweep after it; 0.0 where it is none.
    until: float
    reason: str


class _Member:
    """What is known of one endpoint."""

    __slots__ = ("ejections", "failures", "generation", "key", "state", "until")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.state = _IN
        self.generation = 0
        self.failures = 0
        #: Ejections held against it.
        self.ejections = 0
        #: OUT: when the ejection is over. TRIAL: until when a call on trial has the place; 0.0 for none.
        self.until = 0.0


class Permit:
    """Leave for one attempt at one endpoint, to be settled once. Settling answers whether the outcome counted."""

    __slots__ = ("_generation", "_member", "_outliers")

    def __init__(self, outliers: Outliers, member: _Member) -> None:
        self._outliers = outliers
        self._member: _Member | None = member
        self._generation = member.generation

    def success(self) -> bool:
        """The endpoint answered; an error that is the caller's own fault is an answer."""
        member = self._take()
        if member is None:
            return False
        member.failures = 0
        if member.state is _TRIAL:
            self._outliers._move(member, _IN, 0.0, "a call on trial succeeded")
        return True

    def failure(self, now: float) -> bool:
        """The endpoint failed, or did not answer in time."""
        member = self._take()
        if member is None:
            return False
        member.failures += 1
        self._outliers._failed(member, now)
        return True

    def released(self) -> bool:
        """It was cancelled, or never made."""
        member = self._take()
        if member is None:
            return False
        if member.state is _TRIAL:
            member.until = 0.0
        return True

    def _take(self) -> _Member | None:
        member, self._member = self._member, None
        return member if member is not None and member.generation == self._generation else None


class Outliers:
    """The endpoints of one target, by opaque keys. Call `sweep` whenever convenient, at every pick if need be."""

    __slots__ = ("_members", "_out", "_rules", "changes", "next_sweep")

    def __init__(self, rules: OutlierRules, now: float) -> None:
        self._rules = rules
        self._members: dict[Hashable, _Member] = {}
        #: How many are OUT or on TRIAL.
        self._out = 0
        #: What `take_changes` will give; look whether it is empty before asking.
        self.changes: deque[Change] = deque(maxlen=_KEPT)
        #: Before this instant `sweep` does nothing.
        self.next_sweep = now + rules.interval

    def add(self, key: Hashable) -> None:
        """Adds an endpoint, which is IN; nothing where it is known."""
        if key not in self._members:
            self._members[key] = _Member(key)

    def remove(self, key: Hashable) -> None:
        """Forgets an endpoint; where only ejected ones are left, the one that was nearest to it is IN again."""
        gone = self._members.pop(key, None)
        if gone is None:
            return
        gone.generation += 1
        self._out -= gone.state is not _IN
        if self._members and self._out == len(self._members):
            first = min(self._members.values(), key=lambda member: (member.state is _OUT, member.until))
            self._move(first, _IN, 0.0, "every other endpoint is gone")

    def state(self, key: Hashable) -> State:
        """Where the endpoint stands."""
        return self._members[key].state

    def ready(self, key: Hashable, now: float) -> bool:
        """Whether `admit` would give leave; changes nothing."""
        member = self._members[key]
        return member.state is _IN or (member.state is _TRIAL and member.until <= now)

    def admit(self, key: Hashable, now: float) -> Permit | None:
        """Leave for an attempt at the endpoint; None while it is out, or its trial is running."""
        member = self._members[key]
        if member.state is not _IN:
            if member.state is _OUT or member.until > now:
                return None
            member.generation += 1
            member.until = now + TRIAL_LEASE
        return Permit(self, member)

    def sweep(self, now: float) -> None:
        """Puts on trial whose time is over, and forgives; costs nothing before `next_sweep`, else O(n)."""
        if now < self.next_sweep:
            return
        self.next_sweep = now + self._rules.interval
        for member in self._members.values():
            if member.state is _IN:
                member.ejections = max(0, member.ejections - 1)
            elif member.state is _OUT and member.until <= now:
                self._move(member, _TRIAL, 0.0, "its ejection is over")

    def take_changes(self) -> tuple[Change, ...]:
        """The changes since this was last asked, oldest first."""
        taken = tuple(self.changes)
        self.changes.clear()
        return taken

    def _failed(self, member: _Member, now: float) -> None:
        if member.state is _TRIAL:
            self._eject(member, now, "a call on trial failed")
        elif member.failures >= self._rules.consecutive_errors and self._may_eject():
            self._eject(member, now, f"{member.failures} failures in a row")

    def _may_eject(self) -> bool:
        known = len(self._members)
        return self._out < known - 1 and self._out * 100 < self._rules.max_ejection_percent * known

    def _eject(self, member: _Member, now: float, reason: str) -> None:
        member.ejections += 1
        lasts = min(self._rules.base_ejection_time * member.ejections, MAX_EJECTION_TIME)
        self._move(member, _OUT, now + lasts, reason)

    def _move(self, member: _Member, state: State, until: float, reason: str) -> None:
        old, member.state = member.state, state
        member.generation += 1
        member.failures = 0
        member.until = until
        self._out += (state is not _IN) - (old is not _IN)
        self.changes.append(Change(member.key, old, state, until, reason))
