"""Idempotency keys: what a client makes of what is declared, and what is a key."""

from __future__ import annotations

import math

import pytest

from kit.resilience.idempotency import IdempotencyKeyMode, IdempotencyKeyPolicy, IdempotencyKeyRules, fault_of

NONE, OPTIONAL, REQUIRED = IdempotencyKeyMode


@pytest.mark.parametrize(
    ("mode", "sent_again", "makes_keys"),
    [(OPTIONAL, False, False), (OPTIONAL, True, True), (REQUIRED, False, True), (REQUIRED, True, True)],
)
def test_an_optional_key_is_made_only_where_the_call_may_be_sent_again(
    mode: IdempotencyKeyMode, sent_again: bool, makes_keys: bool
) -> None:
    policy = IdempotencyKeyPolicy(mode=mode)
    rules = IdempotencyKeyRules.of(policy, sent_again=sent_again, safe_by_itself=False)
    assert rules == IdempotencyKeyRules(makes_keys=makes_keys)


@pytest.mark.parametrize("mode", [None, NONE])
def test_without_a_mode_and_with_none_there_are_no_rules(mode: IdempotencyKeyMode | None) -> None:
    policy = IdempotencyKeyPolicy(mode=mode, ttl=5.0)
    assert IdempotencyKeyRules.of(policy, sent_again=True, safe_by_itself=False) is None


@pytest.mark.parametrize(
    ("sent_again", "safe_by_itself", "within"),
    [(True, False, 5.0), (True, True, math.inf), (False, False, math.inf), (False, True, math.inf)],
)
def test_a_ttl_bounds_the_call_only_where_nothing_but_the_key_makes_another_attempt_safe(
    sent_again: bool, safe_by_itself: bool, within: float
) -> None:
    policy = IdempotencyKeyPolicy(mode=REQUIRED, ttl=5.0)
    rules = IdempotencyKeyRules.of(policy, sent_again=sent_again, safe_by_itself=safe_by_itself)
    assert rules is not None
    assert rules.within == within


@pytest.mark.parametrize("ttl", [0.0, -1.0, math.inf, math.nan])
def test_a_ttl_that_is_no_time_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match=r"^ttl must be"):
        IdempotencyKeyPolicy(ttl=ttl)


@pytest.mark.parametrize("key", ["a", "~", "!", "k" * 255, "5b9a7f5e-1d0b-4a55-9f0c-2f1f3c4d5e6f", b"bytes-too"])
def test_visible_ascii_is_a_key(key: str | bytes) -> None:
    assert fault_of([key]) is None


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ([], "one is wanted, not 0"),
        (["a", "b"], "one is wanted, not 2"),
        ([""], "1 to 255 characters, not 0"),
        (["k" * 256], "1 to 255 characters, not 256"),
        (["two words"], "visible ASCII"),
        (["tab\t"], "visible ASCII"),
        (["café"], "visible ASCII"),
        (["\x7f"], "visible ASCII"),
        ([b"\xff"], "visible ASCII"),
    ],
)
def test_anything_else_is_refused_in_words(keys: list[str | bytes], fault: str) -> None:
    assert fault in (fault_of(keys) or "")
