"""The child processes of `loganalyzer up`, kept alive by the kit's supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kit.discovery import Registry
from kit.recovery import Child, ChildEvent, ChildState, Supervisor
from services.cli import leftovers, ready
from services.cli.plan import EVERYTHING, Plan, command, environment

#: Seconds that all of them together have for their end before they are killed.
GRACE = 15.0
#: Bytes of a log above which a new one is begun at the next start.
LARGE_LOG = 16 << 20


class Processes:
    """Starts EVERYTHING and tells with `say` what befalls them, until `stop` is set."""

    def __init__(self, plan: Plan, registry: Registry, stop: asyncio.Event, *, say: Callable[[str], object]) -> None:
        self._plan = plan
        self._stop = stop
        self._say = say
        env = environment(plan, os.environ)
        self._supervisor = Supervisor(
            [
                Child(
                    name,
                    command(name),
                    env,
                    partial(_registered, registry, name),
                    plan.log_file(name),
                    partial(ready.alive, registry, name),
                )
                for name in EVERYTHING
            ],
            on_event=self._tell,
            grace=GRACE,
        )
        self._running: asyncio.Task[None] | None = None
        self._lost: set[str] = set()
        #: Names of those that ended again and again and are not started any more; `failed` is set with the first.
        self.given_up: list[str] = []
        self.failed = asyncio.Event()

    def start(self) -> None:
        """Starts them; returns at once."""
        for name in EVERYTHING:
            _put_aside(self._plan.log_file(name))
        self._running = asyncio.create_task(self._supervisor.run(self._stop))

    async def ended(self) -> None:
        """Returns when none of them runs. Set `stop` before."""
        if self._running is not None:
            await self._running

    def _tell(self, event: ChildEvent) -> None:
        if event.state is ChildState.STARTED:
            leftovers.note(self._plan.children_file, self._supervisor.pids)
        if self._stop.is_set():
            return
        match event.state:
            case ChildState.HUNG:
                self._say(f"{event.child} does not answer; it is killed")
            case ChildState.EXITED:
                self._say(f"{event.child} ended ({_how(event.exit_code)})")
                self._lost.add(event.child)
            case ChildState.READY if event.child in self._lost:
                self._say(f"{event.child} was started again (process {event.pid})")
                self._lost.discard(event.child)
            case ChildState.GAVE_UP:
                self._say(f"{event.child} is not started again: it ended too often")
                self.given_up.append(event.child)
                self.failed.set()


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "it could not be started"
    return f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name


def _put_aside(path: Path) -> None:
    """Keeps a log that has grown large as the one before, so that two at most are kept."""
    if path.exists() and path.stat().st_size > LARGE_LOG:
        path.replace(path.with_suffix(".old.log"))


def _registered(registry: Registry, name: str) -> bool:
    return bool(registry.lookup(name))
