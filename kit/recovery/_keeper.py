"""Keeps one child running: starts it, waits for its end, starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable
from typing import Any

from kit.clock import Clock
from kit.observe import get_logger
from kit.recovery._child import AliveRules, Child, ChildEvent, ChildState
from kit.recovery.stopping import PARENT_FD
from kit.recovery.strategies import Restarts

__all__ = ["Keeper"]

log = get_logger("kit.supervisor")
#: Seconds between two looks at whether a child is ready.
READY_INTERVAL = 0.05


class Keeper:
    """One child of a supervisor."""

    def __init__(
        self, child: Child, restarts: Restarts, alive: AliveRules, emit: Callable[[ChildEvent], None], clock: Clock
    ) -> None:
        self.child = child
        self.process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()
        #: It does not run and will not be started.
        self.ended = asyncio.Event()
        self._ready = asyncio.Event()
        #: A restart was asked for: its end is none that counts.
        self._renewing: asyncio.Task[bool] | None = None
        self._renewed = asyncio.Event()
        self._restarts = restarts
        self._alive = alive
        self._emit = emit
        self._clock = clock

    async def keep(self, parent_fd: int) -> None:
        """Starts the child again and again until it is stopped or given up."""
        try:
            while not self.stopping.is_set():
                await self._once(parent_fd)
                if self.stopping.is_set():
                    return
                if self._renewed.is_set():
                    self._renewed.clear()
                    continue
                delay = self._restarts.ended(self._clock.now())
                if delay is None:
                    self._tell(ChildState.GAVE_UP)
                    return
                self._tell(ChildState.RESTARTING, delay=delay)
                await self._pause(delay)
        finally:
            self.ended.set()

    async def renew(self, grace: float) -> bool:
        """Ends the child within `grace` seconds and starts it at once; whether it got ready.

        Asked again while that is under way, it waits for the same restart.
        """
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew(grace))
        return await asyncio.shield(self._renewing)

    async def _renew(self, grace: float) -> bool:
        self._ready.clear()
        self._renewed.set()
        self.terminate()
        if (process := self.process) is not None and process.returncode is None:
            try:
                async with asyncio.timeout(grace):
                    await process.wait()
            except TimeoutError:
                self.kill()
        ready, ended = asyncio.ensure_future(self._ready.wait()), asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            return self._ready.is_set()
        finally:
            ready.cancel()
            ended.cancel()

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal("terminate")

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
        # A restart that was asked for while it did not run is this one.
        self._renewed.clear()
        self._tell(ChildState.STARTED)
        if self.stopping.is_set():
            # The stop came while it was being started, and found nothing to signal.
            self.terminate()
        following = asyncio.create_task(self._follow())
        try:
            code = await self.process.wait()
        finally:
            following.cancel()
            self._ready.clear()
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

    async def _follow(self) -> None:
        """Waits until the child is ready, and kills it when it hangs."""
        try:
            while self.child.ready is not None and not self.child.ready():
                await self._clock.sleep(READY_INTERVAL)
        except Exception:
            log.exception("the readiness check of a child failed", child=self.child.name)
            return
        self._restarts.healthy(self._clock.now())
        self._ready.set()
        self._tell(ChildState.READY)
        if self.child.alive is not None:
            await self._hangs(self.child.alive)
            self._tell(ChildState.HUNG)
            # It would not act on SIGTERM: its loop is stuck, or it is stopped.
            self.kill()

    async def _hangs(self, alive: Callable[[], Any]) -> None:
        """Returns when the child has failed to answer so often that it counts as hung."""
        rules, failures = self._alive, 0
        while failures < rules.failures:
            await self._clock.sleep(rules.every)
            if self.stopping.is_set():
                # What drains says no, and has its own time to end.
                await asyncio.Event().wait()
            why = "it said no"
            try:
                async with asyncio.timeout(rules.timeout):
                    well = await alive()
            except TimeoutError:
                well, why = False, f"no answer within {rules.timeout:g} s"
            except Exception as error:  # noqa: BLE001 - whatever it is, the child has not answered
                well, why = False, f"{type(error).__name__}: {error}"
            failures = 0 if well else failures + 1
            if not well:
                log.warning("a child does not answer", child=self.child.name, failures=failures, error=why)

    async def _pause(self, delay: float) -> None:
        waits = [
            asyncio.ensure_future(self.stopping.wait()),
            asyncio.ensure_future(self._renewed.wait()),
            asyncio.ensure_future(self._clock.sleep(delay)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

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
