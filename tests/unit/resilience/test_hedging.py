"""Hedging, decision by decision; what a whole call looks like is in tests/conformance."""

from __future__ import annotations

import math

import grpc
import pytest

from kit.resilience.hedging import DEFAULT_QUANTILE, Hedge, HedgingPolicy, HedgingRules, Step, delay_of

UNAVAILABLE, INTERNAL, DEADLINE_EXCEEDED = 14, 13, 4
RULES = HedgingRules(max_attempts=3, delay=0.1)


def hedge(rules: HedgingRules = RULES) -> Hedge:
    return Hedge(rules, 10.0, rules.delay)


def test_the_first_step_is_to_wait_for_the_delay() -> None:
    assert hedge().woken(10.0) == Step(wake_at=10.1)


def test_woken_too_early_it_waits_on() -> None:
    assert hedge().woken(10.05) == Step(wake_at=10.1)
    assert hedge().woken(10.2) == Step(send=True)


def test_after_the_last_attempt_only_an_end_changes_anything() -> None:
    running = hedge()
    assert running.sent(10.1) == Step(wake_at=10.2)
    assert running.sent(10.2) == Step()
    assert running.stopped
    assert running.ended(2, UNAVAILABLE, 10.3) == Step()
    assert running.ended(1, 0, 10.4) == Step(cancel=(3,), result=1)


def test_with_one_attempt_there_is_no_hedge() -> None:
    only = hedge(HedgingRules(max_attempts=1, delay=0.0))
    assert only.woken(99.0) == Step()
    assert only.ended(1, UNAVAILABLE, 99.0) == Step(result=1)


def test_an_answer_that_begins_decides_the_call() -> None:
    running = hedge()
    running.sent(10.1)
    assert running.began(2) == Step(cancel=(1,), result=2)
    assert running.began(2) == Step()
    assert running.ended(2, INTERNAL, 10.2) == Step()
    assert running.woken(11.0) == Step()


def test_an_attempt_that_is_not_running_changes_nothing() -> None:
    running = hedge()
    running.sent(10.1)
    running.ended(1, UNAVAILABLE, 10.1)
    assert running.ended(1, 0, 10.2) == Step()
    assert running.ended(7, 0, 10.2) == Step()
    assert running.began(1) == Step()


def test_what_never_left_or_ran_out_of_its_own_time_is_not_fatal() -> None:
    assert hedge().ended(1, DEADLINE_EXCEEDED, 10.0) == Step(result=1)
    assert hedge().ended(1, DEADLINE_EXCEEDED, 10.0, unsent=True) == Step(send=True)
    assert hedge().ended(1, DEADLINE_EXCEEDED, 10.0, timed_out=True) == Step(send=True)


def test_pushback_on_a_fatal_status_changes_nothing() -> None:
    assert hedge().ended(1, INTERNAL, 10.0, pushback="5") == Step(result=1)


def test_a_sibling_that_fails_does_not_bring_forward_what_pushback_put_off() -> None:
    running = hedge()
    running.sent(10.1)
    assert running.ended(1, UNAVAILABLE, 10.1, pushback="500") == Step(wake_at=10.6)
    assert running.ended(2, UNAVAILABLE, 10.2) == Step(wake_at=10.6)
    assert running.woken(10.61) == Step(send=True)


def test_when_leave_is_refused_and_nothing_runs_the_failure_that_came_last_is_the_result() -> None:
    running = hedge()
    running.sent(10.1)
    running.ended(2, UNAVAILABLE, 10.1, pushback="50")
    running.ended(1, UNAVAILABLE, 10.12, pushback="50")
    assert running.refused(10.17) == Step(result=1)


def test_when_leave_is_refused_those_that_run_go_on_and_it_is_not_asked_for_again() -> None:
    running = hedge()
    assert running.refused(10.1) == Step()
    assert running.woken(20.0) == Step()
    assert running.ended(1, 0, 20.0) == Step(result=1)


def test_who_gives_up_cancels_all() -> None:
    running = hedge()
    running.sent(10.1)
    assert running.cancelled() == Step(cancel=(1, 2))
    assert running.cancelled() == Step()
    assert running.ended(1, 0, 10.2) == Step()


def test_a_fixed_delay_does_not_look_at_latencies() -> None:
    assert delay_of(HedgingRules(delay=0.3), 0.05) == 0.3


def test_a_quantile_is_waited_for_once_it_is_known() -> None:
    rules = HedgingRules.of(HedgingPolicy(max_attempts=2, hedging_delay=0.3, delay_quantile=0.9))
    assert delay_of(rules, None) == 0.3
    assert delay_of(rules, 0.05) == 0.05
    assert delay_of(rules, 0.00001) == 0.001
    unknown = HedgingRules.of(HedgingPolicy(max_attempts=2, delay_quantile=0.9))
    assert delay_of(unknown, None) == math.inf


def test_with_neither_delay_nor_quantile_the_slowest_twentieth_is_hedged() -> None:
    rules = HedgingRules.of(HedgingPolicy(max_attempts=2))
    assert (rules.quantile, rules.delay) == (DEFAULT_QUANTILE, math.inf)
    assert HedgingRules.of(HedgingPolicy(hedging_delay=0)).quantile is None


def test_an_infinite_delay_still_hedges_after_a_failure() -> None:
    running = hedge(HedgingRules(max_attempts=2))
    assert running.woken(10.0) == Step()
    assert running.ended(1, UNAVAILABLE, 11.0) == Step(send=True)
    assert running.sent(11.0) == Step()


def test_what_a_policy_leaves_open_is_off_and_tolerates_unavailable() -> None:
    rules = HedgingRules.of(HedgingPolicy())
    assert (rules.max_attempts, rules.non_fatal) == (1, frozenset({UNAVAILABLE}))
    policy = HedgingPolicy(non_fatal_status_codes=[grpc.StatusCode.ABORTED, 13])
    assert HedgingRules.of(policy).non_fatal == {10, 13}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", 6),
        ("hedging_delay", -0.1),
        ("hedging_delay", math.inf),
        ("delay_quantile", 0),
        ("delay_quantile", 1),
        ("non_fatal_status_codes", [0]),
        ("non_fatal_status_codes", ["UNAVAILABLE"]),
    ],
)
def test_impossible_values_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        HedgingPolicy(**{field: value})  # type: ignore[arg-type]
