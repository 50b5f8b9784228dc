"""Who waits to be let in: first what matters most, of equals whoever came first.

Theory of operation. One line for each priority. Each item costs something (what its method usually takes), so a sum
says how much work stands before a place in the line. Items leave from the front, when they are let in; from the back of
the least important line, when room is made for what matters more; and from anywhere, when they give up.

Invariants: `cost(priority)` is the sum over the lines up to that priority; an empty line costs exactly nothing, however
much rounding there was.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from kit.resilience.priority import Priority

__all__ = ["Lines"]


class _Waiting(Protocol):
    """What may stand in a line."""

    @property
    def priority(self) -> Priority: ...

    @property
    def cost(self) -> float: ...


T = TypeVar("T", bound=_Waiting)


class Lines(Generic[T]):
    """The lines of one server."""

    __slots__ = ("_costs", "_lines", "count")

    def __init__(self) -> None:
        # By the number of the priority, which is 1 to 3.
        self._lines: tuple[OrderedDict[T, None], ...] = tuple(OrderedDict() for _ in range(len(Priority) + 1))
        self._costs = [0.0] * (len(Priority) + 1)
        #: How many wait.
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for line in self._lines:
            yield from line

    def add(self, item: T) -> None:
        """Puts an item that is not there to the end of its line."""
        self._lines[item.priority][item] = None
        self._costs[item.priority] += item.cost
        self.count += 1

    def remove(self, item: T) -> None:
        """Takes an item out, wherever it stands."""
        line = self._lines[item.priority]
        del line[item]
        self._costs[item.priority] = self._costs[item.priority] - item.cost if line else 0.0
        self.count -= 1

    def first(self) -> T | None:
        """Whose turn it is."""
        for line in self._lines:
            if line:
                return next(iter(line))
        return None

    def last_below(self, priority: Priority) -> T | None:
        """Who has to go first for an item of `priority`: the latest of those that matter least, and less than it."""
        for line in reversed(self._lines[priority + 1 :]):
            if line:
                return next(reversed(line))
        return None

    def cost(self, priority: Priority) -> float:
        """What has to be worked off before an item of `priority` that comes now."""
        return sum(self._costs[: priority + 1])

    def length(self, priority: Priority) -> int:
        """How many stand before an item of `priority` that comes now."""
        return sum(len(line) for line in self._lines[: priority + 1])
