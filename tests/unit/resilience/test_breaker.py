"""The breaker, decision by decision. `now` is a number; there is no clock."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kit.resilience.breaker import Breaker, Cause, Permit, Refusal, State
from kit.resilience.breaker_rules import (
    VERDICTS,
    BreakerKind,
    BreakerPolicy,
    BreakerRules,
    Verdict,
    classify,
)
from kitapi.v1 import policy_pb2

RULES = BreakerRules(failure_threshold=3, open_for=60.0, success_threshold=2, half_open_permits=2, lease=10.0)


def state_of(breaker: Breaker) -> State:
    """Asked anew each time, which a type checker does not know of an attribute."""
    return breaker.state


def admitted(breaker: Breaker, now: float = 0.0) -> Permit:
    answer = breaker.admit(now)
    assert isinstance(answer, Permit)
    return answer


def refused(breaker: Breaker, now: float = 0.0) -> Refusal:
    answer = breaker.admit(now)
    assert isinstance(answer, Refusal)
    return answer


def opened(rules: BreakerRules = RULES, now: float = 0.0) -> Breaker:
    breaker = Breaker(rules)
    for _ in range(rules.fewest_failures):
        admitted(breaker, now).failure(now)
    assert state_of(breaker) is State.OPEN
    return breaker


def test_failures_in_a_row_open_it_and_a_success_starts_the_row_over() -> None:
    breaker = Breaker(RULES)
    for outcome in ("failure", "failure", "success", "failure", "failure"):
        getattr(admitted(breaker), outcome)(0.0)
        assert state_of(breaker) is State.CLOSED
    admitted(breaker).failure(7.0)
    assert state_of(breaker) is State.OPEN
    assert breaker.snapshot(7.0).reason == "3 failures in a row"


def test_it_says_how_long_it_will_refuse() -> None:
    breaker = opened(now=100.0)
    assert refused(breaker, 100.0) == Refusal(60.0, "3 failures in a row")
    assert refused(breaker, 159.5).time_until_half_open == 0.5
    assert admitted(breaker, 160.0)
    assert state_of(breaker) is State.HALF_OPEN


def test_enough_probes_close_it_and_it_starts_with_a_clean_slate() -> None:
    breaker = opened()
    admitted(breaker, 60.0).success(60.1)
    assert state_of(breaker) is State.HALF_OPEN
    admitted(breaker, 61.0).success(61.1)
    assert state_of(breaker) is State.CLOSED
    assert breaker.failures_in_a_row == 0
    admitted(breaker, 62.0).failure(62.0)
    assert state_of(breaker) is State.CLOSED


def test_one_failed_probe_opens_it_again_for_the_whole_time() -> None:
    breaker = opened()
    first, second = admitted(breaker, 60.0), admitted(breaker, 60.0)
    first.success(61.0)
    second.failure(62.0)
    assert refused(breaker, 62.0).time_until_half_open == 60.0
    assert breaker.opened_at == 62.0


def test_successes_of_an_earlier_half_opening_do_not_count_in_the_next() -> None:
    breaker = opened()
    admitted(breaker, 60.0).success(60.0)
    admitted(breaker, 60.0).failure(60.0)
    admitted(breaker, 120.0).success(120.0)
    assert state_of(breaker) is State.HALF_OPEN


def test_a_success_from_before_the_opening_neither_closes_nor_forgets() -> None:
    breaker = Breaker(RULES)
    early = [admitted(breaker) for _ in range(3)]
    for _ in range(3):
        admitted(breaker).failure(1.0)
    assert not early[0].success(2.0)
    assert breaker.failures_in_a_row == 3
    probe = admitted(breaker, 61.0)
    assert not early[1].success(61.0)
    assert not early[2].failure(61.0)
    assert state_of(breaker) is State.HALF_OPEN
    assert probe.success(61.5)


def test_of_many_failures_in_flight_the_first_opens_and_the_rest_prolong_nothing() -> None:
    breaker = Breaker(BreakerRules(failure_threshold=5))
    flight = [admitted(breaker) for _ in range(10)]
    for second, permit in enumerate(flight):
        permit.failure(float(second))
    assert breaker.opened_at == 4.0
    assert breaker.generation == 1
    assert refused(breaker, 9.0).time_until_half_open == 55.0


def test_a_permit_is_settled_once() -> None:
    breaker = Breaker(RULES)
    permit = admitted(breaker)
    before = permit.settled
    assert permit.failure(0.0)
    assert (before, permit.settled) == (False, True)
    assert not permit.failure(0.0)
    assert not permit.success(0.0)
    assert not permit.released()
    assert breaker.failures_in_a_row == 1


@pytest.mark.parametrize("how", ["ignored", "released"])
def test_what_says_nothing_changes_nothing_and_gives_the_permit_back(how: str) -> None:
    breaker = Breaker(RULES)
    admitted(breaker).failure(0.0)
    admitted(breaker).failure(0.0)
    getattr(admitted(breaker), how)()
    assert breaker.failures_in_a_row == 2
    admitted(breaker).failure(0.0)
    probes = [admitted(breaker, 60.0), admitted(breaker, 60.0)]
    assert not breaker.ready(60.0)
    getattr(probes[0], how)()
    assert breaker.ready(60.0)
    assert state_of(breaker) is State.HALF_OPEN
    admitted(breaker, 60.0)


def test_a_probe_without_an_answer_loses_its_permit_when_its_lease_is_over() -> None:
    breaker = opened()
    hung = [admitted(breaker, 60.0), admitted(breaker, 61.0)]
    assert refused(breaker, 69.9) == Refusal(0.0, "2 probes in flight")
    assert breaker.ready(70.0)
    assert admitted(breaker, 70.0)
    assert refused(breaker, 70.0)
    assert breaker.snapshot(70.0).probes == 2
    assert hung[0].failure(75.0), "what it answers in the same generation is heard all the same"
    assert state_of(breaker) is State.OPEN


def test_asking_whether_it_is_ready_takes_nothing_and_changes_nothing() -> None:
    breaker = opened()
    assert not breaker.ready(59.9)
    for _ in range(10):
        assert breaker.ready(60.0)
    assert state_of(breaker) is State.OPEN
    assert Breaker(RULES).ready(0.0)


@pytest.mark.parametrize("kind", [BreakerKind.COUNT_WINDOW, BreakerKind.TIME_WINDOW])
def test_a_window_opens_only_when_its_threshold_is_exceeded(kind: BreakerKind) -> None:
    breaker = Breaker(BreakerRules(kind=kind, failure_rate=0.29, window_size=100, window=1e6, minimum_calls=100))
    for number in range(100):
        permit = admitted(breaker)
        permit.failure(1.0) if number < 29 else permit.success(1.0)
    assert breaker.snapshot(1.0).failure_rate == 0.29
    assert state_of(breaker) is State.CLOSED


def test_a_threshold_of_zero_opens_at_the_first_failure_and_one_when_all_fail() -> None:
    never = Breaker(BreakerRules(kind=BreakerKind.COUNT_WINDOW, failure_rate=0.0, minimum_calls=1))
    admitted(never).success(0.0)
    assert state_of(never) is State.CLOSED
    admitted(never).failure(0.0)
    assert state_of(never) is State.OPEN
    every = Breaker(BreakerRules(kind=BreakerKind.COUNT_WINDOW, failure_rate=1.0, minimum_calls=2))
    admitted(every).success(0.0)
    for _ in range(99):
        admitted(every).failure(0.0)
    assert state_of(every) is State.CLOSED
    admitted(every).failure(0.0)
    assert state_of(every) is State.OPEN


def test_a_time_window_forgets_failures_that_are_too_old() -> None:
    breaker = Breaker(BreakerRules(kind=BreakerKind.TIME_WINDOW, window=10.0, minimum_calls=4))
    for _ in range(3):
        admitted(breaker, 0.0).failure(0.0)
    for _ in range(3):
        admitted(breaker, 11.0).failure(11.0)
    assert state_of(breaker) is State.CLOSED
    assert breaker.snapshot(11.0).calls == 3
    assert breaker.snapshot(30.0).calls == 0


def test_a_slow_probe_is_a_failed_one_where_slowness_is_looked_at() -> None:
    breaker = opened(BreakerRules(kind=BreakerKind.COUNT_WINDOW, minimum_calls=2, slow_call=4.0))
    admitted(breaker, 60.0).success(64.0)
    assert state_of(breaker) is State.OPEN
    assert breaker.snapshot(64.0).reason == "a probe was slow: 4 s"


def test_by_hand_it_goes_wherever_it_is_sent() -> None:
    breaker = Breaker(RULES)
    breaker.force_open(5.0)
    breaker.force_open(9.0)
    assert breaker.opened_at == 5.0
    breaker.force_half_open(10.0, "let me see")
    breaker.force_half_open(11.0)
    breaker.force_close(12.0)
    changes = breaker.take_changes()
    assert [(change.new, change.at) for change in changes] == [
        (State.OPEN, 5.0),
        (State.HALF_OPEN, 10.0),
        (State.CLOSED, 12.0),
    ]
    assert changes[1].reason == "let me see"
    assert changes[0].cause is Cause.OPENED_BY_HAND
    assert breaker.take_changes() == ()


def test_held_open_it_waits_for_a_hand() -> None:
    breaker = Breaker(RULES)
    breaker.force_open(0.0, hold=True)
    assert refused(breaker, 1e9).time_until_half_open == math.inf
    assert not breaker.ready(1e9)
    breaker.force_close(1e9)
    assert admitted(breaker, 1e9)
    breaker.force_open(1e9)
    assert breaker.snapshot(1e9).time_to_half_open == 60.0


def test_closing_by_hand_what_is_closed_forgets_the_failures() -> None:
    breaker = Breaker(RULES)
    admitted(breaker).failure(0.0)
    breaker.force_close(0.0)
    assert breaker.failures_in_a_row == 0
    assert breaker.take_changes() == ()


def test_a_reset_makes_it_as_new_and_what_is_in_flight_does_not_count() -> None:
    breaker = Breaker(RULES)
    flying = admitted(breaker)
    admitted(breaker).failure(0.0)
    breaker.reset(1.0)
    assert not flying.failure(2.0)
    snapshot = breaker.snapshot(2.0)
    assert (snapshot.state, snapshot.failures, snapshot.failures_in_a_row) == (State.CLOSED, 0, 0)


def test_other_rules_keep_the_state_and_what_was_counted_alike() -> None:
    breaker = Breaker(RULES)
    admitted(breaker).failure(0.0)
    breaker.configure(BreakerRules(failure_threshold=2, open_for=5.0))
    admitted(breaker).failure(0.0)
    assert refused(breaker, 0.0).time_until_half_open == 5.0
    breaker.configure(BreakerRules(open_for=1.0))
    assert breaker.ready(1.0)
    breaker.configure(BreakerRules(kind=BreakerKind.COUNT_WINDOW))
    assert breaker.snapshot(0.0).calls == 0


def test_a_snapshot_tells_what_reports_and_operators_ask() -> None:
    breaker = Breaker(BreakerRules(kind=BreakerKind.COUNT_WINDOW, minimum_calls=4, window_size=10))
    before = breaker.snapshot(0.0)
    assert (before.reason, before.opened_at, before.failure_rate, before.time_to_half_open) == ("", None, -1.0, None)
    admitted(breaker).success(0.0)
    for _ in range(3):
        admitted(breaker).failure(8.0)
    refused(breaker, 10.0)
    after = breaker.snapshot(10.0)
    assert after.state is State.OPEN
    assert after.reason == "failure rate 75.0% of 4 calls"
    assert (after.calls, after.failure_rate, after.successes, after.failures, after.refused) == (4, 0.75, 1, 3, 1)
    assert (after.opened_at, after.changed_at, after.time_to_half_open) == (8.0, 8.0, 58.0)
    assert breaker.snapshot(1000.0).time_to_half_open == 0.0


def test_changes_that_nobody_fetches_do_not_pile_up() -> None:
    breaker = Breaker(RULES)
    for now in range(1000):
        breaker.force_open(float(now))
        breaker.force_close(float(now))
    assert len(breaker.changes) == 64


@pytest.mark.parametrize("code", range(17))
def test_every_status_has_a_verdict_with_a_reason(code: int) -> None:
    from google.rpc import code_pb2

    assert VERDICTS[code][1].startswith(code_pb2.Code.Name(code))
    failures = {"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
    expected = Verdict.SUCCESS if code == 0 else Verdict.NEUTRAL
    assert classify(code) is (Verdict.FAILURE if code_pb2.Code.Name(code) in failures else expected)


@pytest.mark.parametrize("code", [-1, 17, 99])
def test_a_status_that_does_not_exist_is_as_unknown(code: int) -> None:
    assert classify(code) is Verdict.FAILURE


def test_the_policy_has_the_fields_of_the_proto_and_the_same_numbers() -> None:
    declared = policy_pb2.BreakerPolicy.DESCRIPTOR
    assert [field.name for field in declared.fields] == list(BreakerPolicy.__dataclass_fields__)
    kinds = declared.enum_types_by_name["Kind"].values_by_name
    assert {kind.name: kind.value for kind in BreakerKind} == {
        name: value.number for name, value in kinds.items() if value.number
    }


def test_a_policy_that_sets_nothing_is_no_breaker() -> None:
    assert BreakerRules.of(BreakerPolicy()) is None


def test_the_defaults_are_five_failures_sixty_seconds_and_three_probes() -> None:
    rules = BreakerRules.of(BreakerPolicy(kind=BreakerKind.CONSECUTIVE))
    assert rules == BreakerRules()
    assert rules is not None
    assert (rules.failure_threshold, rules.open_for, rules.success_threshold, rules.half_open_permits) == (5, 60, 3, 3)


def test_what_follows_from_another_field_follows_it() -> None:
    rules = BreakerRules.of(BreakerPolicy(kind=BreakerKind.COUNT_WINDOW, window_size=10, success_threshold=1))
    assert rules is not None
    assert (rules.minimum_calls, rules.half_open_permits) == (10, 1)
    assert rules.fewest_failures == 10


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"failure_threshold": 0}, "failure_threshold"),
        ({"failure_threshold": 2.5}, "failure_threshold"),
        ({"failure_threshold": True}, "failure_threshold"),
        ({"success_threshold": 0}, "success_threshold"),
        ({"half_open_permits": 0}, "half_open_permits"),
        ({"kind": BreakerKind.COUNT_WINDOW, "failure_rate": 1.1}, "failure_rate"),
        ({"kind": BreakerKind.COUNT_WINDOW, "failure_rate": math.nan}, "failure_rate"),
        ({"kind": BreakerKind.COUNT_WINDOW, "window_size": 2**32 - 1}, "window_size"),
        ({"kind": BreakerKind.COUNT_WINDOW, "window_size": 10, "minimum_calls": 11}, "minimum_calls"),
        ({"kind": BreakerKind.TIME_WINDOW, "window": 0.0}, "window"),
        ({"kind": BreakerKind.TIME_WINDOW, "slow_call": 0.0}, "slow_call"),
        ({"open_for": -1.0}, "open_for"),
        ({"open_for": math.inf}, "open_for"),
        ({"lease": 0.0}, "lease"),
        ({"lease": math.inf}, "lease"),
        ({"failure_rate": 0.5}, "failure_rate says nothing .* set kind to COUNT_WINDOW or TIME_WINDOW"),
        ({"slow_call": 4.0}, "slow_call says nothing .* set kind to COUNT_WINDOW or TIME_WINDOW"),
        ({"kind": BreakerKind.COUNT_WINDOW, "failure_threshold": 5}, "failure_threshold says nothing"),
        ({"kind": BreakerKind.COUNT_WINDOW, "window": 5.0}, "window says nothing"),
        ({"kind": BreakerKind.TIME_WINDOW, "window_size": 5}, "window_size says nothing"),
        ({"kind": BreakerKind.TIME_WINDOW, "slow_call_rate": 0.5}, "slow_call_rate needs slow_call"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_name_of_the_field(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        BreakerRules.of(BreakerPolicy(**fields))


def test_open_for_zero_is_a_value() -> None:
    rules = BreakerRules.of(BreakerPolicy(open_for=0.0))
    assert rules is not None
    assert admitted(opened(rules))
