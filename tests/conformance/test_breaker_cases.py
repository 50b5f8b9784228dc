"""What peers' suites assert of breakers, with their numbers, and three cases of our own. Virtual time throughout."""

from __future__ import annotations

import asyncio
import math

import pytest

from kit.layers.breaker_facade import CircuitBreaker
from kit.resilience.backoff import Backoff, Jitter
from kit.resilience.breaker import Breaker, Permit, Refusal, State
from kit.resilience.breaker_rules import BreakerKind, BreakerRules, classify
from kit.resilience.retry import Retry, RetryRules
from kit.testing import VirtualClock

UNAVAILABLE, NOT_FOUND = 14, 5


def count_window(**fields: float) -> Breaker:
    return Breaker(BreakerRules(kind=BreakerKind.COUNT_WINDOW, **fields))  # type: ignore[arg-type]


def state_of(breaker: Breaker) -> State:
    """Asked anew each time, which a type checker does not know of an attribute."""
    return breaker.state


def play(breaker: Breaker, outcomes: str, now: float = 0.0, took: float = 0.0) -> None:
    """F fails, S succeeds."""
    for outcome in outcomes:
        permit = breaker.admit(now)
        assert isinstance(permit, Permit), f"refused at {outcome} of {outcomes}"
        permit.failure(now + took) if outcome == "F" else permit.success(now + took)


def ask(breaker: Breaker, times: int, now: float) -> tuple[list[Permit], list[Refusal]]:
    answers = [breaker.admit(now) for _ in range(times)]
    return [a for a in answers if isinstance(a, Permit)], [a for a in answers if isinstance(a, Refusal)]


def test_resilience4j_half_open_admits_its_four_permits_and_one_more_for_each_that_comes_back() -> None:
    breaker = Breaker(BreakerRules(success_threshold=4, half_open_permits=4, open_for=60.0))
    breaker.force_open(0.0)
    permits, refusals = ask(breaker, 6, 60.0)
    assert (len(permits), len(refusals)) == (4, 2)
    permits[0].released()
    permits, refusals = ask(breaker, 2, 60.0)
    assert (len(permits), len(refusals)) == (1, 1)


def test_resilience4j_an_ignored_error_gives_its_permit_back() -> None:
    breaker = Breaker(BreakerRules(success_threshold=4, half_open_permits=4))
    breaker.force_half_open(0.0)
    permits, _ = ask(breaker, 4, 0.0)
    assert classify(NOT_FOUND).name == "NEUTRAL"
    permits[2].ignored()
    assert [len(side) for side in ask(breaker, 2, 0.0)] == [1, 1]
    assert state_of(breaker) is State.HALF_OPEN


def test_resilience4j_three_failures_of_five_open_at_sixty_percent() -> None:
    breaker = count_window(failure_rate=0.5, minimum_calls=5, window_size=5)
    for outcome in "FFFS":
        play(breaker, outcome)
        assert breaker.snapshot(0.0).failure_rate == -1.0
        assert state_of(breaker) is State.CLOSED
    play(breaker, "S")
    assert state_of(breaker) is State.OPEN
    assert breaker.snapshot(0.0).failure_rate == 0.6
    assert breaker.snapshot(0.0).reason == "failure rate 60.0% of 5 calls"


def test_resilience4j_three_slow_calls_of_five_open_at_sixty_percent() -> None:
    breaker = count_window(slow_call=4.0, slow_call_rate=0.5, minimum_calls=5, window_size=5)
    for took in (4.0, 5.0, 4.5, 3.999):
        play(breaker, "S", 0.0, took)
        assert breaker.snapshot(0.0).slow_call_rate == -1.0
    play(breaker, "S", 0.0, 0.1)
    assert state_of(breaker) is State.OPEN
    assert breaker.snapshot(0.0).slow_call_rate == 0.6
    assert breaker.snapshot(0.0).reason == "slow call rate 60.0% of 5 calls"


def test_failsafe_with_a_success_threshold_of_three_and_three_in_flight_the_next_five_are_refused() -> None:
    breaker = Breaker(BreakerRules(success_threshold=3, half_open_permits=3, open_for=60.0))
    breaker.force_open(0.0)
    flying, refusals = ask(breaker, 3, 60.0)
    assert (len(flying), len(refusals)) == (3, 0)
    assert [len(side) for side in ask(breaker, 5, 60.0)] == [0, 5]
    for permit in flying:
        assert state_of(breaker) is State.HALF_OPEN
        permit.success(61.0)
    assert state_of(breaker) is State.CLOSED


def test_failsafe_four_tries_over_a_breaker_of_three_are_three_executions() -> None:
    retry = Retry(RetryRules(max_attempts=4, backoff=Backoff(initial=0.1, jitter=Jitter.NONE)))
    breaker, now, executions = Breaker(BreakerRules(failure_threshold=3)), 0.0, 0
    while isinstance(answer := breaker.admit(now), Permit):
        executions += 1
        answer.failure(now)
        decision = retry.failed(UNAVAILABLE, u=0.5, remaining=math.inf)
        assert decision.delay is not None
        now += decision.delay
    assert executions == 3
    assert answer.reason == "3 failures in a row"
    assert not breaker.ready(now), "the pick sees it, and skips the endpoint"


def test_cockatiel_three_of_ten_at_thirty_percent_stay_closed_and_the_fourth_opens() -> None:
    breaker = count_window(failure_rate=0.3, window_size=10, minimum_calls=10)
    play(breaker, "SSSSSSSFFF")
    assert breaker.snapshot(0.0).failure_rate == 0.3
    assert state_of(breaker) is State.CLOSED
    play(breaker, "F")
    assert state_of(breaker) is State.OPEN
    assert breaker.snapshot(0.0).failure_rate == 0.4


def test_the_fourth_failure_opens_in_a_time_window_whatever_the_order() -> None:
    breaker = Breaker(BreakerRules(kind=BreakerKind.TIME_WINDOW, failure_rate=0.3, window=10.0, minimum_calls=10))
    play(breaker, "FFFSSSSSSS")
    assert state_of(breaker) is State.CLOSED
    play(breaker, "F")
    assert state_of(breaker) is State.OPEN


def test_cockatiel_twenty_five_of_fifty_stay_closed_because_the_rate_must_be_greater() -> None:
    breaker = count_window(failure_rate=0.5, window_size=100, minimum_calls=50)
    play(breaker, "S" * 25 + "F" * 25)
    assert breaker.snapshot(0.0).failure_rate == 0.5
    assert state_of(breaker) is State.CLOSED
    play(breaker, "F")
    assert state_of(breaker) is State.OPEN


def test_cockatiel_twenty_six_of_fifty_open_and_forty_nine_failures_are_too_few_to_tell() -> None:
    breaker = count_window(failure_rate=0.5, window_size=100, minimum_calls=50)
    play(breaker, "S" * 24 + "F" * 25)
    assert state_of(breaker) is State.CLOSED
    play(breaker, "F")
    assert state_of(breaker) is State.OPEN
    few = count_window(failure_rate=0.5, window_size=100, minimum_calls=50)
    play(few, "F" * 49)
    assert state_of(few) is State.CLOSED


def test_a_success_of_a_stale_generation_does_not_close() -> None:
    breaker = Breaker(BreakerRules(failure_threshold=1, success_threshold=1, half_open_permits=1))
    stale, _ = ask(breaker, 2, 0.0)
    stale[0].failure(0.0)
    assert not stale[1].success(30.0)
    assert state_of(breaker) is State.OPEN
    half_open, _ = ask(breaker, 1, 60.0)
    breaker.force_open(61.0)
    assert not half_open[0].success(62.0)
    assert state_of(breaker) is State.OPEN
    assert breaker.opened_at == 61.0


async def test_a_cancelled_probe_frees_its_permit() -> None:
    clock = VirtualClock()
    breaker = CircuitBreaker(rules=BreakerRules(success_threshold=1, half_open_permits=1), clock=clock)
    breaker.half_open()
    probe = asyncio.create_task(breaker.call_async(clock.sleep, 10.0))
    await clock.advance(1.0)
    assert not breaker.ready()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert breaker.ready()
    assert breaker.machine.state is State.HALF_OPEN


async def test_a_wall_clock_that_is_shifted_by_an_hour_changes_nothing() -> None:
    for hours in (1, -1):
        clock = VirtualClock()
        breaker = CircuitBreaker(rules=BreakerRules(open_for=60.0), clock=clock)
        breaker.open()
        clock.shift_wall(3600.0 * hours)
        await clock.advance(59.9)
        assert isinstance(breaker.admit(print), Refusal)
        clock.shift_wall(-7200.0 * hours)
        await clock.advance(0.2)
        assert isinstance(breaker.admit(print), Permit)
