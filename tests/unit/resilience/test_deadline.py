"""Deadline arithmetic."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.deadline import attempt_timeout, call_expiry, handed_on


def test_the_earliest_of_what_is_inherited_named_and_allowed_wins() -> None:
    assert call_expiry(100.0, math.inf, math.inf, None) == math.inf
    assert call_expiry(100.0, math.inf, 5.0, None) == 105.0
    assert call_expiry(100.0, math.inf, 5.0, 2.0) == 102.0
    assert call_expiry(100.0, math.inf, 5.0, 9.0) == 105.0
    assert call_expiry(100.0, 101.0, 5.0, 2.0) == 101.0


def test_a_timeout_of_zero_is_a_value() -> None:
    assert call_expiry(100.0, math.inf, math.inf, 0.0) == 100.0


def test_an_attempt_gets_its_own_time_but_no_more_than_is_left() -> None:
    assert attempt_timeout(100.0, math.inf, 5.0) == 5.0
    assert attempt_timeout(100.0, 103.0, 5.0) == 3.0
    assert attempt_timeout(100.0, 110.0, 5.0) == 5.0
    assert attempt_timeout(100.0, math.inf, math.inf) == math.inf
    assert attempt_timeout(100.0, 99.0, 5.0) == 0.0


def up(value: int, step: int) -> int:
    return -(-value // step) * step


def encoded(milliseconds: int) -> int:
    """What grpc core makes of a timeout, in milliseconds (`Timeout::FromMillis` and what it calls)."""
    if milliseconds < 1000:
        return max(0, milliseconds)
    for below, step in ((10_000, 10), (100_000, 100)):
        if milliseconds < below:
            return up(milliseconds, step)
    seconds = up(milliseconds, 1000) // 1000
    for below, step in ((1000, 1), (10_000, 10), (100_000, 100)):
        if seconds < below:
            return up(seconds, step) * 1000
    minutes = up(seconds, 60) // 60
    for below, step in ((1000, 1), (10_000, 10), (100_000, 100)):
        if minutes < below:
            return up(minutes, step) * 60_000
    return min(up(minutes, 60) // 60, 27_000) * 3_600_000


def most_that_arrives(timeout: float) -> float:
    """Seconds: rounded up to a millisecond, counted from a clock that is up to two behind, and encoded; or what was
    sent before, up to 3 % more."""
    return encoded(math.ceil(timeout * 1000) + 2) / 1000 / 0.97


def test_grpcs_rule_is_known_by_what_was_seen_on_the_wire() -> None:
    asked = {486: 486, 2000: 2000, 2001: 2010, 9960: 9960, 10_001: 10_100, 99_990: 100_000, 1_199_000: 1_200_000}
    assert {milliseconds: encoded(milliseconds) for milliseconds in asked} == asked
    assert encoded(5_000_500) == 5_010_000
    assert encoded(3_601_000) == 3_610_000


@given(st.floats(min_value=0.0, max_value=30 * 86_400.0))
def test_what_is_handed_on_never_arrives_as_more_than_the_caller_has_left(remaining: float) -> None:
    timeout = handed_on(remaining)
    assert timeout < remaining
    if timeout > 0:
        assert most_that_arrives(timeout) <= remaining


@given(st.floats(min_value=0.01, max_value=86_400.0), st.floats(min_value=0.0, max_value=1.0))
def test_what_was_kept_at_the_start_holds_for_later_attempts(remaining: float, share: float) -> None:
    expires_at = call_expiry(0.0, remaining, math.inf, None, remaining)
    later = max(0.0, expires_at) * share
    left = attempt_timeout(later, expires_at, math.inf)
    if left > 0:
        assert most_that_arrives(left) <= remaining - later


def test_of_the_served_calls_time_a_little_is_kept_and_of_nothing_else() -> None:
    assert call_expiry(100.0, 110.0, 5.0, 2.0, 110.0) == 102.0
    assert call_expiry(100.0, 110.0, math.inf, None, 110.0) == 109.595
    assert call_expiry(100.0, 102.0, math.inf, None, 110.0) == 102.0
    assert call_expiry(100.0, 110.0, math.inf, None) == 110.0


def test_with_next_to_nothing_left_nothing_is_handed_on() -> None:
    assert call_expiry(100.0, 100.005, math.inf, None, 100.005) <= 100.0
