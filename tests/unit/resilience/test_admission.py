"""Which calls a server takes, and when."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kit.resilience.admission import Admission, AdmissionControl, Permit, PermitState, Refusal
from kit.resilience.priority import Priority
from kit.resilience.service_time import ServiceTime

CRITICAL, DEFAULT, SHEDDABLE = Priority.CRITICAL, Priority.DEFAULT, Priority.SHEDDABLE
FOREVER = math.inf


def usual(seconds: float = 0.02) -> ServiceTime:
    time = ServiceTime()
    time.learned(seconds)
    return time


def full(**options: Any) -> tuple[AdmissionControl, Permit]:
    """A door at its limit of one, and who is inside."""
    control = AdmissionControl(Admission(max_concurrent=1, adaptive=False, **options), 0.0)
    permit = control.enter(0.0, usual())
    assert permit is not None
    return control, permit


def queued(control: AdmissionControl, priority: Priority = DEFAULT, until: float = FOREVER, now: float = 0.0) -> Permit:
    found, _ = control.queue(now, priority, usual(), until)
    assert isinstance(found, Permit), found
    return found


def busy(control: AdmissionControl, inside: Permit, calls: int = 30) -> tuple[float, Permit]:
    """Lets so many calls of 20 ms through one after the other, so that the speed of the queue is known to be 1."""
    now = 0.0
    queued(control)
    for _ in range(calls):
        queued(control, now=now)
        now += 0.02
        inside.ended(now, FOREVER)
        found, _ = control.next(now)
        assert found is not None
        inside = found
    return now, inside


def test_where_there_is_room_and_nobody_waits_a_call_is_let_in_at_once() -> None:
    control = AdmissionControl(Admission(), 0.0)
    assert control.enter(0.0, usual()) is not None
    assert (control.running, control.queued) == (1, 0)


def test_at_the_limit_a_call_has_to_be_queued() -> None:
    control, _ = full()
    assert control.enter(0.0, usual()) is None


def test_nobody_passes_those_who_wait() -> None:
    control, inside = full()
    queued(control)
    inside.ended(0.02, FOREVER)
    assert control.enter(0.02, usual()) is None


def test_whose_turn_it_is_is_let_in_when_a_place_comes_free() -> None:
    control, inside = full()
    waiting = queued(control)
    assert control.next(0.01) == (None, [])
    inside.ended(0.02, FOREVER)
    assert control.next(0.02) == (waiting, [])
    assert waiting.state is PermitState.ADMITTED


def test_who_matters_more_is_let_in_first_and_equals_in_their_order() -> None:
    control, inside = full()
    order = [queued(control, priority) for priority in (SHEDDABLE, DEFAULT, DEFAULT, CRITICAL)]
    seen = []
    for _ in order:
        inside.ended(0.02, FOREVER)
        found, _ = control.next(0.02)
        assert found is not None
        seen.append(found)
        inside = found
    assert seen == [order[3], order[1], order[2], order[0]]


def test_a_call_that_has_expired_while_it_waited_is_refused_and_the_next_one_is_let_in() -> None:
    control, inside = full()
    expired, other = queued(control, until=0.05), queued(control)
    inside.ended(0.06, FOREVER)
    assert control.next(0.06) == (other, [(expired, Refusal.EXPIRED)])


def test_a_call_that_cannot_be_answered_any_more_is_refused_before_it_costs_anything() -> None:
    control, inside = full()
    late, other = queued(control, until=0.05), queued(control)
    inside.ended(0.04, FOREVER)
    assert control.next(0.04) == (other, [(late, Refusal.USELESS)])
    assert control.running == 1


def test_a_call_that_is_in_nobodys_way_is_not_refused_for_what_is_guessed_of_it() -> None:
    control, inside = full()
    late = queued(control, until=0.05)
    inside.ended(0.04, FOREVER)
    assert control.next(0.04) == (late, [])
    late.ended(0.05, 0.05)
    assert control.enter(0.05, usual()) is not None
    found, _ = control.queue(0.05, DEFAULT, usual(), 0.051)
    assert isinstance(found, Permit)


def test_a_call_whose_deadline_has_passed_is_refused_though_nobody_else_waits() -> None:
    control, inside = full()
    late = queued(control, until=0.05)
    inside.ended(0.06, FOREVER)
    assert control.next(0.06) == (None, [(late, Refusal.EXPIRED)])


def test_a_call_that_would_wait_until_its_deadline_has_passed_does_not_wait() -> None:
    control, inside = full()
    now, _ = busy(control, inside)
    ahead = control.queued
    for _ in range(10 - ahead):
        queued(control, now=now)
    found, _ = control.queue(now, DEFAULT, usual(), now + 0.15)
    assert found is Refusal.USELESS
    found, _ = control.queue(now, DEFAULT, usual(), now + 0.5)
    assert isinstance(found, Permit)


def test_what_matters_more_does_not_wait_for_what_matters_less() -> None:
    control, inside = full()
    now, _ = busy(control, inside)
    for _ in range(20):
        queued(control, SHEDDABLE, now=now)
    found, _ = control.queue(now, CRITICAL, usual(), now + 0.15)
    assert isinstance(found, Permit)


def test_a_burst_may_use_all_of_its_time_and_a_standing_queue_half() -> None:
    control, inside = full(interval=10.0)
    now, inside = busy(control, inside)
    while control.queued < 20:
        queued(control, now=now)
    assert isinstance(control.queue(now, DEFAULT, usual(), now + 0.6)[0], Permit), "420 ms of 600 for those before it"
    later = 10.1
    assert control.overloaded(later)
    assert control.queue(later, DEFAULT, usual(), later + 0.6)[0] is Refusal.OVERLOADED


def test_a_queue_that_has_been_empty_in_between_is_a_burst_again() -> None:
    control, inside = full(interval=1.0)
    first = queued(control)
    assert control.overloaded(1.5)
    inside.ended(1.5, FOREVER)
    assert control.next(1.5)[0] is first
    queued(control, now=1.6)
    assert not control.overloaded(2.5)


def test_a_few_may_always_wait_so_that_the_server_does_not_idle_between_two_calls() -> None:
    control, inside = full(interval=0.0)
    now, _ = busy(control, inside)
    assert control.queued < 4
    found, _ = control.queue(now, DEFAULT, usual(), now + 0.09)
    assert isinstance(found, Permit)


def test_without_a_deadline_a_call_waits_for_as_long_as_the_server_is_told() -> None:
    control, inside = full(max_wait=0.3, interval=0.5)
    now, _ = busy(control, inside)
    while isinstance(control.queue(now, DEFAULT, usual(), FOREVER)[0], Permit):
        assert control.queued < 100
    assert 10 < control.queued < 20, "300 ms of calls of 20 ms"


def test_a_burst_waits_whatever_is_guessed_of_its_speed() -> None:
    control, inside = full(max_wait=0.3)
    now, _ = busy(control, inside)
    assert now < control.options.interval
    assert all(isinstance(control.queue(now, DEFAULT, usual(), now + 120.0)[0], Permit) for _ in range(1000))
    found, _ = control.queue(control.options.interval, DEFAULT, usual(), now + 120.0)
    assert found is Refusal.OVERLOADED


def test_who_finds_no_room_takes_that_of_the_latest_who_matters_less() -> None:
    control, _ = full(max_queued=2)
    queued(control, SHEDDABLE)
    latest = queued(control, SHEDDABLE)
    found, gave_way = control.queue(0.0, CRITICAL, usual(), FOREVER)
    assert isinstance(found, Permit)
    assert gave_way is latest
    assert latest.state is PermitState.SETTLED
    assert control.refused == {(SHEDDABLE, Refusal.GAVE_WAY): 1}


def test_nothing_is_refused_for_lack_of_room_while_something_that_matters_less_waits() -> None:
    control, _ = full(max_queued=1)
    queued(control, DEFAULT)
    assert control.shut(0.0, CRITICAL, usual()) is None
    assert control.shut(0.0, DEFAULT, usual()) is Refusal.QUEUE_FULL
    assert control.shut(0.0, SHEDDABLE, usual()) is Refusal.QUEUE_FULL


def test_nobody_gives_way_to_a_call_that_is_useless_itself() -> None:
    control, inside = full(max_queued=1)
    now, _ = busy_with_one(control, inside)
    waiting = queued(control, SHEDDABLE, now=now)
    assert control.queue(now, CRITICAL, usual(), now + 0.01) == (Refusal.USELESS, None)
    assert waiting.state is PermitState.QUEUED


def busy_with_one(control: AdmissionControl, inside: Permit) -> tuple[float, Permit]:
    now = 0.0
    for _ in range(30):
        queued(control, now=now)
        now += 0.02
        inside.ended(now, FOREVER)
        found, _ = control.next(now)
        assert found is not None
        inside = found
    return now, inside


def test_the_gate_does_not_refuse_what_the_methods_callers_have_time_for() -> None:
    control, inside = full(interval=0.0)
    now, _ = busy(control, inside)
    patient, hasty = usual(), usual()
    while control.queued < 10:
        queued(control, now=now)
    patient.given(5.0)
    hasty.given(0.3)
    assert control.shut(now, DEFAULT, patient) is None
    assert control.shut(now, DEFAULT, hasty) is Refusal.OVERLOADED


def test_a_wait_is_corrected_by_what_such_calls_had_to_wait() -> None:
    control, inside = full()
    now, inside = busy(control, inside)
    before = control.wait(SHEDDABLE, usual())
    for _ in range(12):
        queued(control, SHEDDABLE, now=now)
        for _ in range(4):
            queued(control, CRITICAL, now=now)
            now += 0.02
            inside.ended(now, FOREVER)
            inside = control.next(now)[0] or inside
        while control.queued:
            now += 0.02
            inside.ended(now, FOREVER)
            inside = control.next(now)[0] or inside
    assert control.wait(SHEDDABLE, usual()) > 1.5 * before
    assert control.wait(CRITICAL, usual()) < 1.2 * before


def test_who_gives_up_leaves_the_queue() -> None:
    control, _ = full()
    waiting = queued(control)
    waiting.released(0.01)
    assert control.queued == 0
    waiting.released(0.02)
    assert control.queued == 0


def test_a_permit_frees_its_place_once() -> None:
    control, inside = full()
    inside.ended(0.02, FOREVER)
    inside.released(0.02)
    inside.ended(0.02, FOREVER)
    assert control.running == 0


def test_a_stream_that_has_begun_teaches_nothing() -> None:
    time = ServiceTime()
    control = AdmissionControl(Admission(), 0.0)
    permit = control.enter(0.0, time)
    assert permit is not None
    permit.released(100.0)
    assert not time.known


def test_those_who_wait_in_vain_are_found_though_it_is_never_their_turn() -> None:
    control, _ = full(max_wait=10.0)
    expired, patient = queued(control, until=1.0), queued(control)
    assert control.sweep(1.5) == [(expired, Refusal.EXPIRED)]
    assert control.sweep(10.5) == [(patient, Refusal.WAITED)]
    assert control.queued == 0


def test_a_stop_refuses_who_waits_and_whoever_would_have_to() -> None:
    control, _ = full()
    first, second = queued(control, SHEDDABLE), queued(control, CRITICAL)
    assert control.stop() == [(second, Refusal.STOPPING), (first, Refusal.STOPPING)]
    assert control.queue(0.0, CRITICAL, usual(), FOREVER) == (Refusal.STOPPING, None)


def test_after_a_stop_calls_are_let_in_while_there_is_room() -> None:
    control, inside = full()
    control.stop()
    inside.ended(0.02, FOREVER)
    assert control.enter(0.02, usual()) is not None


def test_who_was_refused_comes_back_at_different_times() -> None:
    control, _ = full(interval=1.0)
    assert control.come_back(0.0, 0.0) == 0.5
    assert control.come_back(0.0, 0.99) == pytest.approx(1.49)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_concurrent": 0}, "max_concurrent must be at least 1"),
        ({"max_queued": -1}, "max_queued must be 0 or more"),
        ({"max_wait": math.inf}, "max_wait must be a time"),
        ({"interval": -1.0}, "interval must be a time"),
        ({"trusted_peers": "gateway"}, "trusted_peers must be a tuple of names"),
        ({"trusted_peers": ("",)}, "trusted_peers must be a tuple of names"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Admission(**options)
