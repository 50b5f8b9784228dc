"""The background job that deletes workspaces.

A deletion is durable before anybody is told of it. The job then empties the workspace at the other services, takes
its row away and ends the operation. It tries until it works, and starts again where a stopped process left it: every
step may be done twice. Nothing here knows gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kit.clock import SYSTEM, Clock
from kit.observe import get_logger
from services.workspace.names import workspace_name
from services.workspace.store import Operation, Store

#: Seconds before the second try; doubled for each further one.
FIRST_PAUSE = 0.5
#: Seconds between two tries at most.
LONGEST_PAUSE = 30.0
#: How long a finished operation can be asked about: a week, in microseconds.
KEEP_ENDED_US = 7 * 24 * 3600 * 1_000_000
#: Deletions that are worked on at a time.
PARALLEL = 4

#: Takes "workspaces/<id>". Any Exception means: not done, try again.
Step = Callable[[str], Awaitable[object]]

_log = get_logger("workspace.deletion")


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row (1 or more)."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 32))


def now_us(clock: Clock) -> int:
    """Microseconds since 1970."""
    return round(clock.wall() * 1e6)


class Deletions:
    """Runs the deletions of one store. `steps` empty a workspace, in order; each is called with its name."""

    def __init__(self, store: Store, steps: tuple[Step, ...], *, clock: Clock = SYSTEM) -> None:
        self._store = store
        self._steps = steps
        self._clock = clock
        self._submitted: asyncio.Queue[Operation] = asyncio.Queue()
        self._ended: dict[str, asyncio.Event] = {}
        self._places = asyncio.Semaphore(PARALLEL)

    def submit(self, operation: Operation) -> None:
        """Has a durable operation carried out. One that is done or already submitted is left alone."""
        if operation.end_time is None and operation.id not in self._ended:
            self._ended[operation.id] = asyncio.Event()
            self._submitted.put_nowait(operation)

    async def run(self) -> None:
        """Carries out what a process before this one left, then what is submitted, until it is cancelled."""
        for operation in await self._store.unfinished():
            self.submit(operation)
        await self._store.forget_ended_before(now_us(self._clock) - KEEP_ENDED_US)
        # The tasks are started here, not in `submit`: there they would inherit the deadline of the call that submits.
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._carry_out(await self._submitted.get()))

    async def wait(self, operation: str, timeout: float) -> None:
        """Returns when the operation has ended or after `timeout` seconds, whichever comes first."""
        event = self._ended.get(operation)
        if event is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            pass

    async def _carry_out(self, operation: Operation) -> None:
        failures = 0
        while not await self._attempt(operation):
            failures += 1
            await self._clock.sleep(pause(failures))
        _log.info("workspace deleted", workspace=operation.workspace, operation=operation.id, tries=failures + 1)
        self._ended.pop(operation.id).set()

    async def _attempt(self, operation: Operation) -> bool:
        async with self._places:
            try:
                for step in self._steps:
                    await step(workspace_name(operation.workspace))
                now = now_us(self._clock)
                await self._store.finish_deletion(operation.id, now)
                await self._store.forget_ended_before(now - KEEP_ENDED_US)
            except Exception as error:  # noqa: BLE001 - whatever it is, the deletion was promised and is tried again
                _log.warning(
                    "deletion failed, will be tried again",
                    workspace=operation.workspace,
                    operation=operation.id,
                    error=str(error),
                )
                return False
            return True
