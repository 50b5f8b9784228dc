"""Case 1 of the peers' suites: the retry throttle, with gRPC core's numbers [retry_throttled]."""

from __future__ import annotations

import math

from kit.resilience.backoff import Backoff, Jitter
from kit.resilience.retry import Retry, RetryRules
from kit.resilience.throttle import RetryThrottling, Throttle, ThrottleRules

ABORTED = 10


def attempts_of_a_failing_call(throttle: Throttle, max_attempts: int) -> int:
    """Makes one call of which every attempt ends with ABORTED, and counts the attempts."""
    rules = RetryRules(
        max_attempts=max_attempts, backoff=Backoff(jitter=Jitter.NONE), retryable=frozenset({ABORTED}), replay_safe=True
    )
    retry = Retry(rules)
    while True:
        allowed = throttle.attempt_ended(ABORTED, rules.retryable)
        decision = retry.failed(ABORTED, u=0.5, remaining=math.inf)
        if decision.delay is None or not allowed:
            return retry.attempts


def test_with_two_tokens_one_aborted_attempt_is_not_retried() -> None:
    throttle = Throttle(ThrottleRules.of(RetryThrottling(max_tokens=2, token_ratio=1.0)))
    assert attempts_of_a_failing_call(throttle, max_attempts=2) == 1


def test_with_ten_tokens_failing_calls_make_two_two_and_then_one_attempt() -> None:
    throttle = Throttle(ThrottleRules.of(RetryThrottling(max_tokens=10, token_ratio=0.1)))
    assert [attempts_of_a_failing_call(throttle, max_attempts=2) for _ in range(5)] == [2, 2, 1, 1, 1]


def test_after_an_outage_successes_of_first_attempts_open_it_again() -> None:
    throttle = Throttle(ThrottleRules.of(RetryThrottling(max_tokens=10, token_ratio=0.1)))
    for _ in range(20):
        attempts_of_a_failing_call(throttle, max_attempts=5)
    assert throttle.tokens == 0
    needed = 0
    while not throttle.may_retry:
        throttle.attempt_ended(0, frozenset({ABORTED}))
        needed += 1
    assert needed == 51


def test_in_a_lasting_outage_a_thousand_calls_make_hardly_more_than_a_thousand_attempts() -> None:
    throttle = Throttle(ThrottleRules())
    assert sum(attempts_of_a_failing_call(throttle, max_attempts=4) for _ in range(1000)) == 1003
