"""The lines of a split that match a query, as columns: what counts, pages and histograms are made of."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.search.index.layout import NO_TIME
from services.search.index.split import After, Order, RowHit, Top
from services.search.lru import LruCache

__all__ = ["Kept", "Matches", "joined", "kept", "merged"]

#: Bytes of the columns that are kept.
_KEPT_BYTES = 128 << 20

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class Matches:
    """Columns of equal length, in order of rows: row in the split, time in microseconds or NO_TIME, level."""

    __slots__ = ("_dated", "_lock", "_undated", "levels", "rows", "times")

    def __init__(self, rows: Longs, times: Longs, levels: Bytes) -> None:
        self.rows, self.times, self.levels = rows, times, levels
        self._dated: tuple[Longs, Longs] | None = None
        self._undated: Longs | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def weight(self) -> int:
        """Bytes, also of what `top` adds."""
        return 256 + 33 * len(self.rows)

    def top(self, order: Order, limit: int, after: After | None = None) -> Top:
        """The first `limit` hits in `order`, behind `after`, and the number of all."""
        (times, rows), undated = self._ordered()
        hits: list[RowHit] = []
        if after is None or after.time is not None:
            low, high = _behind(times, rows, order, after)
            picked = _first(low, high, order, limit)
            hits = list(map(RowHit, times[picked].tolist(), rows[picked].tolist()))
            after = None
        if len(hits) < limit:
            low, high = 0, len(undated)
            if after is not None:
                low, high = _cut(undated, after.row, low, high, order)
            hits += [RowHit(None, row) for row in undated[_first(low, high, order, limit - len(hits))].tolist()]
        return Top(hits, len(self.rows))

    def histogram(self, start: int, width: int, buckets: int) -> dict[int, dict[int, int]]:
        """As SplitReader.histogram."""
        inside = (self.times >= start) & (self.times < start + width * buckets) & (self.times != NO_TIME)
        numbers = (self.times[inside] - start) // width * 256 + self.levels[inside]
        result: dict[int, dict[int, int]] = {}
        for number, count in zip(*(column.tolist() for column in np.unique(numbers, return_counts=True)), strict=True):
            result.setdefault(number // 256, {})[number % 256] = count
        return result

    def _ordered(self) -> tuple[tuple[Longs, Longs], Longs]:
        """(times, rows) of the dated lines, oldest first, and rows of the others."""
        with self._lock:
            if self._dated is None or self._undated is None:
                dated = self.times != NO_TIME
                times, rows = self.times[dated], self.rows[dated]
                # Stable: equal times stay in order of rows.
                places = np.argsort(times, kind="stable")
                self._dated, self._undated = (times[places], rows[places]), self.rows[~dated]
            return self._dated, self._undated


def joined(parts: Sequence[Matches]) -> Matches:
    """One of many, put in order of rows."""
    if not parts:
        return Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8))
    rows = np.concatenate([part.rows for part in parts])
    times, levels = np.concatenate([part.times for part in parts]), np.concatenate([part.levels for part in parts])
    if len(rows) > 1 and bool((rows[1:] < rows[:-1]).any()):
        places = np.argsort(rows, kind="stable")
        rows, times, levels = rows[places], times[places], levels[places]
    return Matches(rows, times, levels)


def merged(one: Top, other: Top, order: Order, limit: int) -> Top:
    """The first hits of two sets of lines that share none."""
    sign = -1 if order is Order.NEWEST else 1
    hits = sorted(
        one.hits + other.hits,
        key=lambda hit: (1, 0, sign * hit.row) if hit.time is None else (0, sign * hit.time, sign * hit.row),
    )
    count = None if one.count is None or other.count is None else one.count + other.count
    return Top(hits[:limit], count)


def _behind(times: Longs, rows: Longs, order: Order, after: After | None) -> tuple[int, int]:
    """Places of the hits behind `after`, which come in the order of the columns or, for NEWEST, against it."""
    if after is None:
        return 0, len(times)
    low, high = (int(np.searchsorted(times, after.time, side)) for side in ("left", "right"))  # type: ignore[call-overload]
    cut_low, cut_high = _cut(rows, after.row, low, high, order)
    return (0, cut_high) if order is Order.NEWEST else (cut_low, len(times))


def _cut(rows: Longs, row: int, low: int, high: int, order: Order) -> tuple[int, int]:
    """Of the places [low, high) those behind `row`."""
    if order is Order.NEWEST:
        return low, low + int(np.searchsorted(rows[low:high], row, "left"))
    return low + int(np.searchsorted(rows[low:high], row, "right")), high


def _first(low: int, high: int, order: Order, limit: int) -> slice:
    if order is Order.OLDEST:
        return slice(low, min(high, low + limit))
    if low >= high:
        return slice(0, 0)
    stop = max(low, high - limit) - 1
    return slice(high - 1, stop if stop >= 0 else None, -1)


#: By the reader that found them and the key of the query.
Kept = LruCache[tuple[int, bytes], Matches]
kept: Kept = LruCache(_KEPT_BYTES, lambda found: found.weight)
