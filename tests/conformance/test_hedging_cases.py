"""Case 8 of the peers' suites: hedging, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kit.resilience.budget import Budget, BudgetRules
from kit.resilience.hedging import Hedge, HedgingPolicy, HedgingRules, Step, delay_of
from kit.resilience.quantile import LatencyQuantile
from kit.resilience.throttle import RetryThrottling, Throttle, ThrottleRules

OK, UNAVAILABLE, INTERNAL = 0, 14, 13


@dataclass
class Answer:
    """What a server does with one attempt: after `takes` seconds it answers."""

    takes: float
    code: int = OK
    pushback: str | None = None


@dataclass
class Told:
    """What came of a call."""

    sent_at: list[float] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    result: int | None = None
    at: float = 0.0


def call(
    rules: HedgingRules, answers: list[Answer], *, leave: Callable[[float], bool], seen: float | None = None
) -> Told:
    """Drives one call as a layer would, from one event to the next."""
    told = Told(sent_at=[0.0])
    now = 0.0
    ends = {1: answers[0].takes}
    hedge = Hedge(rules, now, delay_of(rules, seen))
    step: Step = hedge.woken(now)
    while True:
        for number in step.cancel:
            told.cancelled.append(number)
            del ends[number]
        if step.result is not None:
            told.result, told.at = step.result, now
            return told
        if step.send:
            if leave(now):
                step = hedge.sent(now)
                told.sent_at.append(now)
                ends[hedge.sent_attempts] = now + answers[hedge.sent_attempts - 1].takes
            else:
                step = hedge.refused(now)
            continue
        number = min(ends, key=lambda sent: ends[sent], default=0)
        if number and ends[number] <= step.wake_at:
            now = ends.pop(number)
            answer = answers[number - 1]
            step = hedge.ended(number, answer.code, now, pushback=answer.pushback)
        else:
            assert step.wake_at < math.inf, "nothing would ever happen again"
            now = step.wake_at
            step = hedge.woken(now)


def always(_now: float) -> bool:
    return True


RULES = HedgingRules.of(HedgingPolicy(max_attempts=3, hedging_delay=0.010, non_fatal_status_codes=[UNAVAILABLE]))


def test_a_slow_primary_with_two_hedges_makes_three_executions() -> None:
    told = call(RULES, [Answer(1.0), Answer(1.0), Answer(0.005)], leave=always)
    assert told.sent_at == pytest.approx([0.0, 0.010, 0.020])
    assert (told.result, told.cancelled) == (3, [1, 2])
    assert told.at == pytest.approx(0.025)


def test_a_fast_primary_makes_one_execution() -> None:
    told = call(RULES, [Answer(0.009)], leave=always)
    assert (told.sent_at, told.result) == ([0.0], 1)


def test_an_exhausted_budget_sends_no_hedge_and_the_primary_still_succeeds() -> None:
    budget = Budget(BudgetRules(ratio=0.0, min_per_second=0.0))
    told = call(RULES, [Answer(1.0)], leave=lambda now: budget.take(now) is not None)
    assert (told.sent_at, told.result, told.at) == ([0.0], 1, 1.0)


def test_an_exhausted_throttle_sends_no_hedge_and_the_primary_still_succeeds() -> None:
    throttle = Throttle(ThrottleRules.of(RetryThrottling(max_tokens=2, token_ratio=0.1)))
    throttle.attempt_ended(UNAVAILABLE, RULES.non_fatal)
    told = call(RULES, [Answer(1.0)], leave=lambda _now: throttle.may_retry)
    assert (told.sent_at, told.result) == ([0.0], 1)


def test_a_budget_with_room_for_one_sends_one() -> None:
    budget = Budget(BudgetRules(ratio=1.0, min_per_second=0.0))
    budget.call(0.0)
    told = call(RULES, [Answer(1.0), Answer(2.0)], leave=lambda now: budget.take(now) is not None)
    assert (len(told.sent_at), told.result, told.cancelled) == (2, 1, [2])


def test_a_non_fatal_failure_sends_the_next_at_once_and_the_delay_starts_over() -> None:
    told = call(RULES, [Answer(0.004, UNAVAILABLE), Answer(1.0), Answer(0.005)], leave=always)
    assert told.sent_at == pytest.approx([0.0, 0.004, 0.014])
    assert told.result == 3


def test_a_fatal_failure_ends_the_call_and_cancels_the_rest() -> None:
    told = call(RULES, [Answer(1.0), Answer(0.005, INTERNAL)], leave=always)
    assert (told.result, told.cancelled) == (2, [1])
    assert told.at == pytest.approx(0.015)


def test_pushback_sends_the_next_after_n_and_the_one_after_that_a_delay_later() -> None:
    told = call(RULES, [Answer(0.004, UNAVAILABLE, "50"), Answer(1.0), Answer(0.005)], leave=always)
    assert told.sent_at == pytest.approx([0.0, 0.054, 0.064])


def test_pushback_against_hedges_stops_only_new_ones() -> None:
    told = call(RULES, [Answer(0.050), Answer(0.005, UNAVAILABLE, "-1")], leave=always)
    assert (told.sent_at, told.result) == ([0.0, 0.010], 1)
    assert told.at == pytest.approx(0.050)


def test_when_every_attempt_fails_the_last_failure_is_the_calls() -> None:
    told = call(RULES, [Answer(0.1, UNAVAILABLE), Answer(0.2, UNAVAILABLE), Answer(0.05, UNAVAILABLE)], leave=always)
    assert (len(told.sent_at), told.result, told.cancelled) == (3, 2, [])
    assert told.at == pytest.approx(0.21)


def test_a_delay_of_zero_sends_all_at_once() -> None:
    rules = HedgingRules.of(HedgingPolicy(max_attempts=4, hedging_delay=0))
    told = call(rules, [Answer(1.0), Answer(1.0), Answer(0.5), Answer(1.0)], leave=always)
    assert told.sent_at == [0.0, 0.0, 0.0, 0.0]
    assert (told.result, told.cancelled) == (3, [1, 2, 4])


def test_by_quantile_only_slow_calls_are_hedged_once_enough_is_known() -> None:
    rules = HedgingRules.of(HedgingPolicy(max_attempts=2))
    seen = LatencyQuantile(0.95)
    hedged = 0
    for turn in range(2000):
        takes = 1.0 if turn % 50 == 0 else 0.010 + (turn % 10) * 0.001
        told = call(rules, [Answer(takes), Answer(0.012)], leave=always, seen=seen.value(turn))
        seen.add(turn, told.at)
        hedged += len(told.sent_at) > 1
    assert hedged == 2000 / 50 - 1
