"""How long calls take, and how fast those that wait are worked off."""

from __future__ import annotations

import math

import pytest

from kit.resilience.service_time import ServiceTime, Speed


def learned(*seconds: float) -> ServiceTime:
    time = ServiceTime()
    for took in seconds:
        time.learned(took)
    return time


def test_nothing_is_needed_before_anything_is_known() -> None:
    assert ServiceTime().needed == 0.0
    assert not ServiceTime().known


def test_the_first_answer_counts_whole() -> None:
    time = learned(0.5)
    assert (time.mean, time.least, time.needed) == (0.5, 0.5, 0.5)


def test_what_is_needed_is_not_what_calls_take_while_they_slow_each_other_down() -> None:
    time = learned(*[0.02] * 20, *[0.5] * 40)
    assert time.mean > 0.4
    assert time.needed < 0.06


def test_what_calls_take_that_run_alone_is_needed_however_quick_they_were() -> None:
    time = learned(*[0.02] * 20)
    for _ in range(20):
        time.learned(0.06, alone=True)
    assert time.needed > 0.05
    for _ in range(40):
        time.learned(0.5)
    assert time.needed < 0.065


def test_a_method_that_has_become_slower_for_good_is_believed_in_the_end() -> None:
    time = learned(0.02, *[0.5] * 4000)
    assert time.needed > 0.45


def test_a_method_that_has_become_quicker_is_believed_at_once() -> None:
    time = learned(0.5, *[0.02] * 40)
    assert time.needed == pytest.approx(0.02, rel=0.2)


def test_patience_is_the_most_that_callers_give_and_fades() -> None:
    time = ServiceTime()
    assert time.patience == math.inf
    time.given(0.5)
    assert time.patience == 0.5
    time.given(math.inf)
    assert time.patience == 3600.0
    for _ in range(300):
        time.given(0.5)
    assert time.patience == pytest.approx(0.5, rel=0.01)


def test_a_wait_is_not_known_before_somebody_has_waited() -> None:
    speed = Speed()
    speed.begun(1.0, 0.02, more=False)
    assert speed.wait(10.0, 500) == 0.0


def test_calls_one_after_the_other_are_worked_off_at_speed_one() -> None:
    speed, now = Speed(), 0.0
    for _ in range(20):
        now += 0.02
        speed.begun(now, 0.02, more=True)
    assert speed.wait(0.2, 10) == pytest.approx(0.2)


def test_fifty_at_a_time_are_worked_off_fifty_times_as_fast() -> None:
    speed, now = Speed(), 0.0
    for _ in range(200):
        now += 0.02 / 50
        speed.begun(now, 0.02, more=True)
    assert speed.wait(1.0, 50) == pytest.approx(0.02)


def test_time_in_which_nobody_waits_does_not_count() -> None:
    speed = Speed()
    for start in (0.0, 100.0, 200.0):
        for turn in range(10):
            speed.begun(start + turn * 0.02, 0.02, more=turn < 9)
    assert speed.wait(1.0, 50) == pytest.approx(1.0)


def test_what_lies_before_the_first_departure_of_a_burst_says_nothing() -> None:
    speed, now = Speed(), 0.9  # a thousand calls have been accepted meanwhile
    for _ in range(20):
        speed.begun(now, 0.0003, more=True)
        now += 0.0003
    assert speed.wait(1000 * 0.0003, 1000) == pytest.approx(0.3)


def test_nothing_is_said_of_the_speed_before_a_few_have_begun() -> None:
    speed = Speed()
    speed.begun(0.0, 0.0003, more=True)
    speed.begun(0.9, 0.0003, more=True)  # the machine was busy with others
    assert speed.wait(1000 * 0.0003, 1000) == 0.0


def test_a_method_that_was_thought_quick_and_is_slow_does_not_make_the_wait_behind_it_endless() -> None:
    speed, now = Speed(), 0.0
    for _ in range(20):
        speed.begun(now, 0.0001, more=True)  # what they took when they were queued
        now += 0.0005
    assert speed.wait(500 * 0.1, 500) == pytest.approx(500 * 0.0005)
