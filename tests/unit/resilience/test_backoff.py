"""Delays between attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.backoff import Backoff, Jitter, longest_delay, nth_delay

BACKOFF = {jitter: Backoff(initial=1.0, multiplier=2.0, maximum=10.0, jitter=jitter) for jitter in Jitter}


def test_delays_grow_geometrically_up_to_the_cap() -> None:
    assert [nth_delay(BACKOFF[Jitter.NONE], retry, 0.5) for retry in range(1, 7)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("jitter", "low", "high"),
    [
        (Jitter.NONE, 4.0, 4.0),
        (Jitter.FULL, 0.0, 4.0),
        (Jitter.EQUAL, 2.0, 4.0),
        (Jitter.PLUS_MINUS_20, 3.2, 4.8),
        (Jitter.PLUS_MINUS_25, 3.0, 5.0),
        (Jitter.ADDITIVE, 4.0, 6.0),
    ],
)
def test_each_jitter_spreads_over_its_own_range(jitter: Jitter, low: float, high: float) -> None:
    assert nth_delay(BACKOFF[jitter], 3, 0.0) == pytest.approx(low)
    assert nth_delay(BACKOFF[jitter], 3, 1.0) == pytest.approx(high)
    assert longest_delay(BACKOFF[jitter], 3) == pytest.approx(high)


def test_plus_minus_is_applied_after_the_cap_and_additive_before_it() -> None:
    assert nth_delay(BACKOFF[Jitter.PLUS_MINUS_25], 9, 1.0) == pytest.approx(12.5)
    assert nth_delay(BACKOFF[Jitter.ADDITIVE], 9, 1.0) == pytest.approx(10.0)


def test_a_retry_number_that_overflows_gives_the_cap() -> None:
    assert nth_delay(BACKOFF[Jitter.NONE], 5000, 0.0) == 10.0


def test_an_initial_backoff_of_zero_is_a_value() -> None:
    assert nth_delay(Backoff(initial=0.0), 1, 0.9) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": -1.0},
        {"initial": float("inf")},
        {"maximum": -1.0},
        {"multiplier": 0.9},
        {"multiplier": float("nan")},
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Backoff(**wrong)  # type: ignore[arg-type]


@given(
    st.sampled_from(Jitter), st.floats(0, 100), st.floats(1, 5), st.floats(0, 100), st.integers(1, 50), st.floats(0, 1)
)
def test_a_delay_is_never_negative_and_never_beyond_a_quarter_over_the_cap(
    jitter: Jitter, initial: float, multiplier: float, maximum: float, retry: int, u: float
) -> None:
    backoff = Backoff(initial=initial, multiplier=multiplier, maximum=maximum, jitter=jitter)
    assert 0 <= nth_delay(backoff, retry, u) <= maximum * 1.25 + 1e-9
