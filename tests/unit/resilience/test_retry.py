"""gRFC A6, decision by decision."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.backoff import Backoff, Jitter
from kit.resilience.retry import Decision, Retry, RetryPolicy, RetryRules, StopReason, parse_pushback

UNAVAILABLE, INTERNAL = 14, 13
RULES = RetryRules(max_attempts=4, backoff=Backoff(initial=1.0, multiplier=2.0, maximum=10.0, jitter=Jitter.NONE))


def failed(retry: Retry, code: int = UNAVAILABLE, **how: Any) -> Decision:
    return retry.failed(code, **{"u": 0.5, "remaining": math.inf, **how})


def stop_of(rules: RetryRules, code: int = UNAVAILABLE, **how: Any) -> StopReason | None:
    return failed(Retry(rules), code, **how).stop


def test_it_waits_longer_each_time_and_stops_at_max_attempts() -> None:
    retry = Retry(RULES)
    assert [failed(retry).delay for _ in range(3)] == [1.0, 2.0, 4.0]
    assert failed(retry).stop is StopReason.ATTEMPTS_EXHAUSTED


def test_one_attempt_means_no_retry() -> None:
    assert stop_of(RetryRules(max_attempts=1)) is StopReason.OFF


def test_a_status_that_is_not_listed_is_not_retried() -> None:
    assert stop_of(RULES, INTERNAL) is StopReason.NOT_RETRYABLE


def test_what_has_begun_to_arrive_is_not_retried() -> None:
    assert stop_of(RULES, committed=True) is StopReason.COMMITTED


def test_a_method_that_is_not_safe_is_retried_only_when_nothing_was_sent() -> None:
    rules = RetryRules(max_attempts=4, replay_safe=False)
    assert stop_of(rules) is StopReason.NOT_SAFE
    assert stop_of(rules, timed_out=True) is StopReason.NOT_SAFE
    assert failed(Retry(rules), unsent=True).delay is not None


def test_an_attempt_whose_own_time_ran_out_is_made_again() -> None:
    assert stop_of(RULES, 4) is StopReason.NOT_RETRYABLE
    assert failed(Retry(RULES), 4, timed_out=True).delay == 1.0


def test_a_delay_that_does_not_fit_ends_the_call_at_once() -> None:
    assert failed(Retry(RULES), remaining=1.001).delay == 1.0
    assert stop_of(RULES, remaining=1.0) is StopReason.DEADLINE
    assert stop_of(RULES, remaining=0.0) is StopReason.DEADLINE


def test_pushback_sets_the_delay_and_restarts_the_backoff() -> None:
    retry = Retry(RULES)
    assert failed(retry).delay == 1.0
    assert failed(retry, pushback="300").delay == 0.3
    assert failed(retry).delay == 1.0


def test_pushback_never_exceeds_max_attempts() -> None:
    retry = Retry(RetryRules(max_attempts=2))
    assert failed(retry, pushback="0").delay == 0.0
    assert failed(retry, pushback="0").stop is StopReason.ATTEMPTS_EXHAUSTED


@pytest.mark.parametrize("value", ["-1", "soon", "", "1.5", "2147483648", "+5", "٣", b"\xff"])
def test_pushback_that_is_negative_or_unreadable_means_no_retry(value: str | bytes) -> None:
    assert parse_pushback(value) is None
    assert stop_of(RULES, pushback=value) is StopReason.PUSHBACK


@pytest.mark.parametrize(("value", "milliseconds"), [("0", 0), (b"250", 250), ("2147483647", 2147483647)])
def test_pushback_is_a_signed_32_bit_number_of_milliseconds(value: str | bytes, milliseconds: int) -> None:
    assert parse_pushback(value) == milliseconds


@pytest.mark.parametrize("attempts", [0, 6, -1])
def test_max_attempts_is_one_to_five(attempts: int) -> None:
    with pytest.raises(ValueError, match="max_attempts must be 1 to 5"):
        RetryRules(max_attempts=attempts)


def test_codes_may_be_numbers_or_grpc_status_codes() -> None:
    policy = RetryPolicy(retryable_status_codes=[grpc.StatusCode.UNAVAILABLE, 10])
    assert RetryRules.of(policy, replay_safe=True).retryable == {14, 10}


@pytest.mark.parametrize("code", [0, 17, "UNAVAILABLE", grpc.StatusCode.OK])
def test_what_is_no_failure_is_refused_as_retryable(code: object) -> None:
    with pytest.raises(ValueError, match="retryable_status_codes"):
        RetryPolicy(retryable_status_codes=[code])


def test_what_a_policy_leaves_open_is_filled_with_the_kits_defaults() -> None:
    rules = RetryRules.of(RetryPolicy(max_attempts=3), replay_safe=True)
    assert rules == RetryRules(max_attempts=3, backoff=Backoff(initial=0.1, multiplier=2.0, maximum=5.0))


@given(
    st.integers(1, 5),
    st.lists(
        st.fixed_dictionaries(
            {
                "code": st.integers(1, 16),
                "u": st.floats(0, 1, exclude_max=True),
                "remaining": st.floats(0, 100),
                "committed": st.booleans(),
                "unsent": st.booleans(),
                "timed_out": st.booleans(),
                "pushback": st.none() | st.text(max_size=4) | st.integers(-10, 10).map(str),
            }
        ),
        min_size=6,
        max_size=6,
    ),
)
def test_no_history_leads_to_more_attempts_than_allowed_or_past_the_deadline(
    most: int, history: list[dict[str, Any]]
) -> None:
    retry = Retry(RetryRules(max_attempts=most))
    for step in history:
        decision = retry.failed(step.pop("code"), **step)
        assert (decision.delay is None) is (decision.stop is not None)
        if decision.delay is None:
            break
        assert retry.attempts < most
        assert decision.delay < step["remaining"]
    else:
        pytest.fail("it never stopped")
