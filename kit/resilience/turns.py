"""Who is next, when each has turns of its own spacing.

Theory of operation. Time here is virtual: it moves with the turns that are taken. Each item stands in a binary heap
under the instant at which its next turn is due, and the earliest is first; of equals, the one that has waited longer.
After its turn an item is due again one step (1 / weight) later, so in any stretch of virtual time each has had as many
turns as its weight says, give or take one, evenly spread.

An item that was passed over while its turn was due (it was left out) is due at once when it is back, but has no claim
to the turns that it missed.

    add          due half a step from the latest turn taken, so that heavy and light items do not begin together
    took         due one step after its turn, or after the latest turn, where its own was missed
    remove       its place in the heap is dead, and is cleared when it comes up, or when half of the heap is dead

Cost: O(log n) for each, O(k log n) with k left out. Invariant: every live item has exactly one live place in the heap.
"""

from __future__ import annotations

import heapq
from collections.abc import Container
from typing import Generic, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """Hashable items in the order of their turns."""

    __slots__ = ("_heap", "_live", "_now", "_order")

    def __init__(self) -> None:
        #: (due, order of arrival, item); the first two never compare equal.
        self._heap: list[tuple[float, int, T]] = []
        #: Under what an item stands in the heap; its other places there are dead.
        self._live: dict[T, tuple[float, int]] = {}
        self._now = 0.0
        self._order = 0

    def __len__(self) -> int:
        return len(self._live)

    def add(self, item: T, after: float) -> None:
        """Adds an item that is not there; its first turn is due `after` from now in virtual time."""
        self._put(item, self._now + after)

    def remove(self, item: T) -> None:
        """Takes an item out."""
        del self._live[item]
        if len(self._heap) > 2 * len(self._live) + 8:
            # What is sorted is a heap.
            self._heap = sorted((due, order, kept) for kept, (due, order) in self._live.items())

    def first(self, left_out: Container[T] = ()) -> T | None:
        """Whose turn it is, but for those left out; changes nothing."""
        passed: list[tuple[float, int, T]] = []
        found: T | None = None
        while self._heap:
            due, order, item = top = self._heap[0]
            live = self._live.get(item) == (due, order)
            if live and item not in left_out:
                found = item
                break
            heapq.heappop(self._heap)
            if live:
                passed.append(top)
        for place in passed:
            heapq.heappush(self._heap, place)
        return found

    def took(self, item: T, step: float) -> None:
        """The item had its turn; the next is due `step` later."""
        self._now = max(self._now, self._live[item][0])
        self._put(item, self._now + step)

    def _put(self, item: T, due: float) -> None:
        self._order += 1
        self._live[item] = (due, self._order)
        heapq.heappush(self._heap, (due, self._order, item))
