"""The limiter in any order of events, fixed and adaptive."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.resilience.gradient import GradientRules
from kit.resilience.limiter import ConcurrencyRules, Limiter, Permit, PermitState, Refusal

QUEUED, ADMITTED, SETTLED = PermitState.QUEUED, PermitState.ADMITTED, PermitState.SETTLED


class Machine(RuleBasedStateMachine):
    @initialize(most=st.integers(1, 6), queued=st.integers(0, 3), adaptive=st.booleans())
    def begin(self, most: int, queued: int, adaptive: bool) -> None:
        rules = ConcurrencyRules(max_concurrent=most, max_queued=queued, adaptive=adaptive)
        quick = GradientRules(min_limit=1, max_limit=most, initial_limit=most, probe_samples=2, window_samples=2)
        self.limiter = Limiter(rules, 0.0, quick)
        self.queued_at_most = queued
        self.now = 0.0
        self.running: list[Permit] = []
        self.waiting: list[Permit] = []
        self.settled: list[Permit] = []

    @rule(seconds=st.sampled_from([0.001, 0.06, 0.3, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def enter(self) -> None:
        room = len(self.running) < self.limiter.limit and not self.waiting
        permit = self.limiter.enter(self.now)
        if room:
            assert isinstance(permit, Permit)
            assert permit.state is ADMITTED
            self.running.append(permit)
        elif len(self.waiting) < self.queued_at_most:
            assert isinstance(permit, Permit)
            assert permit.state is QUEUED
            self.waiting.append(permit)
        else:
            assert permit is (Refusal.QUEUE_FULL if self.queued_at_most else Refusal.AT_LIMIT)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["success", "success", "failure", "released"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        permit = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        admitted = getattr(permit, how)(self.now)
        self.settled.append(permit)
        assert list(admitted) == self.waiting[: len(admitted)], "out of turn"
        self.waiting = self.waiting[len(admitted) :]
        self.running += admitted
        assert not admitted or len(self.running) <= self.limiter.limit
        assert not self.waiting or len(self.running) >= self.limiter.limit

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), how=st.sampled_from(["released", "failure"]))
    def one_gives_up(self, data: st.DataObject, how: str) -> None:
        permit = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        assert getattr(permit, how)(self.now) == ()
        self.settled.append(permit)

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", "released"]))
    def one_is_settled_again(self, data: st.DataObject, how: str) -> None:
        permit = data.draw(st.sampled_from(self.settled))
        limit = self.limiter.limit
        assert getattr(permit, how)(self.now) == ()
        assert self.limiter.limit == limit

    @invariant()
    def counts_and_states_are_as_modelled(self) -> None:
        if not hasattr(self, "limiter"):
            return
        assert (self.limiter.running, self.limiter.queued) == (len(self.running), len(self.waiting))
        assert all(permit.state is ADMITTED for permit in self.running)
        assert all(permit.state is QUEUED for permit in self.waiting)
        assert all(permit.state is SETTLED for permit in self.settled)


TestLimiter = Machine.TestCase
TestLimiter.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
