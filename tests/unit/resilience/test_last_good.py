"""The store of last good answers, and that its bounds hold whatever is done to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.last_good import MAX_BYTES, MAX_ENTRIES, LastGood


def test_the_last_answer_is_found_with_its_age() -> None:
    kept = LastGood[str]()
    kept.keep("a", "old", 10, now=100.0, keep_for=60.0)
    kept.keep("a", "new", 10, now=105.0, keep_for=60.0)
    assert kept.find("a", 117.5, 60.0) == ("new", 12.5)
    assert (len(kept), kept.size) == (1, 10)
    assert kept.find("b", 105.0, 60.0) is None


def test_an_answer_of_exactly_the_greatest_age_is_given_and_an_older_one_never() -> None:
    kept = LastGood[str]()
    kept.keep("a", "answer", 1, now=100.0, keep_for=60.0)
    assert kept.find("a", 160.0, 60.0) == ("answer", 60.0)
    assert kept.find("a", 160.5, 60.0) is None
    assert (len(kept), kept.size) == (0, 0)


def test_looking_makes_no_answer_younger() -> None:
    kept = LastGood[str](max_entries=2)
    kept.keep("a", "1", 1, now=0.0, keep_for=60.0)
    kept.keep("b", "2", 1, now=1.0, keep_for=60.0)
    kept.find("a", 2.0, 60.0)
    kept.keep("c", "3", 1, now=3.0, keep_for=60.0)
    assert kept.find("a", 3.0, 60.0) is None
    assert kept.find("b", 3.0, 60.0) == ("2", 2.0)


def test_the_answers_kept_longest_ago_make_room_for_new_ones() -> None:
    kept = LastGood[int](max_bytes=100)
    for number in range(5):
        kept.keep(number, number, 40, now=float(number), keep_for=60.0)
    assert [number for number in range(5) if kept.find(number, 5.0, 60.0)] == [3, 4]
    assert kept.size == 80


def test_an_answer_that_is_too_large_is_not_kept_and_neither_is_the_one_before_it() -> None:
    kept = LastGood[str](max_bytes=100)
    kept.keep("a", "small", 100, now=0.0, keep_for=60.0)
    kept.keep("a", "large", 101, now=1.0, keep_for=60.0)
    assert kept.find("a", 1.0, 60.0) is None
    assert (len(kept), kept.size) == (0, 0)


def test_what_has_aged_out_makes_room_when_something_is_kept() -> None:
    kept = LastGood[str]()
    kept.keep("a", "1", 1, now=0.0, keep_for=10.0)
    kept.keep("b", "2", 1, now=11.0, keep_for=10.0)
    assert len(kept) == 1


def test_what_was_dropped_is_not_found() -> None:
    kept = LastGood[str]()
    kept.keep("a", "1", 7, now=0.0, keep_for=10.0)
    kept.drop("a")
    kept.drop("never there")
    assert kept.find("a", 0.0, 10.0) is None
    assert kept.size == 0
    kept.keep("a", "1", 7, now=0.0, keep_for=10.0)
    kept.clear()
    assert (len(kept), kept.size) == (0, 0)


def test_the_stated_bounds_are_those_of_a_store() -> None:
    kept = LastGood[int]()
    for number in range(MAX_ENTRIES + 5):
        kept.keep(number, number, 1, now=0.0, keep_for=10.0)
    assert len(kept) == MAX_ENTRIES == 1000
    kept.keep("large", 0, MAX_BYTES, now=0.0, keep_for=10.0)
    assert (len(kept), kept.size) == (1, 16 * 2**20)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "find", "drop"]), st.integers(0, 8), st.integers(0, 60), st.floats(0, 20, width=16)
    )
)


@given(_STEPS)
def test_the_bounds_hold_and_the_size_is_that_of_what_is_kept_whatever_happens(
    steps: list[tuple[str, int, int, float]],
) -> None:
    kept = LastGood[tuple[int, int]](max_entries=4, max_bytes=100)
    last: dict[int, tuple[int, float]] = {}
    now = 0.0
    for number, (what, key, size, waited) in enumerate(steps):
        now += waited
        if what == "keep":
            kept.keep(key, (number, size), size, now, keep_for=30.0)
            last[key] = (number, now)
        elif what == "drop":
            kept.drop(key)
            last.pop(key, None)
        else:
            found = kept.find(key, now, max_age=30.0)
            if found is not None:
                (answer, _), age = found
                assert (answer, now - age) == (last[key][0], last[key][1])
                assert age <= 30.0
        assert len(kept) <= 4
        assert kept.size <= 100
    for key in range(9):
        kept.drop(key)
    assert (len(kept), kept.size) == (0, 0)
