"""Who waits: first by what matters, then by arrival."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.admission_queue import Lines
from kit.resilience.priority import Priority

CRITICAL, DEFAULT, SHEDDABLE = Priority.CRITICAL, Priority.DEFAULT, Priority.SHEDDABLE


@dataclass(frozen=True, eq=False)
class Item:
    priority: Priority
    cost: float = 1.0


def lines(*items: Item) -> Lines[Item]:
    made: Lines[Item] = Lines()
    for item in items:
        made.add(item)
    return made


def test_who_matters_more_is_first_whoever_came_before() -> None:
    late = Item(CRITICAL)
    assert lines(Item(SHEDDABLE), Item(DEFAULT), late).first() is late


def test_of_equals_the_one_that_came_first_is_first() -> None:
    early = Item(DEFAULT)
    assert lines(early, Item(DEFAULT)).first() is early


def test_nobody_is_first_of_nobody() -> None:
    assert lines().first() is None


def test_room_is_made_by_the_latest_of_those_that_matter_least() -> None:
    latest = Item(SHEDDABLE)
    assert lines(Item(SHEDDABLE), latest, Item(DEFAULT)).last_below(CRITICAL) is latest


def test_nobody_makes_room_for_an_equal() -> None:
    assert lines(Item(DEFAULT), Item(CRITICAL)).last_below(DEFAULT) is None


def test_the_cost_before_a_place_is_that_of_all_who_matter_as_much_or_more() -> None:
    made = lines(Item(CRITICAL, 1.0), Item(DEFAULT, 2.0), Item(SHEDDABLE, 4.0))
    assert [made.cost(priority) for priority in Priority] == [1.0, 3.0, 7.0]
    assert [made.length(priority) for priority in Priority] == [1, 2, 3]


@given(st.lists(st.tuples(st.sampled_from(list(Priority)), st.floats(0, 1e6)), max_size=30), st.randoms())
def test_lines_that_have_emptied_cost_exactly_nothing(kinds: list[tuple[Priority, float]], dice: object) -> None:
    items = [Item(*kind) for kind in kinds]
    made = lines(*items)
    dice.shuffle(items)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    for item in items:
        made.remove(item)
    assert made.count == 0
    assert made.cost(SHEDDABLE) == 0.0
    assert list(made) == []
