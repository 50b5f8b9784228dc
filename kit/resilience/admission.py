"""Which calls a server takes, and when: by priority, by usefulness, by what it can do at a time.

Theory of operation. Where fewer calls run than the limit and nobody waits, a call is let in at once, as a rule without
a permit, which costs time (unless the event loop is held, `kit.resilience.pace`; then it is queued). Any other waits in
a queue of the server's own, by priority and then by arrival, or is refused. It waits only if it will be answered before
its deadline, by what the calls before it usually take, or if nobody else waits: a guess is no reason to refuse a call
that is in nobody's way; and once the queue has been standing for `interval` seconds, if that is no burst then, only if
it will have to wait for less than half of its time. So nobody is served in vain, and first come, first served, which is
fair, is safe: the queue cannot grow until all that is in it is late. Without a deadline a call waits `max_wait`
seconds.

What is said of the wait of a priority is corrected by what such calls had to wait: those that matter more and come
later go before them. A call that finds no room takes that of the latest of those that matter least, and less than it:
nothing is refused for lack of room while something that matters less waits.

    permit      what happened                                   next        places
    -           `enter`: room, and nobody waits                 ADMITTED    one taken
    -           `queue`                                         QUEUED      or refused
    QUEUED      `next`: its turn, and there is a place          ADMITTED    one taken
    QUEUED      `next` or `sweep`: not useful any more          SETTLED     -
    QUEUED      gives way or gives up                           SETTLED     -
    ADMITTED    ended, released                                 SETTLED     one free
    SETTLED     anything                                        SETTLED     -

A stream gives its place back as soon as it has begun: how long it stays open says nothing of the load. The limit is
`max_concurrent`, or what `kit.resilience.pressure` finds below it while calls suffer from each other.

Invariants: nobody is let in at or above the limit, or before one that waits and matters more; waiting <= max_queued;
each permit frees its place once.
"""

from __future__ import annotations

import enum
from collections import Counter

from kit.resilience.admission_queue import Lines
from kit.resilience.admission_rules import Admission, Refusal
from kit.resilience.pressure import Pressure
from kit.resilience.priority import Priority
from kit.resilience.service_time import ServiceTime, Speed

__all__ = ["Admission", "AdmissionControl", "Permit", "PermitState", "Refusal"]

#: So many may wait for more than half of their time even if the queue stands: with none, the server would idle between
#: two calls.
_FEW = 4
_HALF = 0.5
#: How fast, and how far, the wait of a priority is corrected.
_CORRECT, _MOST = 1 / 8, 4.0


class PermitState(enum.Enum):
    """Where a permit stands."""

    QUEUED = 1
    ADMITTED = 2
    SETTLED = 3


_QUEUED, _ADMITTED, _SETTLED = PermitState.QUEUED, PermitState.ADMITTED, PermitState.SETTLED


class Permit:
    """One call's place, or its claim to one. Settle it once: the first settlement counts."""

    __slots__ = ("_control", "cost", "expires_at", "generation", "priority", "said", "since", "state", "time")

    def __init__(self, control: AdmissionControl, time: ServiceTime, since: float, generation: int) -> None:
        self._control = control
        self.time = time
        #: When it was admitted, or began to wait.
        self.since = since
        self.generation = generation
        self.state = _ADMITTED

    #: Of one that waits: what its call will usually take, when it ends at the latest, the wait that was expected.
    priority: Priority
    cost: float
    expires_at: float
    said: float

    def ended(self, now: float, given: float) -> None:
        """The call ran to its end, or to that of the `given` seconds that it had: infinite for no deadline."""
        if self.state is not _ADMITTED:
            self.released(now)
            return
        self.state = _SETTLED
        self._control._told(now, now - self.since, given, self.time, self.generation, 1)

    def released(self, now: float) -> None:
        """It gave up waiting, was cancelled, or is a stream that has begun: nothing is learned."""
        state, self.state = self.state, _SETTLED
        if state is _QUEUED:
            self._control._left(self)
        elif state is _ADMITTED:
            self._control._released(self)


class AdmissionControl:
    """The door of one server process. Instants in seconds."""

    __slots__ = (
        "_lines",
        "_pressure",
        "_speed",
        "_standing",
        "_stretch",
        "at_once",
        "options",
        "refused",
        "running",
        "stopping",
    )

    def __init__(self, options: Admission, now: float) -> None:
        self.options = options
        self._pressure = Pressure(options.max_concurrent, now, adaptive=options.adaptive)
        self._lines: Lines[Permit] = Lines()
        self._speed = Speed()
        #: Since when somebody has been waiting without a break; None while nobody waits.
        self._standing: float | None = None
        # By the number of the priority: how much longer than the queue before them such calls have to wait.
        self._stretch = [1.0] * (len(Priority) + 1)
        #: Calls that are admitted and not settled.
        self.running = 0
        #: While fewer run, a call may begin without a permit: count it in `running`, and tell its end by `passed`. 0
        #: while somebody waits, or the limit is lower than its ceiling.
        self.at_once = options.max_concurrent
        #: How many were refused, by priority and reason.
        self.refused: Counter[tuple[Priority, Refusal]] = Counter()
        #: Whether who would have to wait is refused.
        self.stopping = False

    @property
    def limit(self) -> int:
        """Calls that may run at a time now."""
        return self._pressure.limit

    @property
    def queued(self) -> int:
        """Calls that wait."""
        return self._lines.count

    def overloaded(self, now: float) -> bool:
        """Whether the queue has been standing for too long to be a burst."""
        return self._standing is not None and now - self._standing >= self.options.interval

    def wait(self, priority: Priority, time: ServiceTime) -> float:
        """What a call that came now would have to wait, in seconds; 0.0 while nothing is known."""
        lines = self._lines
        wait = self._speed.wait(lines.cost(priority) + time.mean, lines.length(priority) + 1)
        return wait * max(self._stretch[: priority + 1])

    def enter(self, now: float, time: ServiceTime) -> Permit | None:
        """The permit of a call that is let in at once; None where it has to be queued."""
        pressure = self._pressure
        if self._lines.count or self.running >= pressure.limit:
            return None
        self.running += 1
        return Permit(self, time, now, pressure.admitted() if pressure.limited else 0)

    def passed(self, now: float, since: float, given: float, time: ServiceTime, calls: int) -> None:
        """A call that began without a permit, at `since`, has ended; it stands for so many `calls` like it.

        Of calls that were not slowed down one in `time.spared` and one need be told so; for the others it is enough to
        take them off `running`.
        """
        self._told(now, now - since, given, time, 0, calls)

    def shut(self, now: float, priority: Priority, time: ServiceTime) -> Refusal | None:
        """Why a call of that priority is refused whatever it asks for; None where `queue` has to say."""
        if not self._lines.count or self._lines.last_below(priority) is not None:
            return None
        refusal = self._no_room(now, priority, time, time.patience)
        return None if refusal is None else self._refused(priority, refusal)

    def queue(
        self, now: float, priority: Priority, time: ServiceTime, expires_at: float
    ) -> tuple[Permit | Refusal, Permit | None]:
        """A permit that waits, or why there is none; and the permit of who had to give way to it."""
        left = expires_at - now
        time.given(left)
        wait = self.wait(priority, time)
        gives_way = None
        refusal = Refusal.EXPIRED if left <= 0.0 else None
        if refusal is None and self._lines.count and wait + time.needed > left:
            refusal = Refusal.USELESS
        if refusal is None:
            refusal = self._no_room(now, priority, time, left)
            if refusal is not None and not self.stopping:
                gives_way = self._lines.last_below(priority)
        if refusal is not None and gives_way is None:
            return self._refused(priority, refusal), None
        if gives_way is not None:
            self._drop(gives_way, Refusal.GAVE_WAY)
        permit = Permit(self, time, now, 0)
        permit.state, permit.priority, permit.cost, permit.expires_at = _QUEUED, priority, time.mean, expires_at
        permit.said = wait / max(self._stretch[: priority + 1])
        if self._standing is None:
            self._standing = now
        self._lines.add(permit)
        self.at_once = 0
        return permit, gives_way

    def next(self, now: float) -> tuple[Permit | None, list[tuple[Permit, Refusal]]]:
        """Lets in whose turn it is, if there is a place; and who was refused because it is too late for them."""
        refused: list[tuple[Permit, Refusal]] = []
        pressure = self._pressure
        while self.running < pressure.limit and (permit := self._lines.first()) is not None:
            self._correct(permit, now - permit.since)
            refusal = self._useless(now, permit)
            if refusal is not None:
                refused.append((permit, self._drop(permit, refusal)))
                continue
            self._lines.remove(permit)
            self._speed.begun(now, permit.cost, more=self._lines.count > 0)
            if not self._lines.count:
                self._standing = None
                self._reopen()
            permit.state, permit.since = _ADMITTED, now
            permit.generation = pressure.admitted() if pressure.limited else 0
            self.running += 1
            return permit, refused
        return None, refused

    def sweep(self, now: float) -> list[tuple[Permit, Refusal]]:
        """Refuses those who have waited too long, or in vain, while it was never their turn."""
        refused = []
        for permit in list(self._lines):
            refusal = self._useless(now, permit)
            if refusal is None and now - permit.since > self.options.max_wait:
                refusal = Refusal.WAITED
            if refusal is not None:
                refused.append((permit, self._drop(permit, refusal)))
        return refused

    def stop(self) -> list[tuple[Permit, Refusal]]:
        """Refuses all who wait, and from now on everybody who would have to."""
        self.stopping = True
        return [(permit, self._drop(permit, Refusal.STOPPING)) for permit in list(self._lines)]

    def come_back(self, now: float, u: float) -> float:
        """Seconds after which who was refused may call again; `u` spreads them: all at once would be refused again."""
        lines, last = self._lines, Priority.SHEDDABLE
        longest = max(self._speed.wait(lines.cost(last), lines.length(last)), self.options.interval)
        return longest * (0.5 + u)

    def _no_room(self, now: float, priority: Priority, time: ServiceTime, left: float) -> Refusal | None:
        """Why there is no room for a call that has so many seconds left; another may have to give way to it."""
        if self.stopping:
            return Refusal.STOPPING
        if self._lines.count >= self.options.max_queued:
            return Refusal.QUEUE_FULL
        if not self.overloaded(now):
            # A burst: what is said of its speed rests on a few calls, and it is soon over, or no burst.
            return None
        most = min(left - time.needed, self.options.max_wait)
        if self._lines.length(priority) >= _FEW:
            most = min(left * _HALF, most)
        return Refusal.OVERLOADED if self.wait(priority, time) > most else None

    def _useless(self, now: float, permit: Permit) -> Refusal | None:
        if permit.expires_at <= now:
            return Refusal.EXPIRED
        # What a call usually takes is a guess: one that is in nobody's way may be quicker.
        if self._lines.count == 1:
            return None
        return Refusal.USELESS if now + permit.time.needed > permit.expires_at else None

    def _correct(self, permit: Permit, waited: float) -> None:
        if permit.said > 0.0:
            off = min(max(waited / permit.said, 1.0), _MOST) - self._stretch[permit.priority]
            self._stretch[permit.priority] += off * _CORRECT

    def _refused(self, priority: Priority, refusal: Refusal) -> Refusal:
        self.refused[priority, refusal] += 1
        return refusal

    def _drop(self, permit: Permit, refusal: Refusal) -> Refusal:
        permit.state = _SETTLED
        self._left(permit)
        return self._refused(permit.priority, refusal)

    def _left(self, permit: Permit) -> None:
        self._lines.remove(permit)
        if not self._lines.count:
            self._standing = None
            self._speed.emptied()
            self._reopen()

    def _reopen(self) -> None:
        self.at_once = 0 if self._lines.count or self._pressure.limited else self._pressure.limit

    def _told(self, now: float, took: float, given: float, time: ServiceTime, generation: int, calls: int) -> None:
        time.learned(took, alone=self.running == 1)
        pressure = self._pressure
        limited = pressure.limited
        pressure.ended(now, took, given, time.least, self.running, generation, calls)
        self.running -= 1
        if limited is not pressure.limited:
            self._reopen()

    def _released(self, permit: Permit) -> None:
        self._pressure.left(permit.generation)
        self.running -= 1
