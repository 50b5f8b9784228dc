"""Rows that the inverted index has for a query, as numbers in memory: a bounded part of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tantivy

from services.search.index.chunks import Longs
from services.search.index.nodes import EVERYTHING, NOTHING, Node, SplitFacts, all_of, row_node, to_engine
from services.search.index.schema import ROW
from services.search.lru import LruCache

__all__ = ["RowSet", "Searcher"]

#: Rows that are asked for in one search: ten milliseconds of work, 30 MB while it lasts.
_AT_ONCE = 1 << 17
_SLICES_KEPT = 8


class Searcher(Protocol):
    """The engine's searcher, as far as it is used here."""

    def search(
        self, query: tantivy.Query, limit: int, *, count: bool, order_by_field: str, order: tantivy.Order
    ) -> tantivy.SearchResult: ...


class RowSet:
    """The rows of `count` lines that a node matches. Used by one thread."""

    def __init__(self, searcher: Searcher, node: Node, facts: SplitFacts, count: int) -> None:
        self._searcher, self._node, self._facts, self.count = searcher, node, facts, count
        self._whole: Longs | None = None
        self._slices: LruCache[int, Longs] = LruCache(_SLICES_KEPT)

    def among(self, rows: Longs) -> npt.NDArray[np.bool_]:
        """Which of these rows, which ascend, are in the set."""
        if self._node is EVERYTHING or self._node is NOTHING or not len(rows):
            return np.full(len(rows), self._node is EVERYTHING)
        if self.count <= _AT_ONCE:
            return _among(self.whole(), rows)
        found = np.zeros(len(rows), np.bool_)
        for number in range(int(rows[0]) // _AT_ONCE, int(rows[-1]) // _AT_ONCE + 1):
            low, high = np.searchsorted(rows, [number * _AT_ONCE, (number + 1) * _AT_ONCE])
            if low < high:
                found[low:high] = _among(self._slice(number), rows[low:high])
        return found

    def frames(self, first_rows: Longs) -> Longs | None:
        """Numbers of the frames that hold one of the rows, if they are few enough to look."""
        if self.count > _AT_ONCE or self._node is EVERYTHING:
            return None
        return np.unique(np.searchsorted(first_rows, self.whole(), "right") - 1)

    def whole(self) -> Longs:
        """All of the rows, where they are at most a slice."""
        if self._whole is None:
            self._whole = self._rows(0, self._facts.line_count)
        return self._whole

    def each(self, take: Callable[[Longs], None], check: Callable[[], None]) -> None:
        """Gives all of the rows, slice by slice."""
        if self.count <= _AT_ONCE:
            take(self.whole())
            return
        for low in range(0, self._facts.line_count, _AT_ONCE):
            check()
            take(self._slice(low // _AT_ONCE))

    def _slice(self, number: int) -> Longs:
        rows = self._slices.get(number)
        if rows is None:
            rows = self._rows(number * _AT_ONCE, (number + 1) * _AT_ONCE)
            self._slices.put(number, rows)
        return rows

    def _rows(self, low: int, high: int) -> Longs:
        node = all_of([self._node, row_node(low, high, self._facts)])
        if node is NOTHING:
            return np.empty(0, np.int64)
        limit = max(1, min(self.count, high - low))
        found = self._searcher.search(to_engine(node), limit, count=False, order_by_field=ROW, order=tantivy.Order.Asc)
        return np.array([row for row, _ in found.hits], np.int64)


def _among(wanted: Longs, rows: Longs) -> npt.NDArray[np.bool_]:
    if not len(wanted):
        return np.zeros(len(rows), np.bool_)
    places = np.searchsorted(wanted, rows)
    places[places == len(wanted)] = 0
    found: npt.NDArray[np.bool_] = wanted[places] == rows
    return found
