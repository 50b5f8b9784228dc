"""Where the calls of one server wait to be let in, on the event loop. `kit.resilience.admission` decides.

Where calls wait for each other, or a handler that computes has held up the event loop (`kit.resilience.pace`), handlers
begin one by one from a queue of the kit's own, and the loop turns in between until what has come meanwhile is accepted.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterable
from contextvars import Context
from random import random
from typing import Any

from kit.call import expires_at
from kit.resilience.admission import Admission, AdmissionControl, Permit, Refusal
from kit.resilience.pace import BLOCK, Pace
from kit.resilience.priority import Priority
from kit.resilience.service_time import ServiceTime

__all__ = ["Door", "Refused"]

#: Seconds between two looks for calls that wait in vain.
_SWEEP = 0.05
_yield: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class Refused(Exception):  # noqa: N818 - it never leaves the layer
    """A call is not let in."""

    def __init__(self, why: Refusal, come_back: float) -> None:
        super().__init__(why.value)
        self.why = why
        self.come_back = come_back


class Door:
    """The door of one server. `cpu` gives the CPU seconds of the event loop's thread."""

    def __init__(self, options: Admission, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        self._clock, self._cpu = clock, cpu
        self.control = AdmissionControl(options, clock())
        self.pace = Pace(clock(), cpu())
        #: Where those that wait are told.
        self._turns: dict[Permit, asyncio.Future[Refusal | None]] = {}
        self._pumping = False
        self._sweeping = False

    async def enter(self, now: float, priority: Priority, time: ServiceTime, context: Any) -> Permit:
        """The permit of a call, when it may begin. Raises Refused."""
        control = self.control
        if not self.pace.held or not control.options.max_queued:
            found = control.enter(now, time)
            if found is not None:
                return found
        left = context.time_remaining()
        permit, gave_way = control.queue(now, priority, time, math.inf if left is None else now + left)
        if gave_way is not None:
            self._tell([(gave_way, Refusal.GAVE_WAY)])
        if isinstance(permit, Refusal):
            raise self.refused(permit)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Refusal | None] = loop.create_future()
        self._turns[permit] = turn
        self.pump()
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP, self._sweep, context=Context())
        try:
            why = await turn
        except BaseException:
            # The client gave up. It may just have been let in.
            self.released(permit)
            raise
        finally:
            del self._turns[permit]
        if why is not None:
            raise self.refused(why)
        return permit

    def look(self, now: float) -> None:
        """Sees whether the loop has computed since the last look, which was at least `BLOCK` ago."""
        self.pace.computed(now, self._cpu())

    def ended(self, permit: Permit, *, given_up: bool = False) -> None:
        """The call has ended. One that was given up before its deadline says nothing of the load."""
        now, pace = self._clock(), self.pace
        if now - pace.seen >= BLOCK:
            self.look(now)
        else:
            pace.seen = now
        until = expires_at()
        if given_up and until > now:
            permit.released(now)
        else:
            permit.ended(now, until - permit.since)
        self.pump()

    def passed(self, since: float, time: ServiceTime, *, calls: int = 1, given_up: bool = False) -> None:
        """The same for a call that began at once, without a permit; it stands for so many `calls`."""
        now = self._clock()
        until = expires_at()
        if given_up and until > now:
            self.control.running -= 1
        else:
            self.control.passed(now, since, until - since, time, calls)
        self.pump()

    def released(self, permit: Permit) -> None:
        """It gave up waiting, or is a stream that begins: how long that stays open says nothing of the load."""
        permit.released(self._clock())
        self.pump()

    def stop(self) -> None:
        """Refuses who waits, and from now on whoever would have to."""
        self._tell(self.control.stop())

    def refused(self, why: Refusal) -> Refused:
        """The refusal, and when to come back."""
        return Refused(why, self.control.come_back(self._clock(), random()))  # noqa: S311 - nobody gains by guessing it

    def pump(self) -> None:
        """Looks at who waits, if anybody does, in the next turn of the loop."""
        if self._turns and not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._turn, context=Context())

    def _turn(self) -> None:
        """Once in each turn of the loop, for as long as somebody waits and may be let in."""
        self._pumping = False
        now, pace = self._clock(), self.pace
        if now - pace.seen >= BLOCK:
            self.look(now)
        else:
            pace.seen = now
        if pace.held and not pace.turned(now):
            # The thread that hands over what has come may want this processor.
            _yield()
            self.pump()
            return
        permit, refused = self.control.next(now)
        self._tell(refused)
        if permit is not None:
            _wake(self._turns[permit], None)
            self.pump()

    def _sweep(self) -> None:
        self._sweeping = False
        self._tell(self.control.sweep(self._clock()))
        if self.control.queued:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP, self._sweep, context=Context())

    def _tell(self, refused: Iterable[tuple[Permit, Refusal]]) -> None:
        for permit, why in refused:
            _wake(self._turns[permit], why)


def _wake(turn: asyncio.Future[Refusal | None], why: Refusal | None) -> None:
    # Who waits may have been cancelled in this turn of the loop, and not know it yet.
    if not turn.done():
        turn.set_result(why)
