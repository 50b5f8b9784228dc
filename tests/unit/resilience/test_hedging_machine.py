"""Hedging in any order of events."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.resilience.hedging import Hedge, HedgingRules, Step

UNAVAILABLE = 14


class Machine(RuleBasedStateMachine):
    """A driver that does as it is told, at a time of its own choosing."""

    @initialize(most=st.integers(1, 5), delay=st.sampled_from([0.0, 0.01, 1.0, math.inf]))
    def begin(self, most: int, delay: float) -> None:
        self.now = 0.0
        self.most = most
        self.delay = delay
        self.hedge = Hedge(HedgingRules(max_attempts=most, delay=delay), 0.0, delay)
        self.running = {1}
        self.sent_at = [0.0]
        #: No attempt before this, by pushback.
        self.not_before = -math.inf
        self.forbidden = self.over = False
        self.step = Step()
        self.told(self.hedge.woken(0.0))

    def told(self, step: Step) -> None:
        self.step = step
        assert set(step.cancel) <= self.running
        self.running -= set(step.cancel)
        if step.result is not None:
            assert not self.over, "a second result"
            self.over = True
            self.running.discard(step.result)
            assert not self.running, "what lost was not cancelled"

    @precondition(lambda self: not self.over)
    @rule(seconds=st.sampled_from([0.0, 0.005, 0.02, 1.5]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.told(self.hedge.woken(self.now))

    @precondition(lambda self: self.step.send)
    @rule()
    def leave_is_given(self) -> None:
        assert not self.forbidden
        assert self.now >= self.not_before
        self.not_before = -math.inf
        self.sent_at.append(self.now)
        self.running.add(len(self.sent_at))
        self.told(self.hedge.sent(self.now))
        assert self.hedge.sent_attempts == len(self.sent_at) <= self.most

    @precondition(lambda self: self.step.send)
    @rule()
    def leave_is_refused(self) -> None:
        self.forbidden = True
        self.told(self.hedge.refused(self.now))

    @precondition(lambda self: self.running and not self.over)
    @rule(data=st.data(), pushback=st.sampled_from([None, None, "-1", "10", "1000"]))
    def one_fails_without_harm(self, data: st.DataObject, pushback: str | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(number)
        if pushback == "-1":
            self.forbidden = True
        elif pushback is not None:
            self.not_before = self.now + int(pushback) / 1000
        may_follow = not self.forbidden and len(self.sent_at) < self.most
        self.told(self.hedge.ended(number, UNAVAILABLE, self.now, pushback=pushback))
        if not self.running and not may_follow:
            assert self.step.result == number
        if may_follow and pushback is None and self.now >= self.not_before:
            assert self.step.send, "the next goes at once"

    @precondition(lambda self: self.running and not self.over)
    @rule(data=st.data(), code=st.sampled_from([0, 13]))
    def one_decides(self, data: st.DataObject, code: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)))
        self.told(self.hedge.ended(number, code, self.now))
        assert self.step.result == number

    @precondition(lambda self: not self.over)
    @rule()
    def the_caller_gives_up(self) -> None:
        running = set(self.running)
        self.told(self.hedge.cancelled())
        assert set(self.step.cancel) == running
        self.over = True

    @rule(number=st.integers(1, 7))
    def somebody_answers_late(self, number: int) -> None:
        if number not in self.running or self.over:
            assert self.hedge.ended(number, 0, self.now) == Step()
            assert self.hedge.began(number) == Step()

    @invariant()
    def it_never_gets_stuck(self) -> None:
        if hasattr(self, "hedge") and not self.over and not self.running:
            assert self.step.send or self.step.wake_at < math.inf

    @invariant()
    def it_is_over_when_it_said_so(self) -> None:
        if hasattr(self, "hedge") and self.over:
            assert self.hedge.woken(self.now + 100) == Step()


TestHedge = Machine.TestCase
TestHedge.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
