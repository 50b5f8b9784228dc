"""How many calls may run at a time: all of them, until they suffer from each other."""

from __future__ import annotations

import heapq
import math

from kit.resilience.pressure import Pressure

BEST = 0.02


class Server:
    """So many calls at a time take `BEST` seconds; what runs beyond that waits inside."""

    def __init__(self, capacity: int, ceiling: int = 1000, *, given: float = 0.5, adaptive: bool = True) -> None:
        self.pressure = Pressure(ceiling, 0.0, adaptive=adaptive)
        self.capacity, self.given = capacity, given
        self.now = 0.0
        self.running: list[tuple[float, int, float, int]] = []
        self._free = [0.0] * capacity
        self._order = 0

    def run(self, per_second: float, seconds: float) -> float:
        """Calls come evenly, and are let in below the limit; the share that was answered in time."""
        good, made, until = 0, 0, self.now + seconds
        while self.now < until:
            self.now += 1 / per_second
            good += self._end()
            made += 1
            if len(self.running) < self.pressure.limit:
                begins = max(self.now, heapq.heappop(self._free))
                heapq.heappush(self._free, begins + BEST)
                generation = self.pressure.admitted() if self.pressure.limited else 0
                self._order += 1
                heapq.heappush(self.running, (begins + BEST, self._order, self.now, generation))
        return good / made

    def _end(self) -> int:
        good = 0
        while self.running and self.running[0][0] <= self.now:
            ends, _, begun, generation = self.running[0]
            self.pressure.ended(ends, min(ends - begun, self.given), self.given, BEST, len(self.running), generation)
            heapq.heappop(self.running)
            good += ends - begun < self.given
        return good


def test_nothing_is_limited_while_calls_do_not_suffer() -> None:
    server = Server(capacity=50)
    server.run(per_second=2000, seconds=20)
    assert server.pressure.limit == 1000
    assert not server.pressure.limited


def test_calls_that_always_take_nearly_all_of_their_time_are_not_taken_for_a_queue() -> None:
    pressure, now = Pressure(1000, 0.0), 0.0
    for _ in range(2000):
        now += 0.01
        pressure.ended(now, 28.0, 30.0, 28.0, 900, 0)
    assert not pressure.limited


def test_slow_calls_that_have_time_are_not_taken_for_a_queue() -> None:
    pressure, now = Pressure(1000, 0.0), 0.0
    for _ in range(2000):
        now += 0.01
        pressure.ended(now, 2.0, 30.0, 0.1, 200, 0)
    assert not pressure.limited


def test_without_a_deadline_nothing_suffers() -> None:
    pressure, now = Pressure(1000, 0.0), 0.0
    for _ in range(2000):
        now += 0.01
        pressure.ended(now, 60.0, math.inf, 0.1, 900, 0)
    assert not pressure.limited


def test_calls_that_run_out_of_time_are_limited_to_what_the_server_can_do() -> None:
    server = Server(capacity=4)
    server.run(per_second=400, seconds=3)
    assert server.pressure.limited
    assert server.run(per_second=400, seconds=10) > 0.45, "half of the calls is what it can answer"
    assert 4 <= server.pressure.limit < 30


def one_in_eight_suffers(others: float) -> Pressure:
    pressure, now = Pressure(1000, 0.0), 0.0
    for number in range(100):
        now += 0.01
        pressure.ended(now, 0.4 if number % 8 == 0 else others, 0.5, BEST, 2, 0)
    return pressure


def test_it_is_enough_that_a_tenth_of_the_calls_suffers_where_half_are_slow() -> None:
    assert one_in_eight_suffers(others=2.5 * BEST).limited


def test_calls_that_wait_for_something_that_hangs_do_not_limit_the_others() -> None:
    assert not one_in_eight_suffers(others=BEST).limited


def test_a_call_may_stand_for_many_like_it() -> None:
    pressure, now = Pressure(1000, 0.0), 0.0
    for number in range(100):
        now += 0.01
        pressure.ended(now, 0.4 if number % 8 == 0 else BEST, 0.5, BEST, 2, 0, 1 if number % 8 == 0 else 8)
    assert not pressure.limited


def test_it_is_foreseen_that_calls_will_run_out_of_time_before_the_first_has() -> None:
    server = Server(capacity=4, given=10.0)
    server.run(per_second=8000, seconds=0.5)
    assert server.pressure.limited


def test_the_limit_goes_when_the_load_has_gone() -> None:
    server = Server(capacity=4)
    server.run(per_second=400, seconds=3)
    assert server.pressure.limited
    server.run(per_second=20, seconds=90)
    assert server.pressure.limit == 1000


def test_a_limit_that_is_not_adaptive_stays_where_it_is() -> None:
    server = Server(capacity=4, ceiling=100, adaptive=False)
    server.run(per_second=400, seconds=5)
    assert server.pressure.limit == 100


def test_calls_from_before_the_limit_say_nothing_of_it() -> None:
    server = Server(capacity=4)
    server.run(per_second=400, seconds=3)
    limit = server.pressure.limit
    server.pressure.left(0)
    assert server.pressure.limit == limit
