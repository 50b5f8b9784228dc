"""What is told of something that goes to and fro: the first change at once, then at most one in each span.

For what must be told at once the first time; `debounce` is for what may wait until it has settled.

Theory of operation. Each key is told of by itself. The first state is told when it comes, and a span begins. What comes
within the span is held, the newest in place of the one before. At the end of the span the held state is told, and the
next span begins; nothing is told where it is the state that was told last, and the key is forgotten:

    the key is       a state comes                          its span ends
    not known        told, a span begins                    -
    in its span      held in place of what was held         held, and another than was told: told, a span begins
                                                            else: the key is forgotten

So a change that lasts is told, at the latest one span after it came; what went back within the span is not.

Invariants: between two tellings of a key lies a span at least; keys are forgotten at most two spans after their last
state.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Spacing"]

_T = TypeVar("_T")


class _Span(Generic[_T]):
    __slots__ = ("ends", "held", "told")

    def __init__(self, told: Hashable, ends: float) -> None:
        self.told = told
        self.ends = ends
        self.held: tuple[Hashable, _T] | None = None


class Spacing(Generic[_T]):
    """`span` is seconds. States are compared; what is told of them is not."""

    __slots__ = ("_seconds", "_spans")

    def __init__(self, span: float) -> None:
        if not 0 <= span < math.inf:
            raise ValueError(f"span must be a time of 0 or more, not {span}")
        self._seconds = span
        self._spans: dict[Hashable, _Span[_T]] = {}

    def offer(self, key: Hashable, state: Hashable, item: _T, now: float) -> bool:
        """Whether `item`, which tells of `state`, is to be told now. If not, `due` may give it later."""
        span = self._spans.get(key)
        if span is None or (span.held is None and span.ends <= now):
            self._spans[key] = _Span(state, now + self._seconds)
            return True
        span.held = (state, item)
        return False

    @property
    def next_due(self) -> float | None:
        """When to ask `due`; None while there is nothing to wait for."""
        return min((span.ends for span in self._spans.values()), default=None)

    def due(self, now: float) -> list[_T]:
        """What is to be told by now, in the order in which spans began."""
        told = []
        for key, span in [(key, span) for key, span in self._spans.items() if span.ends <= now]:
            del self._spans[key]
            if span.held is not None and span.held[0] != span.told:
                state, item = span.held
                self._spans[key] = _Span(state, now + self._seconds)
                told.append(item)
        return told
