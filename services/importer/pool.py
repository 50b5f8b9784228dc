"""The worker processes: shared out among the imports, replaced when they die.

Imports take turns (turns.py). A long task gives its worker away behind a split where it can go on cheaply. A small task
of an import of which nothing runs does not wait for that: while every worker is busy it gets one more process, which
ends again when it has had nothing to do for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import kit
from kit.clock import SYSTEM, Clock
from services.importer.messages import TaskSpec
from services.importer.processes import OnMessage, TaskFailed, Worker, WorkerDied, Yielded
from services.importer.turns import Turns, Waiting

#: Bytes that a small task has at most: a second or two of work.
SMALL_BYTES = 32 << 20
# The process for small tasks is ended after so long without any.
_IDLE_SECONDS = 20.0


class WorkerPool:
    """`count` processes, each with one task at a time; a caller waits for a free one."""

    def __init__(self, count: int, *, command: Sequence[str] | None = None, clock: Clock = SYSTEM) -> None:
        self._workers = [Worker(command) for _ in range(count)]
        self._free = list(self._workers)
        self._extra = Worker(command)
        self._extra_free = True
        self._extra_used = 0
        self._clock = clock
        self._turns = Turns()
        self._given: dict[int, asyncio.Future[Worker]] = {}
        self._tailed: set[str] = set()
        self._ending: asyncio.Task[None] | None = None

    @property
    def pids(self) -> list[int]:
        """Of the processes that are alive."""
        return [worker.pid for worker in (*self._workers, self._extra) if worker.alive]

    async def start(self) -> None:
        """Starts the processes; they get ready by themselves."""
        for worker in self._workers:
            await worker.start()

    async def run(
        self, spec: TaskSpec, on_message: OnMessage, *, weight: int = SMALL_BYTES + 1, yields: bool = False
    ) -> dict[int, int]:
        """Does a task; returns the files that were whole without lines, by number of the file on disk.

        `weight` is about how many bytes it has; `yields` says that going on behind a split costs little. Raises
        WorkerDied, TaskFailed or Yielded. When it is cancelled the worker stops within a second, by force if it must.
        """
        waiting = self._turns.wait(spec.import_id, small=weight <= SMALL_BYTES)
        given = self._given[waiting.number] = asyncio.get_running_loop().create_future()
        self._share_out()
        try:
            worker: Worker = await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self._release(waiting, given.result())
            else:
                self._turns.give_up(waiting)
            raise
        finally:
            del self._given[waiting.number]
        try:
            return await worker.run(
                spec,
                on_message,
                tail=spec.workspace in self._tailed,
                give_way=lambda: yields and self._turns.should_yield(waiting),
            )
        finally:
            self._release(waiting, worker)

    async def tail(self, workspace: str, on: bool) -> None:
        """Has the workers send the lines that they read for a workspace, or no more."""
        (self._tailed.add if on else self._tailed.discard)(workspace)
        for worker in (*self._workers, self._extra):
            if worker.workspace == workspace:
                with contextlib.suppress(WorkerDied):  # its task hears of it too
                    await worker.tail(on=on)

    async def stop(self) -> None:
        """Ends the processes. Their unfinished splits are removed when they are built again."""
        if self._ending is not None:
            self._ending.cancel()
        await asyncio.gather(*(worker.kill() for worker in (*self._workers, self._extra)))

    def _share_out(self) -> None:
        while self._free and (one := self._turns.next()) is not None:
            self._give(one, self._free.pop())
        if self._extra_free and not self._free and (small := self._turns.next(small=True)) is not None:
            self._extra_free = False
            self._extra_used += 1
            self._give(small, self._extra)

    def _give(self, one: Waiting, worker: Worker) -> None:
        given = self._given[one.number]
        if given.cancelled():
            self._release(one, worker)
        else:
            given.set_result(worker)

    def _release(self, one: Waiting, worker: Worker) -> None:
        self._turns.done(one)
        if worker is self._extra:
            self._extra_free = True
            if self._ending is None or self._ending.done():
                self._ending = kit.background(self._end_extra(), name="end of the extra worker")
        else:
            self._free.append(worker)
        self._share_out()

    async def _end_extra(self) -> None:
        used = -1
        while used != self._extra_used or not self._extra_free:
            used = self._extra_used
            await self._clock.sleep(_IDLE_SECONDS)
        self._extra_free = False
        await self._extra.kill()
        self._extra_free = True
        self._share_out()


__all__ = ["SMALL_BYTES", "OnMessage", "TaskFailed", "WorkerDied", "WorkerPool", "Yielded"]
