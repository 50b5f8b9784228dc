"""When a connection is tried for again."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kit.resilience.backoff import Backoff, Jitter
from kit.resilience.reconnect import Phase, Reconnect, ReconnectRules, Try


def begun(machine: Reconnect, now: float) -> Try:
    found = machine.begin(now)
    assert found is not None
    return found


def run_out(machine: Reconnect, u: float) -> list[float]:
    """Fails every try at once; the instants at which they began."""
    began = []
    while machine.phase is not Phase.GAVE_UP:
        began.append(machine.due)
        assert begun(machine, machine.due).failed(began[-1], u)
    return began


def test_a_lost_connection_is_tried_for_ten_times_over_three_minutes() -> None:
    machine = Reconnect(ReconnectRules())
    assert machine.lost(100.0, 0.5)
    began = [100.0, *run_out(machine, 0.5)]
    assert [later - earlier for earlier, later in itertools.pairwise(began)] == pytest.approx(
        [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    )
    assert (machine.tries, machine.due, machine.begin(10_000.0)) == (10, math.inf, None)


def test_what_is_asked_for_is_tried_at_once_and_nine_times_more() -> None:
    machine = Reconnect(ReconnectRules())
    machine.again(100.0)
    began = run_out(machine, 0.5)
    assert began[0] == 100.0
    assert [later - earlier for earlier, later in itertools.pairwise(began)] == pytest.approx(
        [1, 2, 4, 8, 16, 30, 30, 30, 30]
    )


def test_the_wait_is_spread_by_a_fifth_either_way() -> None:
    for u, expected in ((0.0, 0.8), (1.0, 1.2)):
        machine = Reconnect(ReconnectRules())
        machine.lost(0.0, u)
        assert machine.due == pytest.approx(expected)


def test_a_connection_forgets_the_count_whoever_made_it() -> None:
    machine = Reconnect(ReconnectRules())
    machine.lost(0.0, 0.5)
    begun(machine, 1.0).failed(1.0, 0.5)
    assert machine.connected()
    assert not machine.connected()
    assert (machine.phase, machine.tries, machine.due) == (Phase.STEADY, 0, math.inf)
    machine.lost(10.0, 0.5)
    assert machine.due == pytest.approx(11.0)


def test_a_try_is_begun_once_and_not_before_it_is_due() -> None:
    machine = Reconnect(ReconnectRules())
    assert machine.begin(0.0) is None
    machine.lost(0.0, 0.5)
    assert machine.begin(0.99) is None
    assert begun(machine, 1.0).number == 1
    assert machine.begin(1.0) is None


def test_a_try_that_ends_late_changes_nothing() -> None:
    machine = Reconnect(ReconnectRules())
    machine.lost(0.0, 0.5)
    late = begun(machine, 1.0)
    machine.again(2.0)
    assert not late.failed(2.5, 0.5)
    assert (machine.phase, machine.tries, machine.due) == (Phase.WAITING, 0, 2.0)
    late = begun(machine, 2.0)
    machine.connected()
    assert not late.failed(3.0, 0.5)
    assert machine.phase is Phase.STEADY


def test_a_try_fails_once() -> None:
    machine = Reconnect(ReconnectRules())
    machine.again(0.0)
    one = begun(machine, 0.0)
    assert one.failed(0.0, 0.5)
    assert not one.failed(0.0, 0.5)
    assert machine.tries == 1


def test_what_is_lost_while_a_loss_is_dealt_with_is_no_further_loss() -> None:
    machine = Reconnect(ReconnectRules())
    assert machine.lost(0.0, 0.5)
    assert not machine.lost(0.5, 0.5)
    assert machine.due == pytest.approx(1.0)


def test_what_was_given_up_is_tried_for_when_it_is_asked_for_anew() -> None:
    machine = Reconnect(ReconnectRules(max_tries=1))
    machine.again(0.0)
    run_out(machine, 0.5)
    assert not machine.lost(5.0, 0.5)
    machine.again(9.0)
    assert begun(machine, 9.0).number == 1


@pytest.mark.parametrize("tries", [0, -1])
def test_less_than_one_try_is_refused(tries: int) -> None:
    with pytest.raises(ValueError, match="max_tries"):
        ReconnectRules(max_tries=tries)


@given(
    tries=st.integers(1, 20),
    initial=st.floats(0, 100),
    multiplier=st.floats(1, 10),
    maximum=st.floats(0, 1000),
    jitter=st.sampled_from(Jitter),
    u=st.floats(0, 1, exclude_max=True),
)
def test_it_gives_up_after_as_many_tries_as_it_has_whatever_the_delays(
    tries: int, initial: float, multiplier: float, maximum: float, jitter: Jitter, u: float
) -> None:
    backoff = Backoff(initial=initial, multiplier=multiplier, maximum=maximum, jitter=jitter)
    machine = Reconnect(ReconnectRules(max_tries=tries, backoff=backoff))
    machine.lost(0.0, u)
    began = run_out(machine, u)
    assert len(began) == tries == machine.tries
    assert began == sorted(began)
    longest = maximum * 1.25
    assert all(b - a <= longest + 1e-6 * (1 + b) for a, b in zip([0.0, *began], began, strict=False))


MAX_TRIES = 3


class Machine(RuleBasedStateMachine):
    """Any order of events."""

    tries = Bundle("tries")

    def __init__(self) -> None:
        super().__init__()
        self.machine = Reconnect(ReconnectRules(max_tries=MAX_TRIES))
        self.now = 0.0
        #: The try that counts, if one is under way.
        self.current: Try | None = None

    @rule(seconds=st.sampled_from([0.1, 1.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(u=st.sampled_from([0.0, 0.5, 0.99]))
    def lost(self, u: float) -> None:
        before = self.machine.phase
        assert self.machine.lost(self.now, u) is (before is Phase.STEADY)
        assert before is not Phase.STEADY or self.now < self.machine.due <= self.now + 1.2

    @rule()
    def again(self) -> None:
        self.machine.again(self.now)
        self.current = None
        assert (self.machine.phase, self.machine.due, self.machine.tries) == (Phase.WAITING, self.now, 0)

    @rule()
    def connected(self) -> None:
        before = self.machine.phase
        assert self.machine.connected() is (before is not Phase.STEADY)
        self.current = None
        assert (self.machine.phase, self.machine.tries) == (Phase.STEADY, 0)

    @rule(target=tries)
    def begin(self) -> Try | None:
        due = self.machine.phase is Phase.WAITING and self.machine.due <= self.now
        found = self.machine.begin(self.now)
        assert (found is not None) is due
        if found is not None:
            assert self.current is None, "two tries at once"
            assert found.number == self.machine.tries + 1
            self.current = found
        return found

    @rule(one=consumes(tries), u=st.sampled_from([0.0, 0.5, 0.99]))
    def failed(self, one: Try | None, u: float) -> None:
        if one is None:
            return
        before = (self.machine.phase, self.machine.due, self.machine.tries)
        counts = one is self.current
        assert one.failed(self.now, u) is counts
        if not counts:
            assert (self.machine.phase, self.machine.due, self.machine.tries) == before
            return
        self.current = None
        assert self.machine.tries == before[2] + 1
        gave_up = self.machine.tries == MAX_TRIES
        assert self.machine.phase is (Phase.GAVE_UP if gave_up else Phase.WAITING)

    @invariant()
    def it_is_due_only_while_it_waits(self) -> None:
        assert (self.machine.due < math.inf) is (self.machine.phase is Phase.WAITING)
        assert (self.current is not None) is (self.machine.phase is Phase.TRYING)
        assert self.machine.tries <= MAX_TRIES


TestReconnect = Machine.TestCase
TestReconnect.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
