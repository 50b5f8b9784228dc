"""When a replica counts as faulty, and when an answer is unusual for it."""

from __future__ import annotations

import math

import pytest

from kit.resilience.detector import Anomaly, AnomalyRules, Detector, Record, Step
from kit.resilience.pulse import Health, HealthCheck

UNKNOWN, HEALTHY, DEGRADED, UNHEALTHY = Health.UNKNOWN, Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY


def detector(**rules: float) -> Detector:
    return Detector("search", "10.0.0.7:50051", HealthCheck(**rules))  # type: ignore[arg-type]


def test_the_figures_are_those_that_were_agreed() -> None:
    rules = HealthCheck()
    assert (rules.interval, rules.timeout, rules.slow, rules.unhealthy_after) == (30.0, 5.0, 1.0, 3)


def test_nothing_is_known_of_a_replica_that_was_never_checked() -> None:
    assert detector().record() == Record(
        service="search",
        endpoint="10.0.0.7:50051",
        status=UNKNOWN,
        last_check=None,
        failures=0,
        response_time=None,
    )


def test_an_answer_within_a_second_is_healthy_and_one_after_it_degraded() -> None:
    one = detector()
    assert one.answered(0, 1.0) == Step(UNKNOWN, HEALTHY)
    assert one.answered(30, 31.001) == Step(HEALTHY, DEGRADED)
    assert one.record().response_time == pytest.approx(1.001)
    assert one.record().last_check == 31.001


def test_one_and_two_failures_are_degraded_and_three_unhealthy() -> None:
    one = detector()
    assert [one.failed(at, at + 5).new for at in (0, 30, 60, 90)] == [DEGRADED, DEGRADED, UNHEALTHY, UNHEALTHY]
    assert one.record().failures == 4
    assert one.record().last_check == 95
    assert one.record().response_time is None


def test_success_resets_the_failures_and_a_degraded_answer_does_not() -> None:
    one = detector()
    one.failed(0, 0)
    one.answered(30, 32)
    one.failed(60, 60)
    one.limped(90, 90.1)
    assert one.failed(120, 120).new is UNHEALTHY
    other = detector()
    other.failed(0, 0)
    other.failed(30, 30)
    other.answered(60, 60.1)
    assert other.failed(90, 90) == Step(HEALTHY, DEGRADED)


def test_who_says_no_is_unhealthy_at_once_and_healthy_with_the_first_good_answer() -> None:
    one = detector()
    assert one.said_no(0, 0) == Step(UNKNOWN, UNHEALTHY)
    assert one.answered(5, 7) == Step(UNHEALTHY, UNHEALTHY)
    assert one.answered(10, 10.1) == Step(UNHEALTHY, HEALTHY)


def test_who_says_that_it_limps_serves_again_but_its_failures_still_count() -> None:
    one = detector()
    for at in range(3):
        one.failed(at, at)
    assert one.limped(10, 10) == Step(UNHEALTHY, DEGRADED)
    assert one.failed(20, 20) == Step(DEGRADED, UNHEALTHY)


def test_a_check_that_was_overtaken_counts_for_nothing() -> None:
    one = detector()
    one.answered(10, 10.1)
    for way in (one.failed, one.answered, one.limped, one.said_no):
        assert way(5, 15) == Step(HEALTHY, HEALTHY, None, counted=False)
    assert one.record().last_check == 10.1


def used(latencies: list[float], rules: AnomalyRules | None = None) -> tuple[Detector, list[Anomaly | None]]:
    one = Detector("s", "e", HealthCheck(), rules)
    return one, [one.answered(10.0 * at, 10.0 * at + latency).anomaly for at, latency in enumerate(latencies)]


def test_an_answer_far_beyond_the_replicas_own_is_an_anomaly_and_changes_no_status() -> None:
    one, told = used([0.002] * 16 + [0.2])
    assert told[:16] == [None] * 16
    assert told[16] == pytest.approx((0.2, 0.002))
    assert one.status is HEALTHY


def test_too_few_answers_say_nothing_of_the_next() -> None:
    assert used([0.002] * 15 + [0.9])[1] == [None] * 16


def test_what_nobody_feels_is_no_anomaly_however_many_times_the_usual_it_is() -> None:
    assert used([0.0001] * 20 + [0.019])[1][-1] is None


def test_an_answer_has_to_take_several_times_the_usual() -> None:
    assert used([0.1] * 20 + [0.29])[1][-1] is None
    assert used([0.1] * 20 + [0.31])[1][-1] is not None


def test_a_replica_that_always_scatters_is_given_more_room() -> None:
    steady, scattering = [0.1] * 20, [0.05, 0.2] * 10
    assert used([*steady, 0.45])[1][-1] is not None
    assert used([*scattering, 0.45])[1][-1] is None


def test_an_outlier_among_the_former_answers_hides_not_the_next() -> None:
    assert used([0.002] * 20 + [0.9, 0.2])[1][-1] is not None


def test_what_stays_slow_becomes_the_usual() -> None:
    told = used([0.002] * 64 + [0.2] * 64)[1]
    assert told[64] is not None
    assert told[-1] is None


def test_another_replicas_history_does_not_matter() -> None:
    assert used([0.5] * 20)[1] == [None] * 20
    assert used([0.002] * 20 + [0.5])[1][-1] is not None


def test_no_limit_before_there_is_a_history() -> None:
    assert AnomalyRules().limit([]) == math.inf


@pytest.mark.parametrize(
    ("field", "value"), [("minimum", 1), ("minimum", 65), ("deviations", -1), ("factor", math.inf), ("margin", -0.1)]
)
def test_impossible_values_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        AnomalyRules(**{field: value})  # type: ignore[arg-type]
