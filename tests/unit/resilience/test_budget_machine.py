"""The retry budget against a model that remembers everything."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kit.resilience.budget import Budget, BudgetPermit, BudgetRules

RATIO, FLOOR, WINDOW = 0.25, 0.3, 10.0


class Machine(RuleBasedStateMachine):
    """Slots are a second long, so whole seconds say exactly what counts."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(BudgetRules(ratio=RATIO, min_per_second=FLOOR, window=WINDOW))
        self.now = 1000.0
        self.calls: list[int] = []
        self.spent: list[int] = []

    def within(self, slots: list[int]) -> int:
        return sum(slot > math.floor(self.now) - WINDOW for slot in slots)

    def left(self) -> int:
        return max(0, math.floor(RATIO * self.within(self.calls) + FLOOR * WINDOW) - self.within(self.spent))

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 3.0, 9.5, 10.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 20))
    def calls_are_made(self, count: int) -> None:
        for _ in range(count):
            self.budget.call(self.now)
            self.calls.append(math.floor(self.now))

    @rule(target=permits)
    def take(self) -> tuple[BudgetPermit | None, int]:
        slot = math.floor(self.now)
        expected = self.left() > 0
        permit = self.budget.take(self.now)
        assert (permit is not None) is expected
        if permit is not None:
            self.spent.append(slot)
        return permit, slot

    @rule(taken=consumes(permits), twice=st.booleans())
    def withdraw(self, taken: tuple[BudgetPermit | None, int], twice: bool) -> None:
        permit, slot = taken
        if permit is not None:
            self.spent.remove(slot)
            permit.withdraw(self.now)
            if twice:
                permit.withdraw(self.now)

    @rule(taken=consumes(permits))
    def spend(self, taken: tuple[BudgetPermit | None, int]) -> None:
        if taken[0] is not None:
            taken[0].spent()
            taken[0].withdraw(self.now)

    @invariant()
    def it_says_what_is_left(self) -> None:
        assert self.budget.left(self.now) == self.left()


TestBudget = Machine.TestCase
TestBudget.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
