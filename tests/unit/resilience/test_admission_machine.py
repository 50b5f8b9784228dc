"""The door of a server in any order of events."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.resilience.admission import Admission, AdmissionControl, Permit, PermitState, Refusal
from kit.resilience.priority import Priority
from kit.resilience.service_time import ServiceTime

QUEUED, ADMITTED, SETTLED = PermitState.QUEUED, PermitState.ADMITTED, PermitState.SETTLED
PRIORITIES = st.sampled_from(list(Priority))


class Machine(RuleBasedStateMachine):
    @initialize(most=st.integers(1, 4), queued=st.integers(0, 4), adaptive=st.booleans())
    def begin(self, most: int, queued: int, adaptive: bool) -> None:
        self.control = AdmissionControl(
            Admission(max_concurrent=most, max_queued=queued, adaptive=adaptive, max_wait=1.0, interval=0.3), 0.0
        )
        self.most, self.queued_at_most = most, queued
        self.now = 0.0
        self.methods = [ServiceTime(), ServiceTime()]
        self.running: list[Permit] = []
        #: The methods and beginnings of calls that run without a permit.
        self.passing: list[tuple[ServiceTime, float]] = []
        #: In the order of arrival.
        self.waiting: list[Permit] = []
        self.settled: list[Permit] = []
        self.refusals = 0

    def refused(self, gone: list[tuple[Permit, Refusal]]) -> None:
        for permit, why in gone:
            assert isinstance(why, Refusal)
            self.waiting.remove(permit)
            self.settled.append(permit)
            self.refusals += 1

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.3, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.control.running < self.control.at_once)
    @rule(method=st.integers(0, 1))
    def pass_at_once(self, method: int) -> None:
        assert len(self.running) + len(self.passing) < self.control.limit
        assert not self.waiting
        self.control.running += 1
        self.passing.append((self.methods[method], self.now))

    @precondition(lambda self: self.passing)
    @rule(data=st.data(), given=st.sampled_from([0.01, 0.1, math.inf]), told=st.booleans())
    def one_that_passed_ends(self, data: st.DataObject, given: float, told: bool) -> None:
        time, since = self.passing.pop(data.draw(st.integers(0, len(self.passing) - 1)))
        if told:
            self.control.passed(self.now, since, given, time, 1)
        else:
            self.control.running -= 1

    @rule(method=st.integers(0, 1))
    def enter(self, method: int) -> None:
        room = len(self.running) + len(self.passing) < self.control.limit and not self.waiting
        permit = self.control.enter(self.now, self.methods[method])
        assert (permit is not None) is room
        if permit is not None:
            self.running.append(permit)

    @rule(method=st.integers(0, 1), priority=PRIORITIES, left=st.sampled_from([0.0, 0.01, 0.1, 1.0, math.inf]))
    def queue(self, method: int, priority: Priority, left: float) -> None:
        less = [permit for permit in self.waiting if permit.priority > priority]
        found, gave_way = self.control.queue(self.now, priority, self.methods[method], self.now + left)
        if gave_way is not None:
            assert gave_way.priority > priority
            assert gave_way.priority == max(one.priority for one in less)
            self.refused([(gave_way, Refusal.GAVE_WAY)])
        if isinstance(found, Refusal):
            assert gave_way is None
            assert not (less and found in (Refusal.OVERLOADED, Refusal.QUEUE_FULL)), "what matters less still waits"
            self.refusals += 1
        else:
            assert found.state is QUEUED
            assert left > 0
            self.waiting.append(found)

    @rule(method=st.integers(0, 1), priority=PRIORITIES)
    def shut(self, method: int, priority: Priority) -> None:
        why = self.control.shut(self.now, priority, self.methods[method])
        if why is not None:
            assert not any(permit.priority > priority for permit in self.waiting)
            self.refusals += 1

    @rule()
    def next(self) -> None:
        room = len(self.running) + len(self.passing) < self.control.limit
        permit, gone = self.control.next(self.now)
        self.refused(gone)
        if permit is not None:
            assert room
            assert permit.expires_at > self.now
            first = min(self.waiting, key=lambda one: one.priority)
            assert permit is first, "out of turn"
            self.waiting.remove(permit)
            self.running.append(permit)
        else:
            assert not room or not self.waiting

    @rule()
    def sweep(self) -> None:
        self.refused(self.control.sweep(self.now))
        assert all(permit.expires_at > self.now and self.now - permit.since <= 1.0 for permit in self.waiting)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), given=st.sampled_from([0.01, 0.1, math.inf]), ended=st.booleans())
    def one_ends(self, data: st.DataObject, given: float, ended: bool) -> None:
        permit = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if ended:
            permit.ended(self.now, given)
        else:
            permit.released(self.now)
        self.settled.append(permit)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), ended=st.booleans())
    def one_gives_up(self, data: st.DataObject, ended: bool) -> None:
        permit = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        if ended:
            permit.ended(self.now, math.inf)
        else:
            permit.released(self.now)
        self.settled.append(permit)

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), ended=st.booleans())
    def one_is_settled_again(self, data: st.DataObject, ended: bool) -> None:
        permit = data.draw(st.sampled_from(self.settled))
        if ended:
            permit.ended(self.now, 0.01)
        else:
            permit.released(self.now)

    @rule()
    def stop(self) -> None:
        self.refused(self.control.stop())
        assert not self.waiting

    @invariant()
    def counts_and_states_are_as_modelled(self) -> None:
        if not hasattr(self, "control"):
            return
        assert self.control.running == len(self.running) + len(self.passing)
        assert self.control.queued == len(self.waiting)
        assert not (self.control.at_once and self.waiting)
        assert len(self.waiting) <= self.queued_at_most
        assert 1 <= self.control.limit <= self.most
        assert sum(self.control.refused.values()) == self.refusals
        assert all(permit.state is ADMITTED for permit in self.running)
        assert all(permit.state is QUEUED for permit in self.waiting)
        assert all(permit.state is SETTLED for permit in self.settled)
        assert all(self.control.wait(priority, self.methods[0]) >= 0 for priority in Priority)


TestAdmission = Machine.TestCase
TestAdmission.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
