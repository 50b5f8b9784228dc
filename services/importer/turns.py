"""Whose task is next: pure. Imports take turns, however many tasks each of them has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits for a worker."""

    number: int
    import_id: str
    #: Soon done, whatever it is.
    small: bool


class Turns:
    """The waiting and the running tasks, by import."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._running: dict[str, int] = {}
        #: When an import last got a worker, in turns.
        self._last: dict[str, int] = {}
        self._number = self._turn = 0

    def wait(self, import_id: str, *, small: bool) -> Waiting:
        """A task of the import waits from now on."""
        self._number += 1
        one = Waiting(self._number, import_id, small)
        self._waiting[one.number] = one
        return one

    def give_up(self, one: Waiting) -> None:
        """It waits no more."""
        self._waiting.pop(one.number, None)

    def next(self, *, small: bool = False) -> Waiting | None:
        """The task whose turn it is; it runs now. With `small` a small one of an import of which nothing runs.

        The import with the fewest running tasks is first, among those the one whose last turn is the longest ago.
        """
        candidates = [one for one in self._waiting.values() if not small or (one.small and self._idle(one.import_id))]
        if not candidates:
            return None
        one = min(
            candidates,
            key=lambda each: (self._running.get(each.import_id, 0), self._last.get(each.import_id, 0), each.number),
        )
        del self._waiting[one.number]
        self._turn += 1
        self._running[one.import_id] = self._running.get(one.import_id, 0) + 1
        self._last[one.import_id] = self._turn
        return one

    def done(self, one: Waiting) -> None:
        """It runs no more."""
        left = self._running[one.import_id] - 1
        if left:
            self._running[one.import_id] = left
        else:
            del self._running[one.import_id]
        if not left and not any(each.import_id == one.import_id for each in self._waiting.values()):
            self._last.pop(one.import_id, None)

    def should_yield(self, one: Waiting) -> bool:
        """Whether an import of which nothing runs waits for the worker of a running task."""
        return any(self._idle(each.import_id) and each.import_id != one.import_id for each in self._waiting.values())

    def _idle(self, import_id: str) -> bool:
        return import_id not in self._running
