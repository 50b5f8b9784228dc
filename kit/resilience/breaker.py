"""When calls to an endpoint are refused at once, because it fails.

Theory of operation. Every attempt asks `Breaker.admit` first, and is given a `Permit` or a `Refusal`. The permit is
settled exactly once with what came of the attempt; the first settlement counts, any later one changes nothing.

    CLOSED      everything is admitted. Outcomes are counted, in a row or in a window; too many failures or too many
                slow calls open it (`kit.resilience.breaker_rules` says how many are too many)
    OPEN        everything is refused, until `open_for` has passed. The next to ask half-opens it
    HALF_OPEN   probes are admitted, `half_open_permits` at a time. `success_threshold` successes close it; the first
                failure, or slow success where slowness is looked at, opens it again

Every change of state begins a new generation, and a permit belongs to the one in which it was given: an answer that
comes after a change says nothing about the state that it finds. So a success that set out before the opening does not
close, nor does it forget failures, and of many failures in flight the first opens it and the rest do not prolong that.

A probe that is ignored or released gives its permit back without an outcome. One that gives no answer at all loses its
permit when its `lease` is over, so that hung probes cannot keep the breaker half-open for ever; what it answers
later in the same generation is heard all the same.

The table is `TRANSITIONS`. Nothing is called from here: changes are collected until `take_changes` fetches them.
Instants are monotonic seconds; there is no other clock. Nothing is locked: one event loop drives it.
"""

from __future__ import annotations

import math
from collections import deque

from kit.resilience.breaker_rules import BreakerKind, BreakerRules
from kit.resilience.breaker_states import TRANSITIONS, Cause, Change, Refusal, Snapshot, State
from kit.resilience.windows import NO_RATE, CountWindow, TimeWindow, Window

__all__ = ["TRANSITIONS", "Breaker", "Cause", "Change", "Permit", "Refusal", "Snapshot", "State"]

#: Changes that are kept for a driver that does not fetch them.
_KEPT = 64

_CLOSED, _HALF_OPEN, _OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN


class Permit:
    """Leave for one attempt, to be settled once. Settling answers whether the outcome counted."""

    __slots__ = ("_breaker", "generation", "started")

    def __init__(self, breaker: Breaker, generation: int, started: float) -> None:
        self._breaker: Breaker | None = breaker
        self.generation = generation
        self.started = started

    @property
    def settled(self) -> bool:
        """Whether it has been settled."""
        return self._breaker is None

    def success(self, now: float) -> bool:
        """The endpoint answered; what it took is counted from the admission."""
        breaker, self._breaker = self._breaker, None
        if breaker is None or breaker.generation != self.generation:
            return False
        breaker._succeeded(self, now)
        return True

    def failure(self, now: float) -> bool:
        """The endpoint failed."""
        breaker, self._breaker = self._breaker, None
        if breaker is None or breaker.generation != self.generation:
            return False
        breaker._failed(self, now)
        return True

    def ignored(self) -> bool:
        """It ended with something that says nothing of the endpoint."""
        return self.released()

    def released(self) -> bool:
        """It was cancelled, or never made."""
        breaker, self._breaker = self._breaker, None
        if breaker is None or breaker.generation != self.generation:
            return False
        breaker._probes.pop(self, None)
        return True


class Breaker:
    """One breaker, closed at first."""

    __slots__ = (
        "_held",
        "_probed",
        "_probes",
        "_refused",
        "_window",
        "changed_at",
        "changes",
        "failures",
        "failures_in_a_row",
        "generation",
        "opened_at",
        "reason",
        "rules",
        "state",
        "successes",
    )

    def __init__(self, rules: BreakerRules) -> None:
        self.rules = rules
        self.state = _CLOSED
        #: Changes of state so far, and resets.
        self.generation = 0
        self.reason = ""
        self.opened_at: float | None = None
        self.changed_at: float | None = None
        #: What `take_changes` will give; look whether it is empty before asking.
        self.changes: deque[Change] = deque(maxlen=_KEPT)
        self.successes = 0
        self.failures = 0
        self.failures_in_a_row = 0
        self._refused = 0
        self._window = _window(rules)
        #: Probes in flight, and when the lease of each is over.
        self._probes: dict[Permit, float] = {}
        self._probed = 0
        self._held = False

    def admit(self, now: float) -> Permit | Refusal:
        """Leave for an attempt that starts at `now`, or why there is none."""
        if self.state is _CLOSED:
            return Permit(self, self.generation, now)
        if self.state is _OPEN:
            left = self._time_to_half_open(now)
            if left > 0:
                self._refused += 1
                return Refusal(left, self.reason)
            self._move(Cause.WAITED, now, f"{Cause.WAITED.value}: {self.rules.open_for:g} s")
        if not self._has_permit(now):
            self._refused += 1
            return Refusal(0.0, f"{_counted(len(self._probes), 'probe')} in flight")
        permit = Permit(self, self.generation, now)
        self._probes[permit] = now + self.rules.lease
        return permit

    def ready(self, now: float) -> bool:
        """Whether `admit` would give leave; for a pick among endpoints. Takes no permit and changes nothing."""
        if self.state is _CLOSED:
            return True
        if self.state is _OPEN:
            return self._time_to_half_open(now) <= 0
        permits = self.rules.half_open_permits
        return len(self._probes) < permits or any(until <= now for until in self._probes.values())

    def passed_over(self) -> None:
        """A call would have come here and was refused without `admit`, because `ready` said no."""
        self._refused += 1

    def force_open(self, now: float, reason: str = Cause.OPENED_BY_HAND.value, *, hold: bool = False) -> None:
        """Opens it. With `hold` it stays open until it is closed or half-opened by hand."""
        if self.state is not _OPEN:
            self._move(Cause.OPENED_BY_HAND, now, reason)
        self._held = self._held or hold

    def force_half_open(self, now: float, reason: str = Cause.HALF_OPENED_BY_HAND.value) -> None:
        """Lets probes through."""
        if self.state is not _HALF_OPEN:
            self._move(Cause.HALF_OPENED_BY_HAND, now, reason)

    def force_close(self, now: float, reason: str = Cause.CLOSED_BY_HAND.value) -> None:
        """Closes it and forgets the failures that it had counted."""
        if self.state is not _CLOSED:
            self._move(Cause.CLOSED_BY_HAND, now, reason)
        self._forget()

    def reset(self, now: float) -> None:
        """As new: closed, nothing counted, and what is in flight will not count."""
        self.force_close(now, "reset")
        self.generation += 1
        self.successes = self.failures = self._refused = 0

    def configure(self, rules: BreakerRules) -> None:
        """Works by other rules from now on. The state stays; a window that is another one starts empty."""
        old, self.rules = self.rules, rules
        if (old.kind, old.window_size, old.window, old.minimum_calls) != (
            rules.kind,
            rules.window_size,
            rules.window,
            rules.minimum_calls,
        ):
            self._window = _window(rules)

    def take_changes(self) -> tuple[Change, ...]:
        """The changes since this was last asked, oldest first."""
        taken = tuple(self.changes)
        self.changes.clear()
        return taken

    def snapshot(self, now: float) -> Snapshot:
        """What there is to know at `now`. While it is not closed, its window is as it was when it opened."""
        window = self._window
        if window is not None and self.state is _CLOSED:
            window.refresh(now)
        return Snapshot(
            state=self.state,
            reason=self.reason,
            calls=window.calls if window is not None else 0,
            failure_rate=window.failure_rate if window is not None else NO_RATE,
            slow_call_rate=window.slow_rate if window is not None else NO_RATE,
            failures_in_a_row=self.failures_in_a_row,
            probes=len(self._probes),
            successes=self.successes,
            failures=self.failures,
            refused=self._refused,
            opened_at=self.opened_at,
            changed_at=self.changed_at,
            time_to_half_open=max(0.0, self._time_to_half_open(now)) if self.state is _OPEN else None,
        )

    def _time_to_half_open(self, now: float) -> float:
        assert self.opened_at is not None
        return math.inf if self._held else self.opened_at + self.rules.open_for - now

    def _has_permit(self, now: float) -> bool:
        """Whether a probe may start; takes their permits from those whose lease is over."""
        probes, permits = self._probes, self.rules.half_open_permits
        if len(probes) >= permits:
            for late in [probe for probe, until in probes.items() if until <= now]:
                del probes[late]
        return len(probes) < permits

    def _succeeded(self, permit: Permit, now: float) -> None:
        self.successes += 1
        if self.state is _CLOSED:
            self.failures_in_a_row = 0
            if self._window is not None:
                self._window.record(now, failed=False, slow=now - permit.started >= self.rules.slow_call)
                self._judge(now)
            return
        self._probes.pop(permit, None)
        took = now - permit.started
        if took >= self.rules.slow_call:
            self._move(Cause.PROBE_FAILED, now, f"a probe was slow: {took:.3g} s")
            return
        self._probed += 1
        if self._probed >= self.rules.success_threshold:
            self._move(Cause.PROVED, now, f"{_counted(self._probed, 'probe')} succeeded")
            self._forget()

    def _failed(self, permit: Permit, now: float) -> None:
        self.failures += 1
        self.failures_in_a_row += 1
        if self.state is not _CLOSED:
            self._move(Cause.PROBE_FAILED, now, Cause.PROBE_FAILED.value)
        elif self._window is not None:
            self._window.record(now, failed=True, slow=now - permit.started >= self.rules.slow_call)
            self._judge(now)
        elif self.failures_in_a_row >= self.rules.failure_threshold:
            self._move(Cause.TRIPPED, now, f"{_counted(self.failures_in_a_row, 'failure')} in a row")

    def _judge(self, now: float) -> None:
        """Opens it where a rate is over its threshold. Successes are judged too: one may complete the minimum."""
        window, rules = self._window, self.rules
        assert window is not None
        if window.failures and _exceeds(window.failure_rate, rules.failure_rate):
            share = f"failure rate {window.failure_rate:.1%}"
        elif window.slow and _exceeds(window.slow_rate, rules.slow_call_rate):
            share = f"slow call rate {window.slow_rate:.1%}"
        else:
            return
        self._move(Cause.TRIPPED, now, f"{share} of {_counted(window.calls, 'call')}")

    def _move(self, cause: Cause, now: float, reason: str) -> None:
        old = self.state
        self.state = new = TRANSITIONS[old, cause]
        self.generation += 1
        self.reason = reason
        self.changed_at = now
        if new is _OPEN:
            self.opened_at = now
        self._held = False
        self._probed = 0
        self._probes.clear()
        self.changes.append(Change(old, new, cause, reason, now))

    def _forget(self) -> None:
        self.failures_in_a_row = 0
        if self._window is not None:
            self._window.clear()


def _exceeds(rate: float, threshold: float) -> bool:
    """Strictly greater, but that nothing is greater than all; the rate that is not known yet exceeds nothing."""
    return rate > threshold or rate == threshold == 1.0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _window(rules: BreakerRules) -> Window | None:
    if rules.kind is BreakerKind.COUNT_WINDOW:
        return CountWindow(rules.window_size, rules.minimum_calls)
    if rules.kind is BreakerKind.TIME_WINDOW:
        return TimeWindow(rules.window, rules.minimum_calls)
    return None
