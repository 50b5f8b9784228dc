"""Time for what may answer with an estimate: it has to be there before the caller stops waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import kit
from kit.clock import Clock
from services.search.job import Job, Jobs
from services.search.seam import Done, Event, Hits, LogLine, Plan, Progress

__all__ = ["BUDGET_SECONDS", "Budget", "Sample", "budget", "newest"]

#: Seconds that an estimate takes at most.
BUDGET_SECONDS = 3.0
#: The part of the time that the call has left. The rest is for the way back, and for a machine that is busy.
SHARE = 0.6
#: The part of the time for a sample in which its lines are counted.
COUNT_SHARE = 0.2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds of a clock. `ends` is an instant of its `now()`."""

    clock: Clock
    ends: float

    @property
    def left(self) -> float:
        """Seconds, 0 when it is used up."""
        return max(0.0, self.ends - self.clock.now())

    def part(self, share: float) -> Budget:
        """The next part of what is left."""
        return Budget(self.clock, self.clock.now() + share * self.left)

    async def spend(self, work: Awaitable[T]) -> T:
        """Waits for work. TimeoutError when it is not done in time: it is cancelled then."""
        task = asyncio.ensure_future(work)
        alarm = asyncio.ensure_future(self.clock.sleep(self.left))
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            alarm.cancel()
            task.cancel()
            await asyncio.gather(task, alarm, return_exceptions=True)


def budget(clock: Clock) -> Budget:
    """What an answer may take that is begun now, within the deadline of the call that is served."""
    return Budget(clock, clock.now() + min(BUDGET_SECONDS, SHARE * kit.deadline().remaining()))


@dataclass(slots=True)
class Sample:
    """How many lines were looked at, and how many match in all, about; `exact`: as many, and all were looked at."""

    read: int = 0
    total: int = 0
    exact: bool = False


async def newest(jobs: Jobs, job: Job, time: Budget, take: Callable[[Sequence[LogLine]], bool]) -> Sample:
    """Gives the newest matching lines to `take`, in a thread, until it returns False or the time is up."""
    sample, progress = Sample(), Progress(0, 0)
    total: int | None = None
    with contextlib.suppress(TimeoutError):
        # The index may know it at once.
        counted = await time.part(COUNT_SHARE).spend(jobs.index.answer(job.snapshot, Plan(query=job.query, limit=0)))
        total = counted.done.total
    async with aclosing(_until(jobs.index.search(job.snapshot, Plan(query=job.query)), time)) as events:
        async for event in events:
            match event:
                case Progress():
                    progress = event
                case Hits():
                    lines = event.lines
                    sample.read += len(lines)
                    if not await jobs.blocking(lambda: take(lines)):  # noqa: B023 - waited for
                        break
                case Done():
                    sample.total, sample.exact = sample.read, True
    if total is not None:
        sample.total, sample.exact = total, total == sample.read
    elif not sample.exact:
        # As many again in what was not searched.
        about = sample.read * progress.total // max(1, progress.done)
        sample.total = min(max(sample.read, about), job.snapshot.line_count)
    return sample


async def _until(events: AsyncGenerator[Event], time: Budget) -> AsyncGenerator[Event]:
    """The events that come in time."""
    async with aclosing(events):
        while time.left:
            try:
                event = await time.spend(anext(events))
            except (TimeoutError, StopAsyncIteration):
                return
            yield event
