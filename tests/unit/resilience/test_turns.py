"""Whose turn it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.turns import Turns


def test_equals_take_turns_in_the_order_of_arrival() -> None:
    turns: Turns[str] = Turns()
    for name in "abc":
        turns.add(name, 0.5)
    taken = ""
    for _ in range(6):
        first = turns.first()
        assert first is not None
        turns.took(first, 1.0)
        taken += first
    assert taken == "abcabc"


def test_looking_changes_nothing() -> None:
    turns: Turns[str] = Turns()
    turns.add("a", 1.0)
    turns.add("b", 2.0)
    assert [turns.first(), turns.first("a"), turns.first("ab"), turns.first()] == ["a", "b", None, "a"]


def test_the_heap_does_not_grow_with_what_has_gone() -> None:
    turns: Turns[int] = Turns()
    turns.add(0, 1.0)
    for number in range(1, 1000):
        turns.add(number, number)
        turns.remove(number)
    assert len(turns) == 1
    assert len(turns._heap) < 20


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 200))
def test_each_has_had_as_many_turns_as_its_weight_says_give_or_take_one(weights: list[int], count: int) -> None:
    turns: Turns[int] = Turns()
    taken = [0] * len(weights)
    for number, weight in enumerate(weights):
        turns.add(number, 0.5 / weight)
    for _ in range(count):
        first = turns.first()
        assert first is not None
        turns.took(first, 1 / weights[first])
        taken[first] += 1
    virtual = min((taken[number] + 0.5) / weight for number, weight in enumerate(weights))
    for number, weight in enumerate(weights):
        assert abs(taken[number] - virtual * weight) <= 1


@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove", "take"]), st.integers(0, 9), st.floats(0.1, 9)), max_size=99)
)
def test_it_always_gives_the_earliest(history: list[tuple[str, int, float]]) -> None:
    turns: Turns[int] = Turns()
    model: dict[int, float] = {}
    now = 0.0
    for what, item, after in history:
        if what == "add" and item not in model:
            turns.add(item, after)
            model[item] = now + after
        elif what == "remove" and item in model:
            turns.remove(item)
            del model[item]
        elif what == "take" and model:
            first = turns.first()
            assert first is not None
            assert model[first] == min(model.values())
            now = max(now, model[first])
            turns.took(first, after)
            model[first] = now + after
        assert len(turns) == len(model)
