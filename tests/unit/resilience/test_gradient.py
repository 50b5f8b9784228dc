"""The adaptive limit: decision by decision, and against a simulated server."""

from __future__ import annotations

import math
import random
from functools import partial
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.gradient import Gradient, GradientRules
from tests.unit.resilience.serving import Serving

RULES = GradientRules(initial_limit=40, probe_samples=10, window_samples=10)


def window(gradient: Gradient, now: float, took: float, *, running: int, failed: int = 0) -> float:
    """A full window of such calls; gives the instant at which it ended."""
    for number in range(10):
        if number == 9:
            now += 0.1
        tell = gradient.failed if number < failed else partial(gradient.answered, took=took)
        tell(now, running=running, generation=gradient.admitted())
    return now


def opened(took: float = 0.1) -> Gradient:
    """After its first probe, with that baseline and a limit of 40."""
    gradient = Gradient(RULES, 0.0)
    for _ in range(10):
        gradient.answered(0.0, took, 20, gradient.admitted())
    assert gradient.limit == 40
    return gradient


def test_it_begins_with_a_probe_at_half_the_limit() -> None:
    gradient = Gradient(RULES, 0.0)
    assert (gradient.limit, gradient.baseline) == (20, None)
    for _ in range(9):
        gradient.answered(0.5, 0.1, 20, gradient.admitted())
    assert gradient.limit == 20
    gradient.answered(0.5, 0.2, 20, gradient.admitted())
    assert gradient.limit == 40
    assert gradient.baseline == pytest.approx(0.11)


def test_the_whole_cohort_is_waited_for_and_not_the_quick_ones() -> None:
    gradient = Gradient(RULES, 0.0)
    cohort = [gradient.admitted() for _ in range(10)]
    for _ in range(50):
        gradient.answered(0.1, 0.001, 20, gradient.admitted())
    assert gradient.baseline is None
    for generation in cohort:
        gradient.answered(0.2, 0.1, 20, generation)
    assert gradient.baseline == pytest.approx(0.1)


def test_who_leaves_the_cohort_is_replaced() -> None:
    gradient = Gradient(RULES, 0.0)
    cohort = [gradient.admitted() for _ in range(10)]
    gradient.left(cohort[0])
    replacement = gradient.admitted()
    assert replacement == cohort[0]
    for generation in [*cohort[1:], replacement]:
        gradient.answered(0.2, 0.1, 20, generation)
    assert gradient.limit == 40


def test_with_latency_at_the_baseline_it_grows_by_a_part_of_the_root() -> None:
    gradient = opened()
    window(gradient, 1.0, 0.1, running=40)
    assert gradient.limit == pytest.approx(40 + 0.2 * math.sqrt(40))


def test_it_does_not_grow_while_it_is_not_in_use() -> None:
    gradient = opened()
    window(gradient, 1.0, 0.1, running=19)
    assert gradient.limit == 40


def test_with_latency_well_above_the_baseline_it_falls() -> None:
    gradient = opened()
    window(gradient, 1.0, 0.5, running=40)
    assert gradient.limit == pytest.approx(40 + 0.2 * (40 * 0.5 + math.sqrt(40) - 40))


def test_a_little_more_latency_is_tolerated() -> None:
    gradient = opened()
    window(gradient, 1.0, 0.124, running=40)
    assert gradient.limit > 41


def test_failures_bring_it_down_by_their_share() -> None:
    few, many = opened(), opened()
    window(few, 1.0, 0.1, running=40, failed=1)
    window(many, 1.0, 0.1, running=40, failed=10)
    assert many.limit < few.limit < opened().limit + 0.2 * math.sqrt(40)
    assert many.limit < 40


def test_while_not_in_use_the_baseline_follows_slowly() -> None:
    gradient = opened()
    window(gradient, 1.0, 0.2, running=5)
    assert gradient.baseline == pytest.approx(0.105)


def test_under_load_the_baseline_does_not_follow() -> None:
    gradient = opened()
    now = 1.0
    for _ in range(50):
        now = window(gradient, now, 0.5, running=40)
    assert gradient.baseline == pytest.approx(0.1)


def test_a_probe_measures_the_baseline_anew_and_the_limit_comes_back() -> None:
    gradient = opened()
    window(gradient, 31.0, 0.1, running=40)
    before = gradient.limit * 2
    old = gradient.generation - 1
    for _ in range(100):
        gradient.answered(31.2, 9.0, 40, old)
    assert gradient.limit * 2 == before, "late answers from before the probe have ended it"
    for _ in range(10):
        gradient.answered(31.3, 0.12, 20, gradient.admitted())
    assert gradient.limit == pytest.approx(before)
    assert gradient.baseline == pytest.approx(0.11)


def test_a_probe_that_finds_far_less_is_believed_and_followed_by_another() -> None:
    gradient = opened()
    window(gradient, 31.0, 0.1, running=40)
    for _ in range(10):
        gradient.answered(31.3, 0.05, 20, gradient.admitted())
    assert gradient.baseline == pytest.approx(0.05)
    limit = gradient.limit
    window(gradient, 34.4, 0.05, running=40)
    assert gradient.limit < limit * 0.6


def test_a_probe_whose_calls_hang_is_given_up() -> None:
    gradient = opened()
    window(gradient, 31.0, 0.1, running=40)
    before = gradient.limit * 2
    cohort = [gradient.admitted() for _ in range(10)]
    for generation in cohort[:5]:
        gradient.answered(31.2, 9.0, 20, generation)
    gradient.answered(33.0, 0.1, 20, gradient.admitted())
    assert gradient.limit == pytest.approx(before)
    assert gradient.baseline == pytest.approx(0.1)


def test_there_is_no_probe_while_the_limit_is_not_in_use() -> None:
    gradient = opened()
    window(gradient, 100.0, 0.1, running=3)
    assert gradient.limit == 40


def test_impossible_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="min_limit must be 1 to max_limit"):
        GradientRules(min_limit=9, max_limit=8)
    with pytest.raises(ValueError, match="min_limit"):
        GradientRules(min_limit=0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["answered", "failed", "left"]), st.floats(0, 40), st.floats(0, 5), st.integers(1, 300)
        ),
        max_size=120,
    ),
    st.integers(1, 10),
    st.integers(10, 60),
)
def test_no_history_leads_out_of_the_bounds(history: list[tuple[str, float, float, int]], low: int, high: int) -> None:
    rules = GradientRules(min_limit=low, max_limit=high, probe_samples=5, window_samples=2)
    gradient = Gradient(rules, 0.0)
    now = 0.0
    held: list[int] = []
    seen = [math.inf, 0.0]
    for what, pause, took, running in history:
        now += pause
        held.append(gradient.admitted())
        generation = held.pop(running % len(held)) if running % 3 else held.pop()
        if what == "answered":
            seen = [min(seen[0], took), max(seen[1], took)]
            gradient.answered(now, took, running, generation)
        elif what == "failed":
            gradient.failed(now, running, generation)
        else:
            gradient.left(generation)
        assert low <= gradient.limit <= high
        if gradient.baseline is not None:
            assert seen[0] - 1e-9 <= gradient.baseline <= seen[1] + 1e-9


@pytest.mark.parametrize("scatter", [False, True], ids=["even", "scattered"])
@pytest.mark.parametrize(("capacity", "service"), [(10, 0.02), (50, 0.02), (100, 0.05)])
def test_it_finds_the_capacity_of_a_server_at_twice_its_load(capacity: int, service: float, scatter: bool) -> None:
    seen = Serving(random.Random(42), lambda _now: capacity, service=service, scatter=scatter).run(30)[12:]
    settled = mean(second.limit for second in seen)
    expected = 1.25 * capacity + math.sqrt(settled)
    assert settled == pytest.approx(expected, rel=0.2)
    assert mean(second.throughput for second in seen) > 0.95
    assert mean(second.latency for second in seen) < 2.2


@pytest.mark.parametrize("scatter", [False, True], ids=["even", "scattered"])
def test_it_follows_a_server_that_loses_half_its_capacity_and_gets_it_back(scatter: bool) -> None:
    def capacity(now: float) -> int:
        return 40 if 20 <= now < 50 else 80

    seen = Serving(random.Random(7), capacity, service=0.05, scatter=scatter).run(75)
    before, less, after = seen[12:20], seen[25:50], seen[60:75]
    assert mean(second.limit for second in before) == pytest.approx(1.25 * 80 + 10, rel=0.2)
    assert mean(second.limit for second in less) == pytest.approx(1.25 * 40 + 7, rel=0.25)
    assert mean(second.limit for second in after) == pytest.approx(1.25 * 80 + 10, rel=0.25)
    for stretch in (before, less, after):
        assert mean(second.throughput for second in stretch) > 0.93
        assert mean(second.latency for second in stretch) < 2


def test_under_ten_times_the_load_the_server_goes_on_at_its_best() -> None:
    seen = Serving(random.Random(3), lambda _now: 50, service=0.02, load=10.0).run(25)[12:]
    assert mean(second.throughput for second in seen) > 0.95
    assert mean(second.latency for second in seen) < 2


def test_with_little_load_the_limit_stays_where_it_is() -> None:
    serving = Serving(random.Random(3), lambda _now: 50, service=0.02, load=0.04)
    assert {second.limit for second in serving.run(40)[5:]} == {20}


def test_one_call_in_a_hundred_failing_does_not_drive_it_down() -> None:
    seen = Serving(random.Random(9), lambda _now: 50, service=0.02, failing=lambda _now: 0.01).run(25)[12:]
    assert mean(second.throughput for second in seen) > 0.93


def test_when_every_call_fails_it_falls_to_a_few_and_recovers() -> None:
    def failing(now: float) -> float:
        return 1.0 if 10 <= now < 20 else 0.0

    seen = Serving(random.Random(9), lambda _now: 50, service=0.02, failing=failing).run(35)
    assert seen[19].limit <= 8
    assert mean(second.throughput for second in seen[28:]) > 0.9


def test_the_same_seed_gives_the_same_history() -> None:
    def history(seed: int) -> object:
        return Serving(random.Random(seed), lambda _now: 20, service=0.02).run(10)

    assert history(1) == history(1)
    assert history(1) != history(2)
