"""The breaker against a model of it that keeps every permit and counts the slow way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from kit.resilience.breaker import TRANSITIONS, Breaker, Permit, Refusal, State
from kit.resilience.breaker_rules import BreakerKind, BreakerRules


@dataclass(eq=False)
class Given:
    """A permit, and what the model knows of it."""

    permit: Permit
    generation: int
    started: float
    lease_until: float


class BreakerModel(RuleBasedStateMachine):
    """Consecutive failures only; windows have a model of their own."""

    permits = Bundle("permits")

    @initialize(
        threshold=st.integers(1, 4), successes=st.integers(1, 4), permits=st.integers(1, 4), lease=st.integers(1, 20)
    )
    def start(self, threshold: int, successes: int, permits: int, lease: int) -> None:
        self.limits = BreakerRules(
            failure_threshold=threshold,
            success_threshold=successes,
            half_open_permits=permits,
            lease=float(lease),
            open_for=10.0,
        )
        self.breaker = Breaker(self.limits)
        self.now = 1000.0
        self.state = State.CLOSED
        self.generation = self.row = self.proved = 0
        self.opened_at: float | None = None
        self.probes: list[Given] = []

    def becomes(self, state: State) -> None:
        self.state = state
        self.generation += 1
        self.probes, self.proved = [], 0
        if state is State.OPEN:
            self.opened_at = self.now
        if state is State.CLOSED:
            self.row = 0

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def ask(self) -> object:
        ready = self.breaker.ready(self.now)
        answer = self.breaker.admit(self.now)
        assert ready is isinstance(answer, Permit)
        if self.state is State.OPEN:
            assert self.opened_at is not None
            left = self.opened_at + self.limits.open_for - self.now
            if left > 0:
                assert isinstance(answer, Refusal)
                assert answer.time_until_half_open == left
                return multiple()
            self.becomes(State.HALF_OPEN)
        if self.state is State.HALF_OPEN:
            if len(self.probes) >= self.limits.half_open_permits:
                self.probes = [probe for probe in self.probes if probe.lease_until > self.now]
            if len(self.probes) >= self.limits.half_open_permits:
                assert isinstance(answer, Refusal)
                assert answer.time_until_half_open == 0
                return multiple()
        assert isinstance(answer, Permit)
        given = Given(answer, self.generation, self.now, self.now + self.limits.lease)
        if self.state is State.HALF_OPEN:
            self.probes.append(given)
        return given

    def counts(self, given: Given) -> bool:
        if given.generation != self.generation:
            return False
        self.probes = [probe for probe in self.probes if probe is not given]
        return True

    @rule(given=consumes(permits), again=st.booleans())
    def succeed(self, given: Given, again: bool) -> None:
        counts = self.counts(given)
        assert given.permit.success(self.now) is counts
        if counts and self.state is State.CLOSED:
            self.row = 0
        elif counts:
            self.proved += 1
            if self.proved == self.limits.success_threshold:
                self.becomes(State.CLOSED)
        if again:
            assert not given.permit.success(self.now)
            assert not given.permit.failure(self.now)

    @rule(given=consumes(permits), again=st.booleans())
    def fail(self, given: Given, again: bool) -> None:
        counts = self.counts(given)
        assert given.permit.failure(self.now) is counts
        if counts:
            self.row += 1
            if self.state is State.HALF_OPEN or self.row >= self.limits.failure_threshold:
                self.becomes(State.OPEN)
        if again:
            assert not given.permit.failure(self.now)
            assert not given.permit.released()

    @rule(given=consumes(permits), ignored=st.booleans())
    def say_nothing(self, given: Given, ignored: bool) -> None:
        counts = self.counts(given)
        assert (given.permit.ignored() if ignored else given.permit.released()) is counts
        assert given.permit.settled

    @rule(state=st.sampled_from(State))
    def by_hand(self, state: State) -> None:
        {
            State.OPEN: self.breaker.force_open,
            State.HALF_OPEN: self.breaker.force_half_open,
            State.CLOSED: self.breaker.force_close,
        }[state](self.now)
        if state is not self.state:
            self.becomes(state)
        if state is State.CLOSED:
            self.row = 0

    @rule()
    def reset(self) -> None:
        self.breaker.reset(self.now)
        if self.state is not State.CLOSED:
            self.becomes(State.CLOSED)
        self.generation += 1
        self.row = 0

    @rule()
    def the_changes_are_a_path_through_the_table(self) -> None:
        state = None
        for change in self.breaker.take_changes():
            assert TRANSITIONS[change.old, change.cause] is change.new
            assert state in (None, change.old)
            state = change.new
        assert state in (None, self.breaker.state)

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        breaker = self.breaker
        assert breaker.state is self.state
        assert breaker.generation == self.generation
        assert breaker.opened_at == self.opened_at
        assert breaker.failures_in_a_row == self.row
        assert breaker.snapshot(self.now).probes == len(self.probes) <= self.limits.half_open_permits


BreakerModel.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestBreaker = BreakerModel.TestCase


class WindowModel(RuleBasedStateMachine):
    """A count window: opens exactly when the last outcomes exceed a threshold."""

    @initialize(size=st.integers(1, 8), rate=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), data=st.data())
    def start(self, size: int, rate: float, data: st.DataObject) -> None:
        self.limits = BreakerRules(
            kind=BreakerKind.COUNT_WINDOW,
            window_size=size,
            minimum_calls=data.draw(st.integers(1, size)),
            failure_rate=rate,
            slow_call=4.0,
            slow_call_rate=data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        )
        self.breaker = Breaker(self.limits)
        self.last: list[tuple[bool, bool]] = []

    @rule(failed=st.booleans(), took=st.sampled_from([0.0, 3.999, 4.0, 5.0]))
    def a_call(self, failed: bool, took: float) -> None:
        permit = self.breaker.admit(0.0)
        assert isinstance(permit, Permit)
        permit.failure(took) if failed else permit.success(took)
        self.last = [*self.last, (failed, took >= 4.0)][-self.limits.window_size :]
        calls = len(self.last)
        opens = calls >= self.limits.minimum_calls and any(
            count > threshold * calls or count == calls == threshold * calls
            for count, threshold in (
                (sum(failed for failed, _ in self.last), self.limits.failure_rate),
                (sum(slow for _, slow in self.last), self.limits.slow_call_rate),
            )
        )
        assert self.breaker.state is (State.OPEN if opens else State.CLOSED)
        if opens:
            self.breaker.force_close(took)
            self.last = []


WindowModel.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestWindow = WindowModel.TestCase


def test_no_clock_is_read() -> None:
    with mock.patch.multiple(time, time=None, monotonic=None, perf_counter=None):
        breaker = Breaker(BreakerRules(kind=BreakerKind.TIME_WINDOW, minimum_calls=1))
        permit = breaker.admit(0.0)
        assert isinstance(permit, Permit)
        permit.failure(1.0)
        breaker.admit(2.0)
        assert breaker.snapshot(2.0).state is State.OPEN
