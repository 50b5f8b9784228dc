"""Ejection in any order of events."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kit.resilience.outlier import OutlierRules, Outliers, Permit, State

KEYS = st.sampled_from("abcde")
ALLOWED = {
    (State.IN, State.OUT),
    (State.OUT, State.TRIAL),
    (State.TRIAL, State.IN),
    (State.TRIAL, State.OUT),
    (State.OUT, State.IN),
}


class Machine(RuleBasedStateMachine):
    permits = Bundle("permits")

    @initialize(percent=st.sampled_from([0, 10, 50, 100]))
    def begin(self, percent: int) -> None:
        self.percent = percent
        self.outliers = Outliers(OutlierRules(consecutive_errors=2, max_ejection_percent=percent), 0.0)
        self.now = 0.0
        self.states: dict[str, State] = {}
        #: Counted failures in a row while IN.
        self.failures: dict[str, int] = {}

    def follow(self) -> list[tuple[str, State, State]]:
        """Takes the changes into the model."""
        changes = []
        for change in self.outliers.take_changes():
            key = str(change.key)
            assert (change.old, change.new) in ALLOWED
            assert self.states[key] is change.old
            self.states[key] = change.new
            self.failures[key] = 0
            changes.append((key, change.old, change.new))
        return changes

    @rule(seconds=st.sampled_from([0.5, 10.0, 40.0, 400.0]))
    def time_passes_and_is_swept(self, seconds: float) -> None:
        self.now += seconds
        self.outliers.sweep(self.now)
        assert all(change[1:] == (State.OUT, State.TRIAL) for change in self.follow())

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.outliers.add(key)
        self.states.setdefault(key, State.IN)
        self.failures.setdefault(key, 0)

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        self.outliers.remove(key)
        self.states.pop(key, None)
        self.failures.pop(key, None)
        assert len(self.follow()) <= 1

    @rule(target=permits, key=KEYS)
    def admit(self, key: str) -> tuple[Permit, str] | None:
        if key not in self.states:
            return None
        ready = self.outliers.ready(key, self.now)
        permit = self.outliers.admit(key, self.now)
        assert (permit is not None) is ready
        if self.states[key] is State.IN:
            assert ready
        if self.states[key] is State.OUT:
            assert not ready
        if self.states[key] is State.TRIAL and ready:
            assert self.outliers.admit(key, self.now) is None, "a second call on trial"
        return None if permit is None else (permit, key)

    @rule(taken=consumes(permits), how=st.sampled_from(["success", "failure", "released"]))
    def settle(self, taken: tuple[Permit, str] | None, how: str) -> None:
        if taken is None:
            return
        permit, key = taken
        out = sum(state is not State.IN for state in self.states.values())
        before = self.states.get(key)
        before_failures = self.failures.get(key, 0)
        counted = getattr(permit, how)(*([self.now] if how == "failure" else []))
        assert not permit.success()
        if not counted:
            assert self.follow() == []
            return
        changes = self.follow()
        if before is State.TRIAL:
            expected = {"success": [(key, State.TRIAL, State.IN)], "failure": [(key, State.TRIAL, State.OUT)]}
            assert changes == expected.get(how, [])
            return
        assert before is State.IN
        known = len(self.states)
        if how == "failure":
            failures = before_failures + 1
            capped = out * 100 >= self.percent * known or out >= known - 1
            assert bool(changes) is (failures >= 2 and not capped)
            self.failures[key] = 0 if changes else failures
        elif how == "success":
            self.failures[key] = 0

    @invariant()
    def one_is_always_in(self) -> None:
        if getattr(self, "states", None):
            assert State.IN in self.states.values()
            assert {key: self.outliers.state(key) for key in self.states} == self.states


TestOutliers = Machine.TestCase
TestOutliers.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
