"""The handlers that run. grpc's stop does not wait for those that it cancels; the kit's does.

Handlers that wait for something to happen, as those of watch streams do, are told when the server drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic
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
        told.cancel()
        if not work.done():
            work.cancel()
            # Its end is waited for: an iterator that is still running cannot be closed.
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()  # looked at; nobody waits for it any more


class InFlight:
    """Follows the handlers of one server."""

    name = "in flight"

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        #: When the last call came, by the monotonic clock.
        self._last = -math.inf
        #: Where it is there, answers wait for it.
        self._held: asyncio.Event | None = None
        #: Set when handlers that only wait should end.
        self.draining = asyncio.Event()
        #: Called then.
        self.on_drain: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._tasks)

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """Counts a handler in and out."""

        async def handle(call: ServerCall) -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self._last = monotonic()
            # Each call runs in a context of its own: nothing is to be reset.
            _draining.set(self.draining)
            try:
                response = await inner(call)
                if self._held is not None:
                    await self._held.wait()
                return response
            finally:
                self._tasks.discard(task)

        return handle

    def drain(self) -> None:
        """Tells those that only wait to end."""
        self.draining.set()
        for function in self.on_drain:
            function()

    def hold(self) -> None:
        """Keeps answers back until `release`. Calls are still taken, and errors are not kept."""
        if self._held is None:
            self._held = asyncio.Event()

    def release(self) -> None:
        """Lets answers go."""
        if self._held is not None:
            self._held.set()
            self._held = None

    async def quiet(self, interval: float, seconds: float, hastened: asyncio.Event) -> bool:
        """Whether no call has come for `interval` seconds. Waits for it, `seconds` at most, and not when hastened."""
        until = monotonic() + seconds
        while (left := self._last + interval - (now := monotonic())) > 0:
            if hastened.is_set() or now + left > until:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hastened.wait(), left)
        return True

    async def ended(self, timeout: float) -> int:
        """Waits at most `timeout` seconds for every handler's end, `finally` included; returns how many are left."""
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(set(self._tasks), timeout=timeout)
        return len(left)
