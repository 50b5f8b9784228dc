"""Bulkhead and adaptive limit: who runs, who waits, who is refused."""

from __future__ import annotations

import pytest

from kit.resilience.gradient import GradientRules
from kit.resilience.limiter import ConcurrencyPolicy, ConcurrencyRules, Limiter, Permit, PermitState, Refusal

QUEUED, ADMITTED, SETTLED = PermitState.QUEUED, PermitState.ADMITTED, PermitState.SETTLED


def bulkhead(most: int, queued: int = 0) -> Limiter:
    return Limiter(ConcurrencyRules(max_concurrent=most, max_queued=queued), 0.0)


def enter(limiter: Limiter, now: float = 0.0) -> Permit:
    permit = limiter.enter(now)
    assert isinstance(permit, Permit)
    return permit


def test_so_many_run_and_the_next_is_refused() -> None:
    limiter = bulkhead(2)
    assert [enter(limiter).state, enter(limiter).state] == [ADMITTED, ADMITTED]
    assert limiter.enter(0.0) is Refusal.AT_LIMIT
    assert limiter.running == 2


def test_a_place_that_comes_free_is_taken_by_the_next() -> None:
    limiter = bulkhead(1)
    assert enter(limiter).success(1.0) == ()
    assert enter(limiter).failure(1.0) == ()
    assert enter(limiter).released(1.0) == ()
    assert enter(limiter).state is ADMITTED


def test_who_waits_is_admitted_in_the_order_of_arrival() -> None:
    limiter = bulkhead(1, queued=2)
    first = enter(limiter)
    second, third = enter(limiter, 1.0), enter(limiter, 2.0)
    assert (second.state, third.state, limiter.queued) == (QUEUED, QUEUED, 2)
    assert limiter.enter(3.0) is Refusal.QUEUE_FULL
    assert first.success(4.0) == (second,)
    assert (second.state, second.since, third.state) == (ADMITTED, 4.0, QUEUED)
    assert second.success(5.0) == (third,)


def test_who_gives_up_waiting_leaves_the_queue() -> None:
    limiter = bulkhead(1, queued=1)
    first, second = enter(limiter), enter(limiter)
    assert second.released(1.0) == ()
    assert (second.state, limiter.queued) == (SETTLED, 0)
    third = enter(limiter)
    assert first.success(2.0) == (third,)


def test_who_gives_up_just_after_admission_passes_the_place_on() -> None:
    limiter = bulkhead(1, queued=2)
    first, second, third = enter(limiter), enter(limiter), enter(limiter)
    assert first.success(1.0) == (second,)
    assert second.released(1.0) == (third,)


def test_a_permit_frees_its_place_once() -> None:
    limiter = bulkhead(2, queued=1)
    first, _second, third = enter(limiter), enter(limiter), enter(limiter)
    assert first.success(1.0) == (third,)
    assert [first.success(1.0), first.failure(1.0), first.released(1.0)] == [(), (), ()]
    assert limiter.running == 2


def test_a_fixed_limit_has_no_generations() -> None:
    limiter = bulkhead(3)
    assert (enter(limiter).generation, limiter.gradient) == (0, None)


def test_an_adaptive_limit_starts_low_and_grows_with_answers() -> None:
    limiter = Limiter(ConcurrencyRules(max_concurrent=100, adaptive=True), 0.0)
    assert limiter.limit == 10
    now = 0.0
    for _ in range(100):
        permits = [enter(limiter, now) for _ in range(limiter.limit)]
        assert limiter.enter(now) is Refusal.AT_LIMIT
        now += 0.05
        for permit in permits:
            permit.success(now)
    assert 20 < limiter.limit <= 100


def test_an_adaptive_limit_does_not_exceed_the_ceiling_however_low() -> None:
    limiter = Limiter(ConcurrencyRules(max_concurrent=2, adaptive=True), 0.0)
    for _ in range(500):
        enter(limiter).success(0.01)
    assert limiter.limit == 2


def test_when_the_limit_falls_nobody_loses_a_place_and_nobody_gets_one_before_enough_have_ended() -> None:
    rules = GradientRules(initial_limit=40, max_limit=40, probe_samples=1000, window_samples=1)
    limiter = Limiter(ConcurrencyRules(max_concurrent=40, adaptive=True, max_queued=5), 0.0, rules)
    gradient = limiter.gradient
    assert gradient is not None
    permits = [enter(limiter) for _ in range(20)]
    waiting = enter(limiter)
    gradient.limit = 10.0
    for permit in permits[:10]:
        assert permit.released(1.0) == ()
    assert (limiter.running, waiting.state) == (10, QUEUED)
    assert permits[10].released(1.0) == (waiting,)


def test_when_the_limit_rises_several_are_admitted_at_once() -> None:
    limiter = Limiter(ConcurrencyRules(max_concurrent=40, adaptive=True, max_queued=5), 0.0)
    gradient = limiter.gradient
    assert gradient is not None
    first, *_others = [enter(limiter) for _ in range(10)]
    waiting = tuple(enter(limiter) for _ in range(3))
    gradient.limit = 12.0
    last = enter(limiter)
    assert last.state is QUEUED, "it does not overtake those that wait"
    assert first.released(1.0) == waiting


def test_what_is_left_open_queues_nobody_and_an_adaptive_limit_needs_no_number() -> None:
    assert ConcurrencyRules.of(ConcurrencyPolicy(max_concurrent=7)) == ConcurrencyRules(max_concurrent=7)
    adaptive = ConcurrencyRules.of(ConcurrencyPolicy(adaptive=True))
    assert (adaptive.max_concurrent, adaptive.adaptive, adaptive.max_queued) == (1000, True, 0)


def test_a_fixed_limit_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="max_concurrent must be set unless the limit is adaptive"):
        ConcurrencyRules.of(ConcurrencyPolicy(max_queued=3))


@pytest.mark.parametrize(("field", "value"), [("max_concurrent", -1), ("max_queued", -1)])
def test_impossible_values_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        ConcurrencyPolicy(**{field: value})  # type: ignore[arg-type]
