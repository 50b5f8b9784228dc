"""Runs child processes and starts again those that end, and those that hang.

No child outlives the supervisor. When it stops it sends SIGTERM to one after the other, the last started first, or to
all at once, and SIGKILL to what is left after `grace`. When it is killed itself, the children see the end of the pipe
that KIT_PARENT_FD names (`kit.recovery.watch_parent`, which `kit.run` has built in).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from kit.clock import SYSTEM, Clock
from kit.errors import UsageError
from kit.observe import get_logger
from kit.recovery._child import AliveRules, Child, ChildEvent, ChildState
from kit.recovery._keeper import Keeper
from kit.recovery.strategies import RestartPolicy, Restarts

__all__ = ["AliveRules", "Child", "ChildEvent", "ChildState", "Supervisor"]

log = get_logger("kit.supervisor")


class Supervisor:
    """Keeps children running until it is told to stop. For one `run` only."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        policy: RestartPolicy | None = None,
        alive: AliveRules | None = None,
        on_event: Callable[[ChildEvent], object] | None = None,
        grace: float = 10.0,
        together: bool = False,
        clock: Clock = SYSTEM,
    ) -> None:
        """`grace`: seconds that all children together have for their end; with `together` they are all told at once.

        `alive` says how `Child.alive` is asked. `on_event` must not block.
        """
        policy = RestartPolicy() if policy is None else policy
        alive = AliveRules() if alive is None else alive
        self._keepers = [Keeper(child, Restarts(policy), alive, self._emit, clock) for child in children]
        self._on_event = on_event
        self._grace = grace
        self._together = together

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

    async def restart(self, name: str) -> bool:
        """Ends a child with SIGTERM, after `grace` with SIGKILL, and starts it again; whether it got ready.

        It is not counted among the restarts that lead to giving up. A second restart of a child that is being restarted
        joins the first. Raises UsageError for a name that no child has.
        """
        for keeper in self._keepers:
            if keeper.child.name == name:
                return await keeper.renew(self._grace)
        raise UsageError(f"there is no child {name!r}; there are {', '.join(one.child.name for one in self._keepers)}")

    def terminate(self) -> None:
        """SIGTERM to every child that runs: a second one hastens the end of those that drain."""
        for keeper in self._keepers:
            keeper.terminate()

    async def _end_all(self) -> None:
        for keeper in self._keepers:
            keeper.stopping.set()
        try:
            async with asyncio.timeout(self._grace):
                if self._together:
                    self.terminate()
                for keeper in reversed(self._keepers):
                    if not self._together:
                        keeper.terminate()
                    await keeper.ended.wait()
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


def _fields(event: ChildEvent) -> list[tuple[str, object]]:
    return [
        ("child", event.child),
        ("state", event.state.value),
        ("pid", event.pid),
        ("exit_code", event.exit_code),
        ("delay", event.delay),
    ]
