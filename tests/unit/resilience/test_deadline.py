"""Deadline arithmetic."""

from __future__ import annotations

import math

from kit.resilience.deadline import attempt_timeout, call_expiry


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
