"""Sliding windows against the slow way of counting."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.windows import BUCKETS, NO_RATE, CountWindow, TimeWindow, Window

OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)


def sums(window: Window) -> tuple[int, int, int]:
    return window.calls, window.failures, window.slow


@given(st.integers(1, 12), OUTCOMES)
def test_a_count_window_holds_exactly_the_last_outcomes(size: int, outcomes: list[tuple[bool, bool]]) -> None:
    window, last = CountWindow(size, 1), deque[tuple[bool, bool]](maxlen=size)
    for failed, slow in outcomes:
        window.record(0.0, failed=failed, slow=slow)
        last.append((failed, slow))
        assert sums(window) == (len(last), sum(failed for failed, _ in last), sum(slow for _, slow in last))


@given(st.lists(st.tuples(st.integers(0, 35), st.booleans(), st.booleans()), max_size=60))
def test_a_time_window_holds_exactly_the_newest_ten_slices(steps: list[tuple[int, bool, bool]]) -> None:
    window, now = TimeWindow(10.0, 1), 0
    seen: list[tuple[int, bool, bool]] = []
    for passed, failed, slow in steps:
        now += passed
        window.record(float(now), failed=failed, slow=slow)
        seen.append((now, failed, slow))
        held = [(failed, slow) for at, failed, slow in seen if at > now - BUCKETS]
        assert sums(window) == (len(held), sum(failed for failed, _ in held), sum(slow for _, slow in held))


@given(st.floats(0, 1e6), st.floats(0.5, 3600))
def test_an_outcome_counts_for_nine_tenths_of_a_time_window_and_not_longer_than_all_of_it(
    start: float, seconds: float
) -> None:
    window = TimeWindow(seconds, 1)
    window.record(start, failed=True, slow=False)
    window.refresh(start + seconds * 0.899)
    assert window.failures == 1
    window.refresh(start + seconds * 1.001)
    assert sums(window) == (0, 0, 0)


def test_a_time_window_empties_by_time_alone_and_starts_over() -> None:
    window = TimeWindow(10.0, 2)
    window.record(100.0, failed=True, slow=True)
    window.record(100.5, failed=True, slow=False)
    assert window.failure_rate == 1.0
    window.refresh(1e9)
    assert sums(window) == (0, 0, 0)
    assert window.failure_rate == NO_RATE
    window.record(1e9, failed=False, slow=False)
    assert sums(window) == (1, 0, 0)


def test_an_instant_before_the_newest_counts_as_the_newest() -> None:
    window = TimeWindow(10.0, 1)
    window.record(100.0, failed=False, slow=False)
    window.record(93.0, failed=True, slow=False)
    window.refresh(108.0)
    assert sums(window) == (2, 1, 0)


@pytest.mark.parametrize("window", [CountWindow(10, 5), TimeWindow(10.0, 5)])
def test_a_rate_is_minus_one_before_the_minimum(window: Window) -> None:
    for _ in range(4):
        window.record(0.0, failed=True, slow=True)
        assert (window.failure_rate, window.slow_rate) == (-1.0, -1.0)
    window.record(0.0, failed=False, slow=False)
    assert (window.failure_rate, window.slow_rate) == (0.8, 0.8)
    window.clear()
    assert sums(window) == (0, 0, 0)
    assert window.failure_rate == -1.0


def test_a_share_is_exactly_the_number_that_a_person_writes() -> None:
    for failures in range(101):
        window = CountWindow(100, 1)
        for number in range(100):
            window.record(0.0, failed=number < failures, slow=False)
        assert window.failure_rate == float(f"{failures / 100:.2f}")


def test_a_cleared_count_window_forgets_what_its_ring_still_holds() -> None:
    window = CountWindow(3, 1)
    for _ in range(5):
        window.record(0.0, failed=True, slow=True)
    window.clear()
    for calls in (1, 2, 3, 3):
        window.record(0.0, failed=False, slow=False)
        assert sums(window) == (calls, 0, 0)
