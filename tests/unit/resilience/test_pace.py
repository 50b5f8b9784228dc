"""Whether an event loop has come to all that waited for it."""

from __future__ import annotations

from kit.resilience.pace import Pace

TURN = 0.00002


def after(busy: float, idle: float = 0.0) -> tuple[Pace, float]:
    """A loop that was idle and then computed; and the instant."""
    pace = Pace(10.0, 5.0)
    now = 10.0 + idle + busy
    pace.computed(now, 5.0 + busy)
    return pace, now


def turns(pace: Pace, now: float, most: int = 10_000) -> float:
    """Seconds until it is free, when nobody comes."""
    begun = now
    for _ in range(most):
        now += TURN
        pace.seen = now
        if pace.turned(now):
            return now - begun
    raise AssertionError("it is held for good")


def test_after_a_stretch_of_computing_nobody_begins() -> None:
    pace, _ = after(0.02)
    assert pace.held


def test_a_gap_that_was_spent_waiting_holds_nobody() -> None:
    pace, _ = after(0.0005, idle=0.02)
    assert not pace.held


def test_a_gap_of_which_little_was_computing_holds_nobody() -> None:
    pace, _ = after(0.002, idle=0.2)
    assert not pace.held


def test_idle_time_from_before_the_last_look_is_taken_off_for_certainty() -> None:
    pace = Pace(10.0, 5.0)
    # A second passed with looks that did not ask for the CPU time, then 20 ms; 500 ms of all that were computing.
    pace.seen = 11.0
    pace.computed(11.02, 5.5)
    assert not pace.held, "the 20 ms may have been idle"
    pace.computed(11.04, 5.52)
    assert pace.held, "these 20 ms were not"


def test_it_is_free_when_the_loop_has_turned_for_a_moment() -> None:
    pace, now = after(0.02)
    waited = turns(pace, now)
    assert not pace.held
    assert 8 * TURN <= waited <= 0.01 * 0.02 + 8 * TURN


def test_each_call_that_comes_makes_the_moment_begin_again() -> None:
    pace, now = after(0.02)
    for _ in range(5):
        now += 7 * TURN
        for _ in range(7):
            assert not pace.turned(now)
        pace.arrived(now)
    assert turns(pace, now) >= 8 * TURN


def test_calls_without_end_hold_it_for_a_quarter_of_the_stretch_at_most() -> None:
    pace, now = after(0.04)
    begun = now
    while pace.held:
        now += TURN
        pace.seen = now
        pace.arrived(now)
        pace.turned(now)
    assert 0.009 < now - begun < 0.011


def test_a_loop_that_keeps_computing_is_held_no_longer_than_that() -> None:
    pace, now = after(0.04)
    begun, cpu = now, 5.04
    while pace.held:
        now += 0.002
        cpu += 0.002
        pace.computed(now, cpu)
        pace.turned(now)
    assert now - begun < 0.02


def test_an_idle_gap_frees_it_without_turns() -> None:
    pace, now = after(0.02)
    pace.computed(now + 0.005, 5.0201)
    assert not pace.held


def test_a_short_look_changes_nothing_but_when_it_was() -> None:
    pace = Pace(10.0, 5.0)
    pace.seen = 10.0005
    pace.computed(10.0016, 5.0016)
    assert pace.held, "1.1 ms of computing since the last look"
