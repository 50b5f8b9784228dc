"""The retry budget."""

from __future__ import annotations

import pytest

from kit.resilience.budget import Budget, BudgetPermit, BudgetRules, RetryBudget


def granted(budget: Budget, now: float, most: int = 1000) -> list[BudgetPermit]:
    found: list[BudgetPermit] = []
    while len(found) < most and (permit := budget.take(now)) is not None:
        found.append(permit)
    return found


def after(calls: int, now: float = 100.0, **rules: float) -> Budget:
    budget = Budget(BudgetRules(**{"ratio": 0.2, "min_per_second": 0.0, **rules}))
    for _ in range(calls):
        budget.call(now)
    return budget


def test_a_fifth_of_the_calls_may_be_retried() -> None:
    budget = after(50)
    assert budget.left(100.0) == 10
    assert len(granted(budget, 100.0)) == 10
    assert budget.left(100.0) == 0


def test_the_floor_is_there_without_any_call() -> None:
    assert len(granted(after(0, min_per_second=3.0), 100.0)) == 30
    assert granted(after(0), 100.0) == []


@pytest.mark.parametrize("calls", [100, 1000, 700])
def test_rounding_does_not_refuse_the_last_one(calls: int) -> None:
    assert len(granted(after(calls, ratio=0.29), 100.0)) == calls * 29 // 100


def test_what_was_spent_and_the_calls_expire_together() -> None:
    budget = after(50)
    assert len(granted(budget, 100.0)) == 10
    assert budget.left(108.9) == 0
    budget.call(108.9)
    assert granted(budget, 110.0) == []
    for _ in range(49):
        budget.call(110.0)
    assert len(granted(budget, 110.0)) == 10


def test_a_long_silence_forgets_everything() -> None:
    budget = after(50)
    budget.take(100.0)
    assert budget.left(1e6) == 0
    assert len(granted(after(50, min_per_second=1.0), 1e6)) == 10


def test_a_permit_withdrawn_is_given_back_once() -> None:
    budget = after(5)
    permit = budget.take(100.0)
    assert permit is not None
    assert budget.take(100.0) is None
    permit.withdraw(100.0)
    permit.withdraw(100.0)
    assert budget.left(100.0) == 1


def test_a_permit_that_was_spent_cannot_be_withdrawn() -> None:
    budget = after(5)
    permit = budget.take(100.0)
    assert permit is not None
    permit.spent()
    permit.withdraw(100.0)
    assert budget.left(100.0) == 0


def test_a_permit_withdrawn_after_its_window_gives_nothing_back() -> None:
    budget = after(5)
    permit = budget.take(100.0)
    assert permit is not None
    for _ in range(5):
        budget.call(120.0)
    permit.withdraw(120.0)
    assert len(granted(budget, 120.0)) == 1


def test_what_is_left_open_is_what_finagle_linkerd_and_tower_have() -> None:
    assert BudgetRules.of(RetryBudget()) == BudgetRules(ratio=0.2, min_per_second=10.0, window=10.0)


def test_an_explicit_zero_is_a_value() -> None:
    assert BudgetRules.of(RetryBudget(ratio=0, min_per_second=0)) == BudgetRules(ratio=0, min_per_second=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ratio", -0.1), ("ratio", 4.1), ("ratio", float("nan")), ("min_per_second", -1), ("window", 0), ("window", -1)],
)
def test_impossible_values_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        RetryBudget(**{field: value})
