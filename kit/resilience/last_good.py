"""The last good answers to requests, kept for the time when there is no new one.

Theory of operation. One answer is kept for each key, the last one that came. Two bounds hold after every `keep`, at
most `max_entries` answers and at most `max_bytes` of them, and the answers that were kept longest ago make room. What
has aged out is never given.

    what happened                   the key's entry
    keep                            the new answer, as the youngest of all
    ... that is over the bounds     none: what was there is no longer the last answer
    find, not older than allowed    unchanged; looking makes no answer younger
    find, aged out                  gone
    drop, clear                     gone

An answer and its key count as many bytes as the caller says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["MAX_BYTES", "MAX_ENTRIES", "LastGood"]

#: Of one channel.
MAX_ENTRIES = 1000
#: Of one channel: four answers of the size that gRPC takes unless told otherwise, or a thousand of 16 KiB.
MAX_BYTES = 16 * 2**20
_A = TypeVar("_A")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_A]):
    answer: _A
    size: int
    kept_at: float
    until: float


class LastGood(Generic[_A]):
    """Answers by key. Times are instants and seconds of one clock."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, _Entry[_A]] = OrderedDict()
        #: Bytes that are kept.
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, key: Hashable, answer: _A, size: int, now: float, keep_for: float) -> None:
        """Notes a good answer of `size` bytes, of use for `keep_for` seconds."""
        self.drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = _Entry(answer, size, now, now + keep_for)
        self.size += size
        while self._entries:
            oldest = next(iter(self._entries))
            full = len(self._entries) > self._max_entries or self.size > self._max_bytes
            if not full and self._entries[oldest].until >= now:
                return
            self.drop(oldest)

    def find(self, key: Hashable, now: float, max_age: float) -> tuple[_A, float] | None:
        """The answer and its age in seconds; None where there is none that is not older than `max_age`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = now - entry.kept_at
        if age > max_age:
            self.drop(key)
            return None
        return entry.answer, age

    def drop(self, key: Hashable) -> None:
        """Forgets the answer, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size

    def clear(self) -> None:
        """Forgets all of them."""
        self._entries.clear()
        self.size = 0
