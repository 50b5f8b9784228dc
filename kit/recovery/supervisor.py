"""Runs child processes and starts again those that end.

No child outlives the supervisor. When it stops it sends SIGTERM to one after the other, the last started first, and
SIGKILL to what is left after `grace`. When it is killed itself, the children see the end of the pipe that
KIT_PARENT_FD names (`kit.recovery.watch_parent`, which `kit.run` has built in).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.clock import SYSTEM, Clock
from kit.observe import get_logger
from kit.recovery.stopping import PARENT_FD
from kit.recovery.strategies import RestartPolicy, Restarts

__all__ = ["Child", "ChildEvent", "ChildState", "Supervisor"]

log = get_logger("kit.supervisor")
#: Seconds between two looks at whether a child is ready.
READY_INTERVAL = 0.05


@dataclass(frozen=True, slots=True)
class Child:
    """A program to keep running."""

    name: str
    argv: Sequence[str]
    #: The whole environment; None inherits the supervisor's. KIT_PARENT_FD is added.
    env: Mapping[str, str] | None = None
    #: Asked again and again after a start until it says yes. None: ready as soon as it runs.
    ready: Callable[[], bool] | None = None
    #: Where standard output and error are appended; None inherits the supervisor's.
    log: Path | None = None


class ChildState(enum.Enum):
    """What happened to a child."""

    STARTED = "started"
    READY = "ready"
    EXITED = "exited"
    RESTARTING = "restarting"
    GAVE_UP = "gave-up"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildEvent:
    """One thing that happened to a child."""

    child: str
    state: ChildState
    pid: int | None = None
    #: EXITED: as `subprocess` has it, negative for a signal; None where it could not be started.
    exit_code: int | None = None
    #: RESTARTING: seconds until the next start.
    delay: float | None = None
    #: Restarts so far since the child was last stable.
    restarts: int = 0


class Supervisor:
    """Keeps children running until it is told to stop. For one `run` only."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        policy: RestartPolicy | None = None,
        on_event: Callable[[ChildEvent], object] | None = None,
        grace: float = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        """`grace`: seconds that all children together have for their end. `on_event` must not block."""
        policy = RestartPolicy() if policy is None else policy
        self._keepers = [_Keeper(child, Restarts(policy), self._emit, clock) for child in children]
        self._on_event = on_event
        self._grace = grace

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name."""
        return {
            keeper.child.name: keeper.process.pid
            for keeper in self._keepers
            if keeper.process is not None and keeper.process.returncode is None
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Starts all children and keeps them running until `stop` is set or every one was given up.

        No child runs when it returns, also when it is cancelled.
        """
        read_end, write_end = os.pipe()
        keeping = [asyncio.create_task(keeper.keep(read_end), name=keeper.child.name) for keeper in self._keepers]
        stopped: asyncio.Future[Any] = asyncio.create_task(stop.wait())
        given_up: asyncio.Future[Any] = asyncio.gather(*keeping)
        try:
            await asyncio.wait({stopped, given_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._end_all()
            os.close(write_end)
            os.close(read_end)
        await given_up

    async def _end_all(self) -> None:
        for keeper in self._keepers:
            keeper.stopping.set()
        try:
            async with asyncio.timeout(self._grace):
                for keeper in reversed(self._keepers):
                    await keeper.end()
        except TimeoutError:
            for keeper in self._keepers:
                keeper.kill()
        for keeper in self._keepers:
            await keeper.ended.wait()

    def _emit(self, event: ChildEvent) -> None:
        log.info("child", **{name: value for name, value in _fields(event) if value is not None})
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                log.exception("a listener failed", child=event.child)


class _Keeper:
    """Keeps one child running."""

    def __init__(self, child: Child, restarts: Restarts, emit: Callable[[ChildEvent], None], clock: Clock) -> None:
        self.child = child
        self.process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()
        #: It does not run and will not be started.
        self.ended = asyncio.Event()
        self._restarts = restarts
        self._emit = emit
        self._clock = clock

    async def keep(self, parent_fd: int) -> None:
        """Starts the child again and again until it is stopped or given up."""
        try:
            while not self.stopping.is_set():
                await self._once(parent_fd)
                if self.stopping.is_set():
                    return
                delay = self._restarts.ended(self._clock.now())
                if delay is None:
                    self._tell(ChildState.GAVE_UP)
                    return
                self._tell(ChildState.RESTARTING, delay=delay)
                await self._pause(delay)
        finally:
            self.ended.set()

    async def end(self) -> None:
        """SIGTERM, then waits for the end."""
        self._signal("terminate")
        await self.ended.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self._signal("kill")

    def _signal(self, verb: str) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                getattr(self.process, verb)()

    async def _once(self, parent_fd: int) -> None:
        """One life of the child."""
        try:
            self.process = await self._spawn(parent_fd)
        except OSError as error:
            log.error("a child could not be started", child=self.child.name, error=str(error))  # noqa: TRY400
            self._tell(ChildState.EXITED)
            return
        self._tell(ChildState.STARTED)
        if self.stopping.is_set():
            # The stop came while it was being started, and found nothing to signal.
            self._signal("terminate")
        readiness = asyncio.create_task(self._until_ready())
        try:
            code = await self.process.wait()
        finally:
            readiness.cancel()
            if self.process.returncode is None:
                self.kill()
                await self.process.wait()
        self._tell(ChildState.EXITED, exit_code=code)

    async def _spawn(self, parent_fd: int) -> asyncio.subprocess.Process:
        env = {**(os.environ if self.child.env is None else self.child.env), PARENT_FD: str(parent_fd)}
        with contextlib.ExitStack() as stack:
            output: int | None = None
            if self.child.log is not None:
                self.child.log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(self.child.log.open("ab")).fileno()
            return await asyncio.create_subprocess_exec(
                *self.child.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                pass_fds=(parent_fd,),
            )

    async def _until_ready(self) -> None:
        try:
            while self.child.ready is not None and not self.child.ready():
                await self._clock.sleep(READY_INTERVAL)
        except Exception:
            log.exception("the readiness check of a child failed", child=self.child.name)
            return
        self._restarts.healthy(self._clock.now())
        self._tell(ChildState.READY)

    async def _pause(self, delay: float) -> None:
        stop = asyncio.ensure_future(self.stopping.wait())
        pause = asyncio.ensure_future(self._clock.sleep(delay))
        try:
            await asyncio.wait({stop, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            pause.cancel()

    def _tell(self, state: ChildState, *, exit_code: int | None = None, delay: float | None = None) -> None:
        pid = None if self.process is None else self.process.pid
        self._emit(
            ChildEvent(
                child=self.child.name,
                state=state,
                pid=pid,
                exit_code=exit_code,
                delay=delay,
                restarts=self._restarts.count,
            )
        )


def _fields(event: ChildEvent) -> list[tuple[str, object]]:
    return [
        ("child", event.child),
        ("state", event.state.value),
        ("pid", event.pid),
        ("exit_code", event.exit_code),
        ("delay", event.delay),
    ]
