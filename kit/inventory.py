"""What lives in this process and can be asked how it is doing, known weakly.

Channels and interceptors put themselves here when they are made; `kit.ops` reads. Nothing is kept alive, and no call
pays for it. A forked child begins with nothing: what its parent had, it cannot use.
"""

from __future__ import annotations

import os
import weakref
from typing import Generic, TypeVar

__all__ = ["Inventory"]

_T = TypeVar("_T")
_all: weakref.WeakSet[Inventory[object]] = weakref.WeakSet()


class Inventory(Generic[_T]):
    """Things of one kind, in the order in which they came."""

    def __init__(self) -> None:
        #: By a number of their own, as a set of weak references has no order.
        self._things: weakref.WeakValueDictionary[int, _T] = weakref.WeakValueDictionary()
        self._next = 0
        _all.add(self)  # type: ignore[arg-type]  # only ever emptied there

    def add(self, thing: _T) -> None:
        """Lists it for as long as somebody else holds it."""
        self._things[self._next] = thing
        self._next += 1

    def all(self) -> list[_T]:
        """What there is now."""
        return [thing for _, thing in sorted(self._things.items(), key=lambda item: item[0])]

    def clear(self) -> None:
        """Lists nothing any more."""
        self._things.clear()


def _in_child() -> None:
    for inventory in _all:
        inventory.clear()


os.register_at_fork(after_in_child=_in_child)
