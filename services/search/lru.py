"""A bounded memory of what was used last, safe for threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["LruCache"]

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keeps values while their weights sum up to at most `limit`; the one that was not used for longest goes first.

    `weigh` gives a value's weight, 1 by default, which makes `limit` a number of values. A value heavier than a quarter
    of the limit is not kept, unless values weigh 1.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int] | None = None) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        """Keeps a value, in place of the one under the same key."""
        weight = self._weight_of(value)
        with self._lock:
            self._discard(key)
            if self._weigh is not None and weight * 4 > self._limit:
                return
            self._values[key] = value
            self._weight += weight
            while self._weight > self._limit:
                _, oldest = self._values.popitem(last=False)
                self._weight -= self._weight_of(oldest)

    def drop(self, wanted: Callable[[K], bool]) -> None:
        """Forgets every key for which `wanted` holds."""
        with self._lock:
            for key in [key for key in self._values if wanted(key)]:
                self._discard(key)

    def _discard(self, key: K) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weight_of(value)

    def _weight_of(self, value: V) -> int:
        return 1 if self._weigh is None else self._weigh(value)
