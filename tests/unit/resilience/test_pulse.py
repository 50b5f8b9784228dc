"""When an endpoint counts as healthy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.pulse import Health, HealthCheck, Pulse, Turn, next_check


def test_nothing_is_known_before_the_first_check() -> None:
    pulse = Pulse(HealthCheck())
    assert (pulse.health, pulse.failures) == (Health.UNKNOWN, 0)


def test_two_failures_degrade_and_the_third_in_a_row_is_told_once() -> None:
    pulse = Pulse(HealthCheck())
    seen = []
    for now in range(5):
        turn = pulse.failed(now, now)
        seen.append((pulse.health, pulse.failures, turn))
    assert seen == [
        (Health.DEGRADED, 1, None),
        (Health.DEGRADED, 2, None),
        (Health.UNHEALTHY, 3, Turn(False, 3, 0.0)),
        (Health.UNHEALTHY, 4, None),
        (Health.UNHEALTHY, 5, None),
    ]
    assert pulse.answered(35, 35.5) == Turn(True, 5, 33.5)
    assert (pulse.health, pulse.failures) == (Health.HEALTHY, 0)


def test_a_success_in_between_starts_the_count_over_and_is_not_told() -> None:
    pulse = Pulse(HealthCheck())
    turns = [pulse.failed(0, 0), pulse.failed(1, 1), pulse.answered(2, 2), pulse.failed(3, 3), pulse.failed(4, 4)]
    assert turns == [None] * 5
    assert (pulse.health, pulse.failures) == (Health.DEGRADED, 2)


def test_an_endpoint_that_says_no_is_believed_at_once() -> None:
    pulse = Pulse(HealthCheck())
    assert pulse.answered(0, 0) is None
    assert pulse.said_no(1, 1) == Turn(False, 1, 0.0)
    assert pulse.said_no(2, 2) is None
    assert pulse.answered(3, 3) == Turn(True, 2, 2)


def test_a_slow_answer_degrades_and_takes_no_failure_back() -> None:
    pulse = Pulse(HealthCheck())
    seen = []
    for began, ended in ((0, 1.0), (2, 3.01)):
        assert pulse.answered(began, ended) is None
        seen.append(pulse.health)
    assert seen == [Health.HEALTHY, Health.DEGRADED]
    for now in (4, 5):
        pulse.failed(now, now)
    pulse.answered(6, 8)
    assert pulse.failed(9, 9) == Turn(False, 3, 0.0)
    assert pulse.answered(10, 12) is None
    assert pulse.health is Health.UNHEALTHY


def test_a_check_that_was_overtaken_says_nothing() -> None:
    pulse = Pulse(HealthCheck(unhealthy_after=1))
    pulse.answered(2.0, 2.1)
    assert pulse.failed(1.0, 6.0) is None
    assert (pulse.health, pulse.failures) == (Health.HEALTHY, 0)


def test_checks_are_spread_by_a_tenth_either_way() -> None:
    assert [next_check(HealthCheck(), u) for u in (0.0, 0.5, 1.0)] == pytest.approx([27, 30, 33])


@given(st.lists(st.sampled_from(["answered", "slow", "failed", "said_no"]), max_size=40), st.integers(1, 5))
def test_turns_alternate_and_say_what_holds(ways: list[str], after: int) -> None:
    pulse = Pulse(HealthCheck(unhealthy_after=after))
    healthy = True
    for now, way in enumerate(ways):
        began = 10.0 * now
        turn = pulse.answered(began, began + 2) if way == "slow" else getattr(pulse, way)(began, began)
        if turn is not None:
            assert turn.healthy is not healthy
            healthy = turn.healthy
        assert (pulse.health is Health.UNHEALTHY) is (not healthy)
        assert pulse.failures < after if healthy else pulse.failures > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("interval", 0), ("interval", float("inf")), ("timeout", 0), ("slow", -1), ("unhealthy_after", 0)],
)
def test_impossible_values_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        HealthCheck(**{field: value})  # type: ignore[arg-type]
