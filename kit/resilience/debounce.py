"""Telling what has changed once it has settled.

Theory of operation. A value that is noted is not told at once: it has to stay as it is for `quiet` seconds. Another
value that comes meanwhile takes its place and the wait begins anew, but it ends at the latest `longest` seconds after
the first of them, so that what changes all the time is told of now and then. What returns to the value that was told
last has not changed, and nothing is told. Keys know nothing of each other.

    told  noted                      to be told
    A     B, for `quiet` seconds     A to B
    A     B, C within `quiet`        A to C
    A     B, A within `quiet`        nothing

Invariants: what is told of a key begins where the last thing told of it ended; nothing is told that is no change.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from kit.resilience.kinds import check_kinds

__all__ = ["Debounce", "DebounceRules", "Settled"]

V = TypeVar("V")


@dataclass(frozen=True, kw_only=True, slots=True)
class DebounceRules:
    """Seconds. With `quiet` 0 every change is told as soon as it is asked for."""

    quiet: float = 1.0
    longest: float = 10.0

    def __post_init__(self) -> None:
        check_kinds(self)
        if not 0 <= self.quiet <= self.longest < math.inf:
            raise ValueError(f"0 <= quiet <= longest is needed, not {self.quiet} and {self.longest}")


class Settled(NamedTuple, Generic[V]):
    """A change that is to be told."""

    key: Hashable
    old: V
    new: V


class _Waiting(Generic[V]):
    __slots__ = ("due", "first", "value")

    def __init__(self, value: V, first: float, due: float) -> None:
        self.value = value
        self.first = first
        self.due = due


class Debounce(Generic[V]):
    """The values of any number of keys."""

    __slots__ = ("_rules", "_told", "_waiting")

    def __init__(self, rules: DebounceRules | None = None) -> None:
        self._rules = DebounceRules() if rules is None else rules
        self._told: dict[Hashable, V] = {}
        self._waiting: dict[Hashable, _Waiting[V]] = {}

    def begin(self, key: Hashable, value: V) -> None:
        """Takes `value` for told, if the key is new."""
        self._told.setdefault(key, value)

    def note(self, key: Hashable, value: V, now: float) -> None:
        """The value is this now. The first one of a key is taken for told."""
        if key not in self._told:
            self._told[key] = value
            return
        if value == self._told[key]:
            self._waiting.pop(key, None)
            return
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = _Waiting(value, now, now + self._rules.quiet)
        elif waiting.value != value:
            waiting.value = value
            waiting.due = min(now + self._rules.quiet, waiting.first + self._rules.longest)

    def forget(self, key: Hashable) -> None:
        """The key is gone: nothing is told of it any more."""
        self._told.pop(key, None)
        self._waiting.pop(key, None)

    @property
    def due(self) -> float:
        """The instant from which `take` has something; infinity where nothing waits."""
        return min((waiting.due for waiting in self._waiting.values()), default=math.inf)

    def take(self, now: float) -> list[Settled[V]]:
        """What has settled by now, in the order in which it began."""
        ripe = [key for key, waiting in self._waiting.items() if waiting.due <= now]
        settled: list[Settled[V]] = []
        for key in ripe:
            value = self._waiting.pop(key).value
            settled.append(Settled(key, self._told[key], value))
            self._told[key] = value
        return settled
