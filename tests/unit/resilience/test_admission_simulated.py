"""Overload in virtual time: what is answered in time, who is refused, and in what order."""

from __future__ import annotations

import pytest

from kit.resilience.admission import Admission, Refusal
from kit.resilience.priority import Priority
from tests.unit.resilience.overloaded import ACCEPT, Load, Seen, computing, rates, waiting

CRITICAL, DEFAULT, SHEDDABLE = Priority.CRITICAL, Priority.DEFAULT, Priority.SHEDDABLE
CAPACITY = 50.0
CONNECTIONS = 4
BEHIND = 200.0
#: Refused because of the load.
SHED = frozenset(Refusal) - {Refusal.EXPIRED, Refusal.STOPPING}


def computed(times: float, timeout: float = 0.5, critical: float = 0.5, seed: int = 1) -> tuple[Seen, Load]:
    load = Load(per_second=rates(times, CAPACITY, critical), timeout=timeout, seed=seed)
    return computing(Admission(), load), load


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


@pytest.mark.parametrize("timeout", [0.25, 0.5, 2.0])
@pytest.mark.parametrize("times", [2.0, 10.0])
def test_a_computing_server_answers_in_time_as_many_as_it_can(times: float, timeout: float) -> None:
    seen, load = computed(times, timeout)
    # To see a call at all is no matter of admission, and takes its share of the processor.
    left = 1 - times * CAPACITY * ACCEPT
    assert seen.goodput(load) > 0.95 * left * CAPACITY


@pytest.mark.parametrize("timeout", [0.25, 0.5, 2.0])
@pytest.mark.parametrize("times", [2.0, 10.0])
def test_a_server_whose_handlers_wait_answers_in_time_as_many_as_it_can(times: float, timeout: float) -> None:
    load = Load(per_second=rates(times, BEHIND), timeout=timeout)
    seen = waiting(Admission(), load, CONNECTIONS)
    assert seen.goodput(load) > 0.9 * BEHIND


@pytest.mark.parametrize("times", [2.0, 10.0])
def test_without_admission_next_to_nothing_is_answered_in_time(times: float) -> None:
    load = Load(per_second=rates(times, BEHIND), timeout=0.5)
    open_door = Admission(max_concurrent=1_000_000, adaptive=False)
    assert waiting(open_door, load, CONNECTIONS).goodput(load) < 0.3 * BEHIND, "the load is none that can be survived"


def test_below_its_capacity_a_server_refuses_next_to_nobody() -> None:
    load = Load(per_second=rates(0.7, CAPACITY), timeout=0.5)
    seen = computing(Admission(), load)
    assert len(seen.refused) <= 0.01 * seen.made.total()


def test_what_is_critical_and_fits_is_all_answered_at_ten_times_the_load() -> None:
    seen, _ = computed(10.0)
    assert seen.good[CRITICAL] == seen.made[CRITICAL]
    assert middle(seen.took[CRITICAL]) < 0.1


def test_nothing_critical_is_shed_while_something_sheddable_is_served() -> None:
    # More critical calls than the server can answer: twice what it can do.
    seen, load = computed(10.0, critical=2.0)
    shed = [when for when, who, why in seen.refused if who is CRITICAL and why in SHED]
    assert len(shed) > 100, "the load is none under which critical calls are shed"
    served = [when for when, who in seen.begun if who is SHEDDABLE]
    first = min(shed)
    assert sum(when > first + load.timeout for when in served) == 0
    assert seen.goodput(load) > 0.95 * (1 - 10 * CAPACITY * ACCEPT) * CAPACITY


def test_who_is_let_in_by_default_does_not_wait_until_the_last_moment() -> None:
    seen, load = computed(10.0, timeout=2.0)
    assert middle(seen.took[DEFAULT]) < 0.65 * load.timeout


def test_of_one_priority_those_who_come_in_any_tenth_of_the_time_are_served_alike() -> None:
    load = Load(per_second={DEFAULT: 100.0}, timeout=0.5, seconds=30.0)
    seen = computing(Admission(), load)
    tenths = [0] * 10
    for when, _ in seen.begun:
        tenths[min(9, int(when / load.seconds * 10))] += 1
    assert min(tenths) > 0.85 * max(tenths)


def test_callers_without_a_deadline_are_all_served_though_they_wait() -> None:
    # 25 s of work within 20 s: nobody would have to wait for longer than they may.
    load = Load(per_second={DEFAULT: 60.0}, timeout=float("inf"))
    seen = computing(Admission(), load)
    assert seen.refused == []
    assert seen.good[DEFAULT] == seen.made[DEFAULT]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    one, _ = computed(3.0, seed=seed)
    two, _ = computed(3.0, seed=seed)
    assert (one.refused, one.begun) == (two.refused, two.begun)
