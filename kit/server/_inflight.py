"""The handlers that run. grpc's stop does not wait for those that it cancels; the kit's does."""

from __future__ import annotations

import asyncio
from typing import Any

from kit.server._call import Handler, ServerCall


class InFlight:
    """Follows the handlers of one server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def layer(self, inner: Handler) -> Handler:
        """The layer that counts a handler in and out."""

        async def handle(call: ServerCall) -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
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
