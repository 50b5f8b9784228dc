"""Ejection of endpoints that fail where others do not."""

from __future__ import annotations

import pytest

from kit.resilience.outlier import MAX_EJECTION_TIME, TRIAL_LEASE, OutlierPolicy, OutlierRules, Outliers, Permit, State

IN, TRIAL, OUT = State.IN, State.TRIAL, State.OUT


def among(keys: str, *, percent: int = 100, now: float = 0.0) -> Outliers:
    outliers = Outliers(OutlierRules(max_ejection_percent=percent), now)
    for key in keys:
        outliers.add(key)
    return outliers


def permit(outliers: Outliers, key: str, now: float) -> Permit:
    found = outliers.admit(key, now)
    assert found is not None
    return found


def fail(outliers: Outliers, key: str, now: float, times: int = 5) -> None:
    for _ in range(times):
        permit(outliers, key, now).failure(now)


def test_five_failures_in_a_row_eject_at_once() -> None:
    outliers = among("abc")
    fail(outliers, "a", 1.0, 4)
    assert outliers.state("a") is IN
    fail(outliers, "a", 1.0, 1)
    assert outliers.state("a") is OUT
    assert outliers.admit("a", 1.0) is None
    assert not outliers.ready("a", 1.0)
    (change,) = outliers.take_changes()
    assert change == ("a", IN, OUT, 31.0, "5 failures in a row")
    assert outliers.take_changes() == ()


def test_a_success_in_between_starts_the_count_over() -> None:
    outliers = among("abc")
    fail(outliers, "a", 1.0, 4)
    permit(outliers, "a", 1.0).success()
    fail(outliers, "a", 1.0, 4)
    assert outliers.state("a") is IN


def test_a_call_that_was_released_says_nothing() -> None:
    outliers = among("abc")
    fail(outliers, "a", 1.0, 4)
    assert permit(outliers, "a", 1.0).released()
    fail(outliers, "a", 1.0, 1)
    assert outliers.state("a") is OUT


def test_after_its_time_a_sweep_puts_it_on_trial_with_one_call_at_a_time() -> None:
    outliers = among("abc")
    fail(outliers, "a", 1.0)
    outliers.sweep(30.0)
    assert outliers.state("a") is OUT
    outliers.sweep(39.0)
    assert outliers.state("a") is OUT
    outliers.sweep(40.0)
    assert outliers.state("a") is TRIAL
    trial = permit(outliers, "a", 40.0)
    assert outliers.admit("a", 40.0) is None
    assert trial.success()
    assert outliers.state("a") is IN


def test_a_failed_trial_ejects_for_longer() -> None:
    outliers = among("abc")
    fail(outliers, "a", 0.0)
    outliers.sweep(30.0)
    permit(outliers, "a", 30.0).failure(31.0)
    assert outliers.state("a") is OUT
    assert outliers.take_changes()[-1].until == 31.0 + 60.0


def test_an_ejection_never_lasts_longer_than_the_cap() -> None:
    outliers = among("abc")
    now = 0.0
    fail(outliers, "a", now)
    for _ in range(20):
        now += 1000.0
        outliers.sweep(now)
        permit(outliers, "a", now).failure(now)
    assert outliers.take_changes()[-1].until == now + MAX_EJECTION_TIME


def test_an_old_fault_is_forgiven_sweep_by_sweep() -> None:
    outliers = among("abc")
    fail(outliers, "a", 0.0)
    outliers.sweep(30.0)
    permit(outliers, "a", 30.0).success()
    fail(outliers, "a", 31.0)
    assert outliers.take_changes()[-1].until == 31.0 + 60.0
    outliers.sweep(91.0)
    permit(outliers, "a", 91.0).success()
    for now in (101.0, 111.0):
        outliers.sweep(now)
    fail(outliers, "a", 112.0)
    assert outliers.take_changes()[-1].until == 112.0 + 30.0


def test_a_released_trial_leaves_its_place_and_a_hung_one_loses_it() -> None:
    outliers = among("abc")
    fail(outliers, "a", 0.0)
    outliers.sweep(30.0)
    permit(outliers, "a", 30.0).released()
    hung = permit(outliers, "a", 30.0)
    assert outliers.admit("a", 30.0 + TRIAL_LEASE - 0.1) is None
    other = permit(outliers, "a", 30.0 + TRIAL_LEASE)
    assert not hung.failure(61.0)
    assert outliers.state("a") is TRIAL
    assert other.success()
    assert outliers.state("a") is IN


def test_calls_in_flight_when_it_was_ejected_change_nothing() -> None:
    outliers = among("abc")
    late = [permit(outliers, "a", 0.0) for _ in range(10)]
    fail(outliers, "a", 0.0)
    assert [each.failure(1.0) for each in late[:5]] == [False] * 5
    outliers.sweep(30.0)
    assert [each.success() for each in late[5:]] == [False] * 5
    assert outliers.state("a") is TRIAL
    assert len(outliers.take_changes()) == 2


def test_a_permit_counts_once() -> None:
    outliers = among("abc")
    one = permit(outliers, "a", 0.0)
    assert one.failure(0.0)
    assert [one.failure(0.0), one.success(), one.released()] == [False, False, False]


def test_the_last_endpoint_is_never_ejected() -> None:
    alone = among("a")
    fail(alone, "a", 0.0, 50)
    assert alone.state("a") is IN
    two = among("ab")
    fail(two, "a", 0.0)
    fail(two, "b", 0.0, 50)
    assert (two.state("a"), two.state("b")) == (OUT, IN)


@pytest.mark.parametrize(
    ("known", "percent", "most"), [(3, 10, 1), (10, 10, 1), (11, 10, 2), (10, 50, 5), (10, 100, 9), (5, 0, 0)]
)
def test_the_cap_holds_and_still_lets_one_go(known: int, percent: int, most: int) -> None:
    keys = "abcdefghijk"[:known]
    outliers = among(keys, percent=percent)
    for key in keys:
        fail(outliers, key, 0.0)
    assert sum(outliers.state(key) is OUT for key in keys) == most


def test_whom_the_cap_has_spared_is_tried_for_again() -> None:
    outliers = among("abc", percent=10)
    fail(outliers, "a", 0.0)
    fail(outliers, "b", 0.0)
    assert outliers.state("b") is IN
    outliers.sweep(30.0)
    permit(outliers, "a", 30.0).success()
    fail(outliers, "b", 31.0, 1)
    assert outliers.state("b") is OUT


def test_when_only_ejected_ones_are_left_one_comes_back() -> None:
    outliers = among("abc")
    fail(outliers, "a", 0.0)
    fail(outliers, "b", 1.0)
    outliers.remove("c")
    assert (outliers.state("a"), outliers.state("b")) == (IN, OUT)
    assert outliers.take_changes()[-1].reason == "every other endpoint is gone"
    outliers.add("d")
    fail(outliers, "a", 2.0, 4)
    assert outliers.state("a") is IN, "it starts with a clean sheet"


def test_an_answer_for_an_endpoint_that_is_gone_changes_nothing() -> None:
    outliers = among("ab")
    old = permit(outliers, "a", 0.0)
    outliers.remove("a")
    outliers.remove("a")
    outliers.add("a")
    assert not old.failure(0.0)
    assert outliers.state("a") is IN


def test_adding_again_forgets_nothing() -> None:
    outliers = among("abc")
    fail(outliers, "a", 0.0)
    outliers.add("a")
    assert outliers.state("a") is OUT


def test_what_is_left_open_is_envoys() -> None:
    assert OutlierRules.of(OutlierPolicy()) == OutlierRules(
        consecutive_errors=5, interval=10.0, base_ejection_time=30.0, max_ejection_percent=10
    )
    assert OutlierRules.of(OutlierPolicy(max_ejection_percent=0, base_ejection_time=0)).max_ejection_percent == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("consecutive_errors", 0),
        ("interval", 0),
        ("interval", float("inf")),
        ("base_ejection_time", -1),
        ("base_ejection_time", 301),
        ("max_ejection_percent", 101),
        ("max_ejection_percent", -1),
    ],
)
def test_impossible_values_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        OutlierPolicy(**{field: value})  # type: ignore[arg-type]
