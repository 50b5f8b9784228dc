"""Keeps one care process running for a data folder, however many search processes there are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from kit.clock import SYSTEM, Clock
from kit.recovery import Child, ChildEvent, ChildState, RestartPolicy, Supervisor
from services.search.care import locks
from services.search.config import Config

__all__ = ["CareProcess", "child_environment"]

#: Seconds from the start of the service to that of the care process: searching comes first.
DELAY_SECONDS = 2.0
#: Seconds between two looks at whether the search process that had the care process is gone.
LOOK_SECONDS = 5.0
#: Seconds that it has to put its work down before it is killed. What it has not finished is done again.
_GRACE = 3.0


class CareProcess:
    """Starts the care process, and again when it ends, if no other search process of the data folder does.

    The process ends when this one does, however it ends.
    """

    def __init__(self, config: Config, *, clock: Clock = SYSTEM, delay: float = DELAY_SECONDS) -> None:
        self._config = config
        self._clock = clock
        self._delay = delay
        #: It has been started at least once.
        self.started = asyncio.Event()
        self._stop = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._supervisor: Supervisor | None = None

    @property
    def pid(self) -> int | None:
        """Of the care process, while it runs for this search process."""
        return None if self._supervisor is None else self._supervisor.pids.get("care")

    async def start(self) -> None:
        """Returns at once."""
        self._stop.clear()
        self._keeping = asyncio.create_task(self._keep(), name="care")

    async def stop(self) -> None:
        """Returns when the process does not run any more; a second time does nothing."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return
        self._stop.set()
        if self._supervisor is None:
            keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping

    async def _keep(self) -> None:
        await self._clock.sleep(self._delay)
        while True:
            with locks.held(self._config.database.with_name(locks.ONE)) as mine:
                if mine:
                    await self._run()
                    return
            await self._clock.sleep(LOOK_SECONDS)

    async def _run(self) -> None:
        config = self._config
        # -P: a folder "services" where the service was started must not be taken for ours.
        command = [sys.executable, "-P", "-m", "services.search.care"]
        arguments = [str(config.database), str(config.splits), config.workspace_target]
        self._supervisor = Supervisor(
            [Child("care", [*command, *arguments], child_environment())],
            policy=RestartPolicy(max_restarts=1_000_000),
            on_event=self._tell,
            grace=_GRACE,
        )
        try:
            await self._supervisor.run(self._stop)
        finally:
            self._supervisor = None

    def _tell(self, event: ChildEvent) -> None:
        if event.state is ChildState.STARTED:
            self.started.set()


def child_environment() -> dict[str, str]:
    """This process's environment, and a PYTHONPATH that finds this very code."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
