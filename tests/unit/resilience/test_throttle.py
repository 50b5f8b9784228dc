"""The retry throttle of gRFC A6."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.throttle import RetryThrottling, Throttle, ThrottleRules

OK, UNAVAILABLE, INVALID = 0, 14, 3
RETRYABLE = frozenset({UNAVAILABLE})


def throttle(max_tokens: float = 10, token_ratio: float = 0.1) -> Throttle:
    return Throttle(ThrottleRules.of(RetryThrottling(max_tokens=max_tokens, token_ratio=token_ratio)))


def test_it_starts_full_and_allows_retries() -> None:
    assert throttle().tokens == 10
    assert throttle().may_retry


def test_exactly_half_is_not_enough() -> None:
    tokens = throttle(2)
    assert not tokens.attempt_ended(UNAVAILABLE, RETRYABLE)
    assert tokens.tokens == 1
    odd = throttle(3)
    assert odd.attempt_ended(UNAVAILABLE, RETRYABLE)
    assert not odd.attempt_ended(UNAVAILABLE, RETRYABLE)


def test_a_success_adds_the_ratio_up_to_the_maximum() -> None:
    tokens = throttle(10, 0.3)
    tokens.attempt_ended(OK, RETRYABLE)
    assert tokens.tokens == 10
    tokens.attempt_ended(UNAVAILABLE, RETRYABLE)
    tokens.attempt_ended(OK, RETRYABLE)
    assert tokens.tokens == 9.3


def test_a_callers_own_fault_takes_nothing() -> None:
    tokens = throttle()
    assert tokens.attempt_ended(INVALID, RETRYABLE)
    assert tokens.tokens == 10


def test_pushback_against_retries_takes_one_whatever_the_code() -> None:
    tokens = throttle()
    tokens.attempt_ended(INVALID, RETRYABLE, pushback="-1")
    tokens.attempt_ended(INVALID, RETRYABLE, pushback=b"soon")
    tokens.attempt_ended(INVALID, RETRYABLE, pushback="20")
    assert tokens.tokens == 8


def test_a_transparent_retry_does_not_count() -> None:
    tokens = throttle()
    tokens.attempt_ended(UNAVAILABLE, RETRYABLE, unsent=True)
    assert tokens.tokens == 10


def test_new_rules_keep_the_share_that_is_left() -> None:
    tokens = throttle(10)
    for _ in range(4):
        tokens.attempt_ended(UNAVAILABLE, RETRYABLE)
    tokens.reconfigure(ThrottleRules(max_tokens=100_000, token_ratio=1000))
    assert tokens.tokens == 60
    tokens.attempt_ended(OK, RETRYABLE)
    assert tokens.tokens == 61


@pytest.mark.parametrize(("ratio", "thousandths"), [(0.1, 100), (0.29, 290), (0.5466, 546), (0.001, 1), (1, 1000)])
def test_the_ratio_has_three_places_and_the_rest_is_cut_off(ratio: float, thousandths: int) -> None:
    assert ThrottleRules.of(RetryThrottling(token_ratio=ratio)).token_ratio == thousandths


def test_what_is_left_open_is_gRPCs_example() -> None:
    assert ThrottleRules.of(RetryThrottling()) == ThrottleRules(max_tokens=10_000, token_ratio=100)


@pytest.mark.parametrize("most", [0, -1, 1000.5, float("nan"), 0.0001])
def test_impossible_tokens_are_refused(most: float) -> None:
    with pytest.raises(ValueError, match="max_tokens must be more than 0 and at most 1000"):
        RetryThrottling(max_tokens=most)


@pytest.mark.parametrize("ratio", [0, -0.1, 0.0009, float("nan"), float("inf")])
def test_impossible_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"token_ratio must be a number of at least 0\.001"):
        RetryThrottling(token_ratio=ratio)


@given(
    st.integers(1, 1_000_000),
    st.integers(1, 2000),
    st.lists(st.tuples(st.sampled_from([OK, UNAVAILABLE, INVALID]), st.sampled_from([None, "-1", "5"]), st.booleans())),
)
def test_any_history_gives_what_exact_fractions_give(
    most: int, ratio: int, history: list[tuple[int, str | None, bool]]
) -> None:
    tokens = Throttle(ThrottleRules(max_tokens=most, token_ratio=ratio))
    full = model = Fraction(most, 1000)
    for code, pushback, unsent in history:
        allowed = tokens.attempt_ended(code, RETRYABLE, pushback=pushback, unsent=unsent)
        if not unsent and code == OK:
            model = min(full, model + Fraction(ratio, 1000))
        elif not unsent and (code == UNAVAILABLE or pushback == "-1"):
            model = max(Fraction(0), model - 1)
        assert allowed is tokens.may_retry is (model > full / 2)
        assert tokens.tokens == float(model)
