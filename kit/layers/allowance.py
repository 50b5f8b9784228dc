"""Leave for further attempts: the throttle and the retry budget of a target, for the layers that send them.

Methods of a target that declare the same figures share one throttle and one budget.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from kit.clock import Clock
from kit.pipeline import Method
from kit.policy import Resolved
from kit.resilience.budget import Budget, BudgetRules
from kit.resilience.retry import StopReason
from kit.resilience.throttle import Throttle, ThrottleRules

__all__ = ["Allowance", "Allowances"]


class Allowance:
    """What one method may draw from; either part may be missing."""

    __slots__ = ("_budget", "_clock", "_throttle")

    def __init__(self, throttle: Throttle | None, budget: Budget | None, clock: Clock) -> None:
        self._throttle = throttle
        self._budget = budget
        self._clock = clock

    @property
    def tokens(self) -> float | None:
        """What is left in the throttle; None without one."""
        return None if self._throttle is None else self._throttle.tokens

    @property
    def retries_left(self) -> int | None:
        """Further attempts that the budget has now; None without one."""
        return None if self._budget is None else self._budget.left(self._clock.now())

    def began(self) -> None:
        """A call was made."""
        if self._budget is not None:
            self._budget.call(self._clock.now())

    def ended(
        self,
        code: int,
        retryable: Container[int],
        *,
        pushback: str | bytes | None = None,
        unsent: bool = False,
        timed_out: bool = False,
    ) -> None:
        """An attempt ended with `code`; see `Throttle.attempt_ended`. One whose own time was up could be made again."""
        if self._throttle is not None:
            self._throttle.attempt_ended(code, (code,) if timed_out else retryable, pushback=pushback, unsent=unsent)

    def refusal(self) -> StopReason | None:
        """Draws leave for one more attempt, which is then sent; or says why there is none."""
        if self._throttle is not None and not self._throttle.may_retry:
            return StopReason.THROTTLED
        if self._budget is not None:
            permit = self._budget.take(self._clock.now())
            if permit is None:
                return StopReason.BUDGET_EXHAUSTED
            permit.spent()
        return None


class Allowances:
    """The throttles and budgets of one target."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._throttles: dict[ThrottleRules, Throttle] = {}
        self._budgets: dict[BudgetRules, Budget] = {}

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Lets go of those whose figures no method has any more."""
        for throttling in self._throttles.keys() - {policy.throttle for policy in policies}:
            del self._throttles[throttling]
        for budgeting in self._budgets.keys() - {policy.budget for policy in policies}:
            del self._budgets[budgeting]

    def all(self) -> tuple[list[tuple[ThrottleRules, Throttle]], list[tuple[BudgetRules, Budget]]]:
        """Every throttle and every budget that there is."""
        return list(self._throttles.items()), list(self._budgets.items())

    def of(self, method: Method) -> Allowance | None:
        """What the method declares; None where that is neither."""
        throttling, budgeting = method.policy.throttle, method.policy.budget
        if throttling is None and budgeting is None:
            return None
        throttle = budget = None
        if throttling is not None:
            throttle = self._throttles.setdefault(throttling, Throttle(throttling))
        if budgeting is not None:
            budget = self._budgets.setdefault(budgeting, Budget(budgeting))
        return Allowance(throttle, budget, self._clock)
