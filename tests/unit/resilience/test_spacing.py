"""One change at once, then at most one in each span."""

from __future__ import annotations

import math

import pytest

from kit.resilience.spacing import Spacing


def test_the_first_state_is_told_at_once_and_the_next_one_at_the_end_of_the_span() -> None:
    spacing: Spacing[str] = Spacing(1.0)
    assert spacing.offer("a", "down", "first", 10.0)
    assert not spacing.offer("a", "up", "second", 10.4)
    assert spacing.next_due == 11.0
    assert spacing.due(10.9) == []
    assert spacing.due(11.0) == ["second"]
    assert spacing.next_due == 12.0
    assert spacing.due(12.0) == []
    assert spacing.next_due is None


def test_what_went_back_within_the_span_is_not_told() -> None:
    spacing: Spacing[str] = Spacing(1.0)
    assert spacing.offer("a", "down", "1", 0.0)
    assert not spacing.offer("a", "up", "2", 0.1)
    assert not spacing.offer("a", "down", "3", 0.2)
    assert spacing.due(1.0) == []
    assert spacing.offer("a", "down", "4", 1.1), "the key was forgotten"


def test_a_key_that_goes_to_and_fro_for_long_is_told_once_a_span_and_ends_as_it_is() -> None:
    spacing: Spacing[bool] = Spacing(1.0)
    told = []
    for tenth in range(101):
        now, up = tenth / 10, tenth % 2 == 0
        told += spacing.due(now)
        if spacing.offer("a", up, up, now):
            told.append(up)
    told += spacing.due(100.0)
    assert len(told) <= 11
    assert told[-1] is True


def test_keys_do_not_hear_of_each_other() -> None:
    spacing: Spacing[str] = Spacing(1.0)
    assert spacing.offer("a", 1, "a", 0.0)
    assert spacing.offer("b", 1, "b", 0.5)
    assert not spacing.offer("b", 2, "c", 0.6)
    assert spacing.due(1.2) == []
    assert spacing.due(1.5) == ["c"]


def test_a_span_of_nothing_tells_all_and_keeps_nothing() -> None:
    spacing: Spacing[str] = Spacing(0.0)
    assert spacing.offer("a", 1, "a", 0.0)
    assert spacing.offer("a", 1, "a", 0.0)
    assert spacing.due(0.0) == []
    assert spacing.next_due is None


@pytest.mark.parametrize("span", [-1.0, math.inf, math.nan])
def test_a_span_that_is_no_time_is_refused(span: float) -> None:
    with pytest.raises(ValueError, match="span"):
        Spacing(span)
