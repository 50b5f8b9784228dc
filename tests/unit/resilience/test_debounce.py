"""What is told of changes, and when."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.debounce import Debounce, DebounceRules, Settled

RULES = DebounceRules(quiet=1.0, longest=5.0)


def test_a_change_is_told_when_it_has_lasted() -> None:
    one: Debounce[str] = Debounce(RULES)
    one.begin("port", "A")
    one.note("port", "B", 10.0)
    assert one.due == 11.0
    assert one.take(10.9) == []
    assert one.take(11.0) == [Settled("port", "A", "B")]
    assert one.take(20.0) == []
    assert one.due == math.inf


def test_what_went_back_has_not_changed() -> None:
    one: Debounce[str] = Debounce(RULES)
    one.note("port", "A", 0.0)
    one.note("port", "B", 10.0)
    one.note("port", "A", 10.5)
    assert one.due == math.inf
    assert one.take(100.0) == []


def test_of_several_changes_the_last_is_told_with_where_they_began() -> None:
    one: Debounce[str] = Debounce(RULES)
    one.begin("port", "A")
    one.note("port", "B", 0.0)
    one.note("port", "C", 0.9)
    assert one.take(1.5) == []
    assert one.take(1.9) == [Settled("port", "A", "C")]


def test_the_same_value_again_does_not_put_it_off() -> None:
    one: Debounce[str] = Debounce(RULES)
    one.begin("port", "A")
    one.note("port", "B", 0.0)
    one.note("port", "B", 0.9)
    assert one.take(1.0) == [Settled("port", "A", "B")]


def test_what_never_settles_is_told_of_now_and_then() -> None:
    one: Debounce[int] = Debounce(RULES)
    one.begin("port", 0)
    told = []
    for step in range(1, 121):
        now = step / 10
        one.note("port", step, now)
        told += [(now, change.old, change.new) for change in one.take(now)]
    assert told == [(5.1, 0, 51), (10.2, 51, 102)]


def test_keys_know_nothing_of_each_other_and_one_that_is_forgotten_is_told_of_no_more() -> None:
    one: Debounce[str] = Debounce(RULES)
    for key in "abc":
        one.begin(key, "A")
    one.note("b", "B", 0.0)
    one.note("a", "B", 0.5)
    one.note("c", "B", 0.5)
    one.forget("c")
    assert one.take(1.0) == [Settled("b", "A", "B")]
    assert one.take(9.0) == [Settled("a", "A", "B")]
    one.note("c", "C", 10.0)
    assert one.take(99.0) == []


def test_without_a_quiet_time_all_is_told_at_once() -> None:
    one: Debounce[str] = Debounce(DebounceRules(quiet=0.0))
    one.begin("port", "A")
    one.note("port", "B", 3.0)
    assert one.take(3.0) == [Settled("port", "A", "B")]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.floats(0, 3)), max_size=60))
def test_what_is_told_is_a_chain_of_changes_that_ends_with_the_last_value(
    notes: list[tuple[str, int, float]],
) -> None:
    one: Debounce[int] = Debounce(RULES)
    now, last = 0.0, {"a": 0, "b": 0}
    told = {"a": 0, "b": 0}
    for key in "ab":
        one.begin(key, 0)
    for key, value, gap in [*notes, ("a", -1, 0.0), ("b", -1, 0.0)]:
        now += gap
        one.note(key, value, now)
        last[key] = value
        for change in one.take(now):
            assert change.old == told[str(change.key)] != change.new
            told[str(change.key)] = change.new
    for change in one.take(now + RULES.longest):
        assert change.old == told[str(change.key)] != change.new
        told[str(change.key)] = change.new
    assert told == last
    assert one.due == math.inf


@pytest.mark.parametrize(("quiet", "longest"), [(-1.0, 5.0), (2.0, 1.0), (1.0, math.inf)])
def test_impossible_times_are_refused(quiet: float, longest: float) -> None:
    with pytest.raises(ValueError, match="quiet"):
        DebounceRules(quiet=quiet, longest=longest)
