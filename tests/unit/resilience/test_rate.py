"""Calls per second of one method."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.rate import RateLimit


def test_a_seconds_worth_is_taken_at_once_and_no_more() -> None:
    limit = RateLimit(5.0, 0.0)
    assert [limit.take(0.0) for _ in range(5)] == [0.0] * 5
    assert limit.take(0.0) > 0
    assert limit.refused == 1


def test_a_rate_below_one_takes_one_call_at_a_time() -> None:
    limit = RateLimit(0.5, 0.0)
    assert limit.take(0.0) == 0.0
    assert limit.take(0.0) == pytest.approx(2.0)
    assert limit.take(2.0) == 0.0


def test_those_who_are_refused_are_told_to_come_back_one_after_the_other() -> None:
    limit = RateLimit(10.0, 0.0)
    for _ in range(10):
        limit.take(0.0)
    told = [limit.take(0.0) for _ in range(5)]
    assert told == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_who_comes_when_told_to_is_taken() -> None:
    limit = RateLimit(10.0, 0.0)
    for _ in range(10):
        limit.take(0.0)
    told = sorted(limit.take(0.0) for _ in range(20))
    assert [limit.take(when) for when in told] == [0.0] * 20


def test_nobody_is_sent_away_for_longer_than_half_a_minute() -> None:
    limit = RateLimit(1.0, 0.0)
    assert max(limit.take(0.0) for _ in range(1000)) <= 30.0


def test_how_much_of_a_seconds_worth_is_taken_can_be_read() -> None:
    limit = RateLimit(4.0, 0.0)
    assert limit.used(0.0) == 0.0
    limit.take(0.0)
    assert limit.used(0.0) == pytest.approx(1.0)
    assert limit.used(0.125) == pytest.approx(0.5)


@given(st.lists(st.floats(0, 0.4), max_size=80), st.floats(0.5, 50.0))
def test_in_any_stretch_no_more_than_the_burst_and_the_rate_are_taken(pauses: list[float], rate: float) -> None:
    limit, now, taken = RateLimit(rate, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        wait = limit.take(now)
        assert 0 <= wait < math.inf
        taken += wait == 0.0
    assert taken <= max(1.0, rate) + rate * now + 1e-3


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_a_rate_that_lets_nobody_in_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="per_second must be more than 0"):
        RateLimit(rate, 0.0)
