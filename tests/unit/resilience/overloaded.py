"""A server in virtual time that is asked for more than it can do; what it answers is up to the machine under test.

It computes: a call takes the only processor for `service` seconds, and whoever comes meanwhile is seen afterwards, at a
cost of its own, refused or not, and dearer if it is refused late. Or it waits: so many calls have a connection at a
time, and the others that were let in queue up behind them, where the machine does not see it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kit.resilience.admission import Admission, AdmissionControl, Permit, Refusal
from kit.resilience.priority import Priority
from kit.resilience.service_time import ServiceTime

__all__ = ["Load", "Seen", "computing", "rates", "waiting"]

#: CPU seconds of accepting a call, and of telling one that it is refused after its request was received.
ACCEPT = 0.0003
REFUSE = 0.0001


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Calls that come at random, so many a second of each priority, with so many seconds to live."""

    per_second: Mapping[Priority, float]
    timeout: float = 0.5
    seconds: float = 20.0
    service: float = 0.02
    seed: int = 1

    def arrivals(self) -> Iterator[tuple[float, Priority]]:
        dice = random.Random(self.seed)
        total = sum(self.per_second.values())
        kinds, weights = list(self.per_second), list(self.per_second.values())
        now = 0.0
        while (now := now + dice.expovariate(total)) < self.seconds:
            yield now, dice.choices(kinds, weights)[0]


@dataclass(slots=True)
class Seen:
    """What became of the calls."""

    #: By priority: calls made, and those answered in time.
    made: Counter[Priority] = field(default_factory=Counter)
    good: Counter[Priority] = field(default_factory=Counter)
    #: Calls that ran to their end, but too late.
    late: int = 0
    #: By priority, from the call to the answer.
    took: dict[Priority, list[float]] = field(default_factory=lambda: {priority: [] for priority in Priority})
    #: (when, who, why), and (when, who) of those that were let in.
    refused: list[tuple[float, Priority, Refusal]] = field(default_factory=list)
    begun: list[tuple[float, Priority]] = field(default_factory=list)

    def answered(self, priority: Priority, came: float, now: float, load: Load) -> None:
        if now - came <= load.timeout:
            self.good[priority] += 1
            self.took[priority].append(now - came)
        else:
            self.late += 1

    def goodput(self, load: Load) -> float:
        return self.good.total() / load.seconds


class _Door:
    """The driver: what `kit.server` does with the machine, without an event loop."""

    def __init__(self, options: Admission, load: Load) -> None:
        self.control = AdmissionControl(options, 0.0)
        self.time = ServiceTime()
        self.load = load
        self.seen = Seen()
        self.came: dict[Permit, float] = {}

    def comes(self, now: float, came: float, priority: Priority, *, held: bool = False) -> Permit | Refusal | None:
        """A call is seen: its permit if it may begin at once, why it was refused, None where it waits."""
        control = self.control
        self.seen.made[priority] += 1
        if (why := control.shut(now, priority, self.time)) is not None:
            self.seen.refused.append((now, priority, why))
            return why
        permit = None if held else control.enter(now, self.time)
        if permit is not None:
            permit.priority = priority
            self.begins(permit, now, came)
            return permit
        found, gave_way = control.queue(now, priority, self.time, came + self.load.timeout)
        if gave_way is not None:
            self.gone(gave_way, Refusal.GAVE_WAY, now)
        if isinstance(found, Refusal):
            self.seen.refused.append((now, priority, found))
            return found
        self.came[found] = came
        return None

    def begins(self, permit: Permit, now: float, came: float) -> None:
        self.came[permit] = came
        self.seen.begun.append((now, permit.priority))

    def gone(self, permit: Permit, why: Refusal, now: float) -> None:
        del self.came[permit]
        self.seen.refused.append((now, permit.priority, why))

    def next(self, now: float) -> tuple[Permit | None, int]:
        """Who begins, and how many were refused instead."""
        permit, refused = self.control.next(now)
        for gone, why in refused:
            self.gone(gone, why, now)
        if permit is not None:
            self.begins(permit, now, self.came[permit])
        return permit, len(refused)

    def ends(self, permit: Permit, now: float) -> None:
        came = self.came.pop(permit)
        permit.ended(now, came + self.load.timeout - permit.since)
        self.seen.answered(permit.priority, came, now, self.load)


def computing(options: Admission, load: Load) -> Seen:
    """One processor."""
    door, now = _Door(options, load), 0.0
    arrivals = deque(load.arrivals())
    while arrivals or door.control.queued:
        now = now if door.control.queued else max(now, arrivals[0][0])
        # The loop turns until nobody is left to be accepted, as `kit.resilience.pace` has it.
        while arrivals and arrivals[0][0] <= now:
            came, priority = arrivals.popleft()
            now += ACCEPT
            door.comes(now, came, priority, held=True)
        permit, refused = door.next(now)
        now += refused * REFUSE
        if permit is not None:
            now += load.service
            door.ends(permit, now)
    return door.seen


def waiting(options: Admission, load: Load, connections: int) -> Seen:
    """Handlers that wait for one of so many connections, first come, first served, and give up at their deadline."""
    door = _Door(options, load)
    order = itertools.count()
    arrivals = deque(load.arrivals())
    #: (when, order, who has a connection)
    ends: list[tuple[float, int, Permit]] = []
    behind: deque[Permit] = deque()
    now = 0.0

    def connect() -> None:
        while behind and len(ends) < connections:
            permit = behind.popleft()
            left = door.came[permit] + load.timeout - now
            if left <= 0:
                door.ends(permit, now)
                continue
            heapq.heappush(ends, (now + min(load.service, left + 1e-9), next(order), permit))

    def begin() -> None:
        while (found := door.next(now)[0]) is not None:
            behind.append(found)
        connect()

    while arrivals or ends:
        if arrivals and (not ends or arrivals[0][0] <= ends[0][0]):
            now, priority = arrivals.popleft()
            permit = door.comes(now, now, priority)
            if isinstance(permit, Permit):
                behind.append(permit)
        else:
            now, _, permit = heapq.heappop(ends)
            door.ends(permit, now)
        begin()
    return door.seen


def rates(times: float, capacity: float, critical: float = 0.5) -> Mapping[Priority, float]:
    """`times` the capacity, in calls a second; critical calls are `critical` of it, the rest three in five default."""
    rest = capacity * (times - critical)
    return {Priority.CRITICAL: capacity * critical, Priority.DEFAULT: rest * 0.6, Priority.SHEDDABLE: rest * 0.4}
