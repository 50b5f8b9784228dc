"""The tasks that a channel runs beside its calls, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from kit.client.guards import Home

__all__ = ["Tasks"]

_T = TypeVar("_T")

log = logging.getLogger("kit.client")


class Tasks:
    """The tasks of one channel. They refer to nobody who refers to the channel."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[Any]] = set()

    def at_home(self) -> bool:
        """Whether the loop that runs now is the channel's, in the process that opened it."""
        return self._home.loop is self._loop and asyncio._get_running_loop() is self._loop

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Runs it outside of anybody's deadline and trace. What it raises is logged."""
        task = self.wait(work)
        task.add_done_callback(self._log)
        return task

    def wait(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """The same for what somebody else looks after."""
        task = self._loop.create_task(work, context=Context())
        # Where a loop is closed with tasks in it, asyncio says so of each on stderr; these are not the user's.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _log(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the care of a channel failed", exc_info=error)

    def stop(self) -> None:
        """Cancels them all."""
        if self.at_home():
            _cancel(tuple(self._running))

    async def stopped(self) -> None:
        """Returns when they have ended."""
        if self.at_home():
            await asyncio.gather(*self._running, return_exceptions=True)

    def abandon(self) -> None:
        """`stop` for any thread; nothing where the loop is gone."""
        if self._home.loop is not self._loop or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(_cancel, tuple(self._running))


def _cancel(tasks: tuple[asyncio.Task[Any], ...]) -> None:
    for task in tasks:
        task.cancel()
