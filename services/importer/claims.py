"""Files that imports read at the moment: no two of the same workspace read the same one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Claims:
    """Who has which files; all that a task needs are claimed at once, so that nobody waits in a circle."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str]] = set()
        self._freed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def hold(self, workspace: str, paths: Iterable[str]) -> AsyncIterator[None]:
        """Holds the files while the block runs; waits until nobody else has one of them."""
        wanted = {(workspace, path) for path in paths}
        async with self._freed:
            await self._freed.wait_for(lambda: self._held.isdisjoint(wanted))
            self._held |= wanted
        try:
            yield
        finally:
            # Not awaited: whoever was cancelled frees them all the same.
            self._held -= wanted
            self._wake()

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._freed:
                self._freed.notify_all()

        self._waking = asyncio.ensure_future(wake())
