"""Shows a breaker in an aiobreaker storage, without a call ever waiting for it.

aiobreaker's storages are synchronous: one that talks to Redis blocks whoever writes to it. So the memory storage is
written at once, and any other by a thread of its own, which is started with the first write. What is written is the
latest state, not every step to it: a storage that is slower than the calls falls behind by one write and no more.
The mirror goes one way; what others write into the storage does not move this breaker.
"""

from __future__ import annotations

import logging
import queue
import threading
from datetime import datetime
from typing import Any, NamedTuple

from aiobreaker.state import CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage

__all__ = ["Shown", "StorageMirror"]

log = logging.getLogger("kit.client")


class Shown(NamedTuple):
    """What a storage holds. `opened_at` is in UTC and without a zone, as aiobreaker's storages expect it."""

    state: CircuitBreakerState
    counter: int
    opened_at: datetime | None


class StorageMirror:
    """One storage, written by one breaker."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._at_once = type(storage) is CircuitMemoryStorage
        #: None: not known, so that the next write is a whole one.
        self._written: Shown | None = None
        self._wanted: Shown | None = None
        self._queued = False

    def show(self, wanted: Shown) -> None:
        """Has the storage hold this: at once, or soon. Never raises."""
        self._wanted = wanted
        if self._at_once:
            self.write()
        elif not self._queued:
            self._queued = True
            _writer.put(self)

    def write(self) -> None:
        """Writes what differs. A storage that fails is logged, and written as a whole the next time."""
        # In this order: what is wanted from here on queues the mirror again.
        self._queued = False
        wanted, written = self._wanted, self._written
        assert wanted is not None
        self._written = None
        try:
            self._write(wanted, written)
        except Exception:
            # Whatever a foreign storage raises, no call may suffer from it.
            log.warning("the breaker's storage %r could not be written", self._storage, exc_info=True)
        else:
            self._written = wanted

    def _write(self, wanted: Shown, written: Shown | None) -> None:
        storage = self._storage
        counter = written.counter if written is not None else None
        if counter is None or counter > wanted.counter:
            storage.reset_counter()
            counter = 0
        for _ in range(wanted.counter - counter):
            storage.increment_counter()
        if wanted.opened_at is not None and (written is None or written.opened_at != wanted.opened_at):
            storage.opened_at = wanted.opened_at
        if written is None or written.state is not wanted.state:
            storage.state = wanted.state


class _Writer:
    """The thread, one for all storages of the process. It holds up no exit: a mirror is not worth waiting for."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[StorageMirror] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, mirror: StorageMirror) -> None:
        self._queue.put(mirror)
        # After a fork it is there and not alive.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="kit-breaker-storage", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._queue.get().write()


_writer = _Writer()
