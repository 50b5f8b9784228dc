"""When something is started again."""

from __future__ import annotations

import pytest

from kit.errors import ConfigurationError
from kit.recovery import Growth, RestartPolicy, Restarts


@pytest.mark.parametrize(
    ("growth", "delays"),
    [
        (Growth.EXPONENTIAL, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Growth.LINEAR, [1, 2, 3, 4, 5, 6, 7, 8]),
        (Growth.FIXED, [1] * 8),
    ],
)
def test_delays_grow_as_the_policy_says(growth: Growth, delays: list[float]) -> None:
    policy = RestartPolicy(growth=growth)
    assert [policy.delay(restart) for restart in range(1, 9)] == delays


def test_a_very_late_restart_still_waits_the_cap() -> None:
    assert RestartPolicy().delay(100_000) == 60


def test_by_default_there_are_three_restarts_after_1_2_and_4_seconds() -> None:
    restarts = Restarts(RestartPolicy())
    assert [restarts.ended(now) for now in (0.0, 1.0, 2.0, 3.0)] == [1, 2, 4, None]


def test_the_count_starts_over_after_a_stable_time() -> None:
    restarts = Restarts(RestartPolicy())
    assert [restarts.ended(0), restarts.ended(0), restarts.ended(0)] == [1, 2, 4]
    restarts.healthy(10)
    assert restarts.ended(70) == 1


def test_less_than_the_stable_time_changes_nothing() -> None:
    restarts = Restarts(RestartPolicy())
    restarts.ended(0)
    restarts.healthy(10)
    assert restarts.ended(69.9) == 2
    # Health is counted from the last start only.
    assert restarts.ended(200) == 4


def test_no_restarts_at_all_can_be_asked_for() -> None:
    assert Restarts(RestartPolicy(max_restarts=0)).ended(0) is None


@pytest.mark.parametrize(
    "wrong", [{"base": -1}, {"cap": float("inf")}, {"stable_after": float("nan")}, {"max_restarts": -1}]
)
def test_an_impossible_policy_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        RestartPolicy(**wrong)  # type: ignore[arg-type]  # that is the point
