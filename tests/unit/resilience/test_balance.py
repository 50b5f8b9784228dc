"""Which endpoint an attempt goes to."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from kit.resilience.balance import (
    BalanceKind,
    BalancePolicy,
    Balancer,
    BalanceRules,
    LeastLoaded,
    Pick,
    TakingTurns,
    balancer,
)

LEAST, ROBIN, WEIGHTED = BalanceKind.LEAST_LOADED, BalanceKind.ROUND_ROBIN, BalanceKind.WEIGHTED


def among(kind: BalanceKind, keys: str, *, slow_start: float = 0.0, now: float = 0.0, **weights: float) -> Balancer:
    found = balancer(BalanceRules(kind=kind, slow_start=slow_start))
    for key in keys:
        found.add(key, now, weight=weights.get(key, 1.0))
    return found


def picked(pick: Pick | None) -> Pick:
    assert pick is not None
    return pick


def order(found: Balancer, count: int, *, now: float = 0.0) -> str:
    """The keys of so many picks that end at once."""
    keys = ""
    for _ in range(count):
        pick = picked(found.pick(now, 0.0, 0.0))
        pick.released()
        keys += str(pick.key)
    return keys


def test_the_less_loaded_of_two_is_picked() -> None:
    found = among(LEAST, "ab")
    first = picked(found.pick(0.0, 0.0, 0.0))
    assert first.key == "a"
    assert picked(found.pick(0.0, 0.0, 0.0)).key == "b"
    first.released()
    assert picked(found.pick(0.0, 0.9, 0.0)).key == "a"


def test_of_two_draws_the_second_is_never_the_first() -> None:
    found = among(LEAST, "abc")
    for u1, u2, pair in [(0.0, 0.0, "ab"), (0.0, 0.9, "ac"), (0.5, 0.0, "ba"), (0.5, 0.9, "bc"), (0.9, 0.9, "cb")]:
        first, second = picked(found.pick(0.0, u1, u2)), picked(found.pick(0.0, u1, u2))
        assert f"{first.key}{second.key}" == pair
        first.released()
        second.released()


def test_two_choices_keep_the_load_nearly_even() -> None:
    chance = random.Random(7)
    found = among(LEAST, "abcdefghij")
    for _ in range(1000):
        found.pick(0.0, chance.random(), chance.random())
    loads = [found.in_flight(key) for key in "abcdefghij"]
    assert sum(loads) == 1000
    assert max(loads) - min(loads) <= 8


def test_a_stalled_endpoint_is_left_and_tried_again_later() -> None:
    found = among(LEAST, "ab")
    for _ in range(20):
        picked(found.pick(0.0, 0.0, 0.0, exclude="b")).success(0.010)
        picked(found.pick(0.0, 0.0, 0.0, exclude="a")).success(0.010)
    picked(found.pick(1.0, 0.0, 0.0, exclude="b")).success(3.0)
    assert [picked(found.pick(3.0, 0.0, 0.0)).key for _ in range(5)] == ["b"] * 5
    late = among(LEAST, "ab")
    picked(late.pick(0.0, 0.0, 0.0, exclude="a")).success(0.010)
    picked(late.pick(0.0, 0.0, 0.0, exclude="b")).success(3.0)
    assert {picked(late.pick(200.0, 0.0, 0.0)).key for _ in range(2)} == {"a", "b"}


def test_an_endpoint_that_has_not_answered_yet_counts_as_the_mean() -> None:
    found = among(LEAST, "abc")
    picked(found.pick(0.0, 0.0, 0.0, exclude="bc")).success(0.010)
    picked(found.pick(0.0, 0.0, 0.0, exclude="ac")).success(0.900)
    picked(found.pick(0.0, 0.0, 0.0, exclude="bc")).failure(0.020)
    assert picked(found.pick(1.0, 0.9, 0.0, exclude="b")).key == "a"
    assert picked(found.pick(1.0, 0.9, 0.0, exclude="a")).key == "c"


def test_failing_fast_does_not_make_an_endpoint_attractive() -> None:
    found = among(LEAST, "ab")
    picked(found.pick(0.0, 0.0, 0.0, exclude="a")).success(0.050)
    picked(found.pick(0.0, 0.0, 0.0, exclude="b")).success(0.050)
    for step in range(100):
        picked(found.pick(step, 0.0, 0.0, exclude="b")).failure(step + 0.0001)
    assert picked(found.pick(100.0, 0.9, 0.0)).key == "b"


def test_a_failure_before_anything_is_known_says_nothing() -> None:
    found = among(LEAST, "ab")
    picked(found.pick(0.0, 0.0, 0.0, exclude="b")).failure(0.0001)
    picked(found.pick(1.0, 0.0, 0.0, exclude="a")).success(1.050)
    assert picked(found.pick(2.0, 0.9, 0.0)).key == "b"


def test_a_slow_failure_counts_as_slow() -> None:
    found = among(LEAST, "ab")
    picked(found.pick(0.0, 0.0, 0.0, exclude="a")).success(0.050)
    picked(found.pick(0.0, 0.0, 0.0, exclude="b")).failure(5.0)
    assert picked(found.pick(5.0, 0.0, 0.0)).key == "b"


def test_round_robin_takes_each_in_turn() -> None:
    assert order(among(ROBIN, "abc"), 7) == "abcabca"


def test_weights_share_the_turns_exactly_and_evenly() -> None:
    keys = order(among(WEIGHTED, "abc", a=5.0), 70)
    assert Counter(keys) == {"a": 50, "b": 10, "c": 10}
    assert all(Counter(keys[start : start + 7])["a"] == 5 for start in range(0, 70, 7))
    assert "aaaaaaa" not in keys


def test_round_robin_does_not_look_at_weights() -> None:
    assert Counter(order(among(ROBIN, "ab", a=9.0), 10)) == {"a": 5, "b": 5}


def test_a_weight_can_be_changed() -> None:
    found = among(WEIGHTED, "ab")
    order(found, 4)
    found.add("a", 0.0, weight=3.0)
    assert Counter(order(found, 40)) == {"a": 30, "b": 10}


@pytest.mark.parametrize("kind", BalanceKind)
def test_a_further_attempt_goes_elsewhere(kind: BalanceKind) -> None:
    found = among(kind, "abc")
    for u in (0.0, 0.4, 0.99):
        assert picked(found.pick(0.0, u, u, avoid=["a", "b"])).key == "c"
        assert picked(found.pick(0.0, u, u, avoid=["a"], exclude={"b"})).key == "c"


@pytest.mark.parametrize("kind", BalanceKind)
def test_when_all_were_tried_any_but_the_last_is_tried_again(kind: BalanceKind) -> None:
    found = among(kind, "abc")
    assert {picked(found.pick(0.0, u, u, avoid=["a", "b", "c"])).key for u in (0.0, 0.4, 0.99)} <= {"a", "b"}


@pytest.mark.parametrize("kind", BalanceKind)
def test_the_only_endpoint_is_tried_again(kind: BalanceKind) -> None:
    assert picked(among(kind, "a").pick(0.0, 0.5, 0.5, avoid=["a"])).key == "a"
    assert picked(among(kind, "ab").pick(0.0, 0.5, 0.5, avoid=["a"], exclude="b")).key == "a"


@pytest.mark.parametrize("kind", BalanceKind)
def test_what_is_excluded_gone_or_not_ready_is_never_picked(kind: BalanceKind) -> None:
    found = among(kind, "abc")
    found.set_ready("a", 0.0, ready=False)
    found.remove("b")
    assert picked(found.pick(0.0, 0.0, 0.0)).key == "c"
    assert found.pick(0.0, 0.0, 0.0, exclude=["c"]) is None
    found.set_ready("a", 0.0, ready=True)
    assert picked(found.pick(0.0, 0.0, 0.0, exclude=["c"])).key == "a"


def test_who_missed_turns_has_no_claim_to_them() -> None:
    found = among(ROBIN, "ab")
    for _ in range(50):
        picked(found.pick(0.0, 0.0, 0.0, exclude="a"))
    assert Counter(order(found, 20))["a"] in (10, 11)


def test_who_comes_later_gets_its_share_and_no_more() -> None:
    found = among(ROBIN, "ab")
    order(found, 50)
    found.add("c", 0.0)
    assert Counter(order(found, 30)) == {"a": 10, "b": 10, "c": 10}


@pytest.mark.parametrize("kind", BalanceKind)
@pytest.mark.parametrize(("age", "share"), [(0.0, 0.1), (5.0, 0.5), (10.0, 1.0), (60.0, 1.0)])
def test_slow_start_grows_from_a_tenth_to_a_full_share(kind: BalanceKind, age: float, share: float) -> None:
    chance = random.Random(11)
    found = among(kind, "abcd", slow_start=10.0)
    found.add("e", 1000.0)
    taken: Counter[object] = Counter()
    for _ in range(8000):
        pick = picked(found.pick(1000.0 + age, chance.random(), chance.random()))
        taken[pick.key] += 1
        pick.released()
    assert 4 * taken["e"] / (8000 - taken["e"]) == pytest.approx(share, abs=0.1)


def test_slow_start_goes_on_through_a_lost_connection_and_begins_anew_when_told() -> None:
    found = among(ROBIN, "ab", slow_start=10.0)
    order(found, 20, now=100.0)
    found.set_ready("b", 100.0, ready=False)
    found.set_ready("b", 100.0, ready=True)
    assert Counter(order(found, 20, now=100.0))["b"] == 10
    found.warm_up("b", 100.0)
    assert Counter(order(found, 22, now=100.0))["b"] <= 4


def test_endpoints_that_start_together_share_evenly() -> None:
    chance = random.Random(5)
    found = among(LEAST, "abc", slow_start=10.0)
    for _ in range(300):
        found.pick(1.0, chance.random(), chance.random())
    assert all(90 <= found.in_flight(key) <= 110 for key in "abc")


def test_of_two_that_are_passed_over_in_slow_start_the_warmer_is_picked() -> None:
    found = among(LEAST, "a", slow_start=10.0)
    found.add("b", 2.0)
    assert picked(found.pick(4.0, 0.49, 0.99)).key == "a"
    assert picked(found.pick(4.0, 0.99, 0.99)).key == "a"


def test_a_pick_is_settled_once() -> None:
    found = among(LEAST, "a")
    for how in ("success", "failure", "released"):
        pick = picked(found.pick(0.0, 0.0, 0.0))
        assert found.in_flight("a") == 1
        assert getattr(pick, how)(*([] if how == "released" else [1.0]))
        assert [pick.success(1.0), pick.failure(1.0), pick.released()] == [False, False, False]
        assert found.in_flight("a") == 0


def test_a_pick_of_an_endpoint_that_has_come_back_does_not_count_for_the_new_one() -> None:
    found = among(LEAST, "a")
    old = picked(found.pick(0.0, 0.0, 0.0))
    found.remove("a")
    found.add("a", 1.0)
    new = picked(found.pick(1.0, 0.0, 0.0))
    old.success(2.0)
    assert found.in_flight("a") == 1
    new.success(2.0)
    assert found.in_flight("a") == 0


def test_the_kind_says_how_it_is_picked() -> None:
    assert isinstance(balancer(BalanceRules.of(BalancePolicy())), LeastLoaded)
    assert isinstance(balancer(BalanceRules.of(BalancePolicy(kind=ROBIN, slow_start=0))), TakingTurns)
    assert BalanceRules.of(BalancePolicy(slow_start=3)).slow_start == 3


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_an_impossible_slow_start_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="slow_start must be a time of 0 or more"):
        BalancePolicy(slow_start=seconds)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf")])
def test_an_impossible_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of an endpoint must be more than 0"):
        among(WEIGHTED, "a", a=weight)
