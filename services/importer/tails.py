"""Lines as workers read them, for whoever listens to a workspace.

Workers send lines only while somebody listens. Each listener has a queue with a bound; what does not fit is left out,
and the next lines that he gets say so (`gap`): an import never waits for a listener.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from loganalyzer.importer.v1 import importer_pb2

#: Serialised bytes that wait for a listener at most.
QUEUE_BYTES = 8 << 20


class Listener:
    """One subscription. Iterating over it never ends by itself."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[tuple[importer_pb2.ParsedLines, int]] = deque()
        self._bytes = 0
        self._gap = False
        self._filled = asyncio.Event()

    def put(self, lines: importer_pb2.ParsedLines, size: int) -> None:
        """Adds lines of `size` serialised bytes, or leaves them out."""
        if self._queue and self._bytes + size > self._most:
            self._gap = True
            return
        if self._gap and not lines.gap:
            # Other listeners get the same message.
            marked = importer_pb2.ParsedLines()
            marked.CopyFrom(lines)
            marked.gap = True
            lines = marked
        self._gap = False
        self._queue.append((lines, size))
        self._bytes += size
        self._filled.set()

    def __aiter__(self) -> AsyncIterator[importer_pb2.ParsedLines]:
        return self

    async def __anext__(self) -> importer_pb2.ParsedLines:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        lines, size = self._queue.popleft()
        self._bytes -= size
        return lines


class Tails:
    """All listeners. `switch` turns the workers' sending for a workspace on and off."""

    def __init__(self, switch: Callable[[str, bool], Awaitable[None]], *, most: int = QUEUE_BYTES) -> None:
        self._switch = switch
        self._most = most
        self._listeners: dict[str, list[Listener]] = {}

    def listening(self, workspace: str) -> bool:
        """Whether anybody wants lines of a workspace."""
        return workspace in self._listeners

    async def open(self, workspace: str) -> Listener:
        """A new listener; `close` it."""
        listener = Listener(self._most)
        first = workspace not in self._listeners
        self._listeners.setdefault(workspace, []).append(listener)
        if first:
            await self._switch(workspace, True)
        return listener

    async def close(self, workspace: str, listener: Listener) -> None:
        """Ends a subscription."""
        listeners = self._listeners.get(workspace, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners and self._listeners.pop(workspace, None) is not None:
            await self._switch(workspace, False)

    def put(self, workspace: str, serialised: bytes) -> None:
        """Hands lines out."""
        listeners = self._listeners.get(workspace)
        if listeners:
            lines = importer_pb2.ParsedLines.FromString(serialised)
            for listener in listeners:
                listener.put(lines, len(serialised))
