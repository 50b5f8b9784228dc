"""The quantile of recent latencies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.quantile import LatencyQuantile


def test_too_few_latencies_give_no_answer() -> None:
    seen = LatencyQuantile(0.95)
    assert seen.value(0.0) is None
    for _ in range(19):
        seen.add(0.0, 0.1)
    assert seen.value(0.0) is None
    seen.add(0.0, 0.1)
    assert seen.value(0.0) == pytest.approx(0.1, rel=0.05)


def test_a_long_silence_takes_the_answer_away() -> None:
    seen = LatencyQuantile(0.5, half_life=10)
    for _ in range(30):
        seen.add(0.0, 0.1)
    assert seen.value(5.0) is not None
    assert seen.value(10.0) is None
    assert seen.value(1e9) is None


def test_it_follows_a_change_within_a_few_half_lives() -> None:
    seen = LatencyQuantile(0.5, half_life=10)
    for step in range(1000):
        seen.add(step / 10, 0.010)
    for step in range(300):
        seen.add(100 + step / 10, 0.100)
    assert seen.value(130.0) == pytest.approx(0.100, rel=0.05)


def test_years_of_use_overflow_nothing() -> None:
    seen = LatencyQuantile(0.4, half_life=1)
    for day in range(0, 2000, 7):
        for _ in range(40):
            seen.add(day * 86400.0, 0.02)
            seen.add(day * 86400.0, 0.09)
        assert seen.value(day * 86400.0) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("latency", "bound"), [(-1.0, 1e-4), (0.0, 1e-4), (1e6, 100.0), (math.inf, 100.0)])
def test_what_is_out_of_bounds_counts_as_the_bound(latency: float, bound: float) -> None:
    seen = LatencyQuantile(0.5, enough=1)
    seen.add(0.0, latency)
    assert seen.value(0.0) == pytest.approx(bound, rel=0.06)


@pytest.mark.parametrize("quantile", [0, 1, -0.1, math.nan])
def test_impossible_quantiles_are_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="delay_quantile must lie between 0 and 1"):
        LatencyQuantile(quantile)


def test_an_impossible_half_life_is_refused() -> None:
    with pytest.raises(ValueError, match="half_life"):
        LatencyQuantile(0.5, half_life=0)


@given(st.lists(st.floats(2e-4, 90), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_the_estimate_is_within_five_percent_of_the_exact_quantile(latencies: list[float], quantile: float) -> None:
    seen = LatencyQuantile(quantile, enough=1)
    for latency in latencies:
        seen.add(7.0, latency)
    estimate = seen.value(7.0)
    # Where the wanted rank is whole, rounding may take the neighbour: both are right.
    rank = quantile * len(latencies)
    ordered = sorted(latencies)
    low = ordered[max(0, math.ceil(rank - 1e-9) - 1)]
    high = ordered[min(len(ordered) - 1, math.floor(rank + 1e-9))]
    assert estimate is not None
    assert low * 0.95 <= estimate <= high * 1.05
