"""The call's deadline, as the layer sets it."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable

import kit
from kit.call import Deadline, set_deadline
from kit.errors import DeadlineExpired
from kit.layers import DeadlineLayer
from kit.pipeline import Call, Outcome
from kit.testing import VirtualClock
from tests.unit.layers.wire import method


async def _answer(_call: Call) -> Outcome:
    return Outcome("answer")


def given(
    clock: VirtualClock, timeout: float | None = None, policy: kit.MethodPolicy | None = None
) -> tuple[float, Outcome]:
    """Seconds that a call made here and now is given, and how it came out."""
    what = method(policy=policy)
    call = Call(what, None, timeout=timeout)
    try:
        DeadlineLayer(clock).wrap(what, _answer)(call).send(None)
    except StopIteration as stop:
        return round(call.expires_at - clock.now(), 9), stop.value
    raise AssertionError


def serving(clock: VirtualClock, seconds: float, work: Callable[[], tuple[float, Outcome]]) -> tuple[float, Outcome]:
    """Does the work as the handler of a call that has so many seconds left."""

    def serve() -> tuple[float, Outcome]:
        until = clock.now() + seconds
        set_deadline(Deadline(until, clock, until))
        return work()

    return contextvars.copy_context().run(serve)


def test_a_call_inside_a_served_one_gets_a_little_less_than_is_left() -> None:
    clock = VirtualClock()
    assert serving(clock, 10.0, lambda: given(clock))[0] == 9.595
    assert serving(clock, 10.0, lambda: given(clock, 10.0))[0] == 9.595
    assert serving(clock, 10.0, lambda: given(clock, 2.0))[0] == 2.0
    assert given(clock, 10.0)[0] == 10.0
    assert given(clock)[0] == math.inf


def test_a_timeout_around_calls_is_not_shortened_where_the_served_call_has_more() -> None:
    clock = VirtualClock()

    def work() -> tuple[float, Outcome]:
        with kit.timeout(5.0):
            return given(clock)

    assert serving(clock, 10.0, work)[0] == 5.0
    assert serving(clock, 5.1, work)[0] == 4.891
    with kit.timeout(5.0, clock=clock):
        assert given(clock)[0] == 5.0


def test_with_next_to_nothing_left_the_call_is_refused_unsent() -> None:
    clock = VirtualClock()
    outcome = serving(clock, 0.005, lambda: given(clock))[1]
    assert isinstance(outcome.error, DeadlineExpired)
    assert serving(clock, 0.05, lambda: given(clock))[1].error is None
