"""The token bucket."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.tokens import TokenBucket


def test_it_starts_full_and_refuses_when_empty() -> None:
    bucket = TokenBucket(1, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_tokens_come_back_at_the_rate_and_not_beyond_the_burst() -> None:
    bucket = TokenBucket(2, 3, 0.0)
    assert bucket.take(0.0, 3)
    assert bucket.available(0.5) == 1
    assert bucket.available(60.0) == 3


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(1, 3, 0.0)
    assert not bucket.take(0.0, 4)
    assert bucket.available(0.0) == 3


def test_it_says_how_long_to_wait() -> None:
    bucket = TokenBucket(4, 2, 0.0)
    assert bucket.wait(0.0, 2) == 0
    bucket.take(0.0, 2)
    assert bucket.wait(0.0) == 0.25
    assert bucket.wait(0.0, 3) == math.inf
    assert TokenBucket(0, 1, 0.0).wait(0.0) == 0
    empty = TokenBucket(0, 1, 0.0)
    empty.take(0.0)
    assert empty.wait(0.0) == math.inf


def test_what_is_given_back_can_be_taken_again() -> None:
    bucket = TokenBucket(0, 1, 0.0)
    bucket.take(0.0)
    bucket.give_back(0.0)
    bucket.give_back(0.0)
    assert [bucket.take(9.0), bucket.take(9.0)] == [True, False]


def test_an_instant_of_the_past_counts_as_the_latest_seen() -> None:
    bucket = TokenBucket(1, 1, 10.0)
    bucket.take(10.0)
    assert bucket.available(5.0) == 0
    assert bucket.available(10.5) == 0.5


@pytest.mark.parametrize(
    ("rate", "burst", "word"), [(-1, 1, "rate"), (math.inf, 1, "rate"), (1, 0, "burst"), (1, math.nan, "burst")]
)
def test_impossible_values_are_refused(rate: float, burst: float, word: str) -> None:
    with pytest.raises(ValueError, match=f"{word} must be"):
        TokenBucket(rate, burst, 0.0)


@given(
    st.floats(0.1, 100),
    st.floats(1, 50),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=60),
)
def test_no_stretch_of_time_gives_more_than_its_rate_and_one_burst(
    rate: float, burst: float, history: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    now, taken = 0.0, [(0.0, 0.0)]
    for pause, tokens in history:
        now += pause
        wait = bucket.wait(now, tokens)
        if bucket.take(now, tokens):
            assert wait == 0
            taken.append((now, tokens))
        else:
            assert wait > 0
    for first in range(len(taken)):
        since = taken[first][0]
        assert sum(tokens for _, tokens in taken[first:]) <= burst + rate * (now - since) + 1e-3
