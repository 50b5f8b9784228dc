"""A simulated server behind a limiter, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kit.resilience.limiter import ConcurrencyRules, Limiter, Permit, PermitState


@dataclass(frozen=True)
class Second:
    """What was seen in one second."""

    limit: int
    #: As a share of what the server could do.
    throughput: float
    #: Mean, in service times.
    latency: float


class Serving:
    """`capacity(now)` workers, each taking `service` seconds on average, work through a first-in first-out queue.

    Calls arrive at random, `load` times as many as the first capacity can serve. `scatter` says whether a call's
    service time is exponential or always the same. A share `failing(now)` of the calls fails from overload.
    """

    def __init__(
        self,
        chance: random.Random,
        capacity: Callable[[float], int],
        *,
        service: float,
        load: float = 2.0,
        scatter: bool = True,
        failing: Callable[[float], float] = lambda _now: 0.0,
    ) -> None:
        self._chance = chance
        self._capacity = capacity
        self._service = service
        self._rate = load * capacity(0.0) / service
        self._scatter = scatter
        self._failing = failing
        self.limiter = Limiter(ConcurrencyRules(max_concurrent=1000, adaptive=True), 0.0)
        self._events: list[tuple[float, int, Permit | None]] = []
        self._order = 0
        self._waiting: deque[Permit] = deque()
        self._busy = 0

    def run(self, seconds: int) -> list[Second]:
        """What happened in each second."""
        seen: list[Second] = []
        latencies: list[float] = []
        self._at(0.0, None)
        while len(seen) < seconds:
            now, _, permit = heapq.heappop(self._events)
            while now > len(seen) + 1:
                ideal = self._capacity(len(seen)) / self._service
                mean = sum(latencies) / len(latencies) / self._service if latencies else 0.0
                seen.append(Second(self.limiter.limit, len(latencies) / ideal, mean))
                latencies.clear()
            if permit is None:
                self._at(now + self._chance.expovariate(self._rate), None)
                entered = self.limiter.enter(now)
                if isinstance(entered, Permit) and entered.state is PermitState.ADMITTED:
                    self._waiting.append(entered)
            else:
                self._busy -= 1
                if self._chance.random() < self._failing(now):
                    permit.failure(now)
                else:
                    latencies.append(now - permit.since)
                    permit.success(now)
            while self._waiting and self._busy < self._capacity(now):
                self._busy += 1
                takes = self._chance.expovariate(1 / self._service) if self._scatter else self._service
                self._at(now + takes, self._waiting.popleft())
        return seen[:seconds]

    def _at(self, instant: float, permit: Permit | None) -> None:
        self._order += 1
        heapq.heappush(self._events, (instant, self._order, permit))
