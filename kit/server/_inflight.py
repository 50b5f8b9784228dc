"""The handlers that run. grpc's stop does not wait for those that it cancels; the kit's does.

Handlers that wait for something to happen, as those of watch streams do, are told when the server drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, TypeVar

from kit.errors import Unavailable
from kit.server._call import Handler, ServerCall, ServerMethod

_T = TypeVar("_T")
_draining: ContextVar[asyncio.Event | None] = ContextVar("kit_draining", default=None)


async def unless_draining(awaitable: Awaitable[_T]) -> _T:
    """Awaits inside a handler for as long as the server is not about to stop.

    For streams that wait for something to happen: without it an idle one holds up the stop for the whole grace time.
    Raises Unavailable when the server drains, so that the client asks again, elsewhere or of the next process; what was
    awaited is cancelled then. Outside of a kit server it only awaits.
    """
    draining = _draining.get()
    if draining is None:
        return await awaitable
    work = asyncio.ensure_future(awaitable)
    told = asyncio.ensure_future(draining.wait())
    try:
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise Unavailable("the server is stopping; call again")
    finally:
        work.cancel()
        told.cancel()


class InFlight:
    """Follows the handlers of one server."""

    name = "in flight"

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Set when handlers that only wait should end.
        self.draining = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """Counts a handler in and out."""

        async def handle(call: ServerCall) -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            # Each call runs in a context of its own: nothing is to be reset.
            _draining.set(self.draining)
            try:
                return await inner(call)
            finally:
                self._tasks.discard(task)

        return handle

    async def ended(self, timeout: float) -> int:
        """Waits at most `timeout` seconds for every handler's end, `finally` included; returns how many are left."""
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(set(self._tasks), timeout=timeout)
        return len(left)
