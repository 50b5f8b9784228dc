"""The tantivy engine behind the seam."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import tantivy

from loganalyzer.search.v1 import query_pb2
from services.search.index import compile as compiled
from services.search.index.layout import INDEX
from services.search.index.schema import BODY, LEVEL, ROW, TIME, open_index
from services.search.index.split import After, FrameCache, Order, RowHit, SplitReader, Top
from services.search.lru import LruCache

__all__ = ["TantivySplit"]

_ORDERS = {Order.NEWEST: tantivy.Order.Desc, Order.OLDEST: tantivy.Order.Asc}
_COUNTS_KEPT = 512


class TantivySplit(SplitReader):
    """A split, searched by its inverted index. tantivy lets go of the interpreter's lock while it searches."""

    def __init__(self, folder: Path, frames: FrameCache) -> None:
        super().__init__(folder, frames)
        try:
            index = open_index(folder / INDEX)
        except ValueError as error:
            raise ValueError(f"the index of split {folder.name} cannot be opened: {error}") from error
        self._schema = index.schema
        self._searcher = index.searcher()
        if self._searcher.num_docs != self.line_count:
            raise ValueError(f"split {folder.name} indexes {self._searcher.num_docs} lines of {self.line_count}")
        dated = self._count(tantivy.Query.exists_query(TIME)) if self.meta.has_times else 0
        self._facts = compiled.SplitFacts(
            schema=self._schema,
            line_count=self.line_count,
            dated_count=dated,
            min_time=self.meta.min_time_us,
            max_time=self.meta.max_time_us,
            runs_named=self.runs_named,
        )
        # What a query matches in a split never changes: pages behind the first do not count again.
        self._counts: LruCache[bytes, int] = LruCache(_COUNTS_KEPT)
        self._lock = threading.Lock()

    def count(self, query: query_pb2.Query) -> int:
        key = query.SerializeToString(deterministic=True)
        known = self._counts.get(key)
        if known is None:
            known = self._count_node(compiled.compile_query(query, self._facts))
            self._counts.put(key, known)
        return known

    def top(self, query: query_pb2.Query, order: Order, limit: int, after: After | None = None) -> Top:
        node = compiled.compile_query(query, self._facts)
        if node is compiled.NOTHING:
            return Top([], 0)
        hits: list[RowHit] = []
        count: int | None = None
        beyond: After | None = None
        if after is not None and after.time is not None:
            hits = self._tied(node, after.time, order, limit, after.row)
            beyond = after
        if after is None or after.time is not None:
            if len(hits) < limit and self._facts.dated_count:
                found, count = self._dated(node, order, limit - len(hits), beyond)
                hits += found
            if len(hits) < limit:
                hits += self._undated(node, order, limit - len(hits), None)
        else:
            hits = self._undated(node, order, limit, after.row)
        if after is not None:
            count = None
        if count is not None:
            self._counts.put(query.SerializeToString(deterministic=True), count)
        return Top(hits, count)

    def histogram(self, query: query_pb2.Query, start: int, width: int, buckets: int) -> dict[int, dict[int, int]]:
        node = compiled.compile_query(query, self._facts)
        inside = compiled.time_node(start, start + width * buckets, self._facts)
        node = compiled.all_of([node, inside])
        if node is compiled.NOTHING:
            return {}
        levels = {"terms": {"field": LEVEL, "size": 16}}
        bars = {"field": TIME, "interval": float(width), "min_doc_count": 1}
        found = self._searcher.aggregate(compiled.to_engine(node), {"t": {"histogram": bars, "aggs": {"l": levels}}})
        result: dict[int, dict[int, int]] = {}
        for bar in found["t"]["buckets"]:
            counts = {int(level["key"]): int(level["doc_count"]) for level in bar["l"]["buckets"]}
            result[(round(bar["key"]) - start) // width] = counts
        return result

    def _count_node(self, node: compiled.Node) -> int:
        if node is compiled.NOTHING:
            return 0
        if node is compiled.EVERYTHING:
            return self.line_count
        if isinstance(node, compiled.TermNode):
            return self._searcher.doc_freq(BODY, node.term)
        return self._count(compiled.to_engine(node))

    def _count(self, query: tantivy.Query) -> int:
        # An aggregation reads no scores; a plain search would compute them.
        found = self._searcher.aggregate(query, {"n": {"value_count": {"field": ROW}}})
        return int(found["n"]["value"])

    def _dated(
        self, node: compiled.Node, order: Order, limit: int, after: After | None
    ) -> tuple[list[RowHit], int | None]:
        """Hits with a time strictly beyond that of `after`, and, if that is None, how many match, dated or not."""
        if after is not None:
            assert after.time is not None
            low, high = (None, after.time) if order is Order.NEWEST else (after.time + 1, None)
            node = compiled.all_of([node, compiled.time_node(low, high, self._facts)])
            if node is compiled.NOTHING:
                return [], None
        # One more than wanted: the engine breaks ties as it likes, so a tie at the end has to be seen.
        found = self._searcher.search(
            compiled.to_engine(node), limit + 1, count=True, order_by_field=TIME, order=_ORDERS[order]
        )
        # Where the field is missing the engine says None and puts it last.
        addresses = [address for when, address in found.hits if when is not None]
        times: list[int] = [when for when, _ in found.hits if when is not None]
        if len(times) > limit and times[limit] == times[limit - 1]:
            tie = times[limit]
            keep = times.index(tie)
            hits = self._sorted(times[:keep], addresses[:keep], order)
            hits += self._tied(node, tie, order, limit - keep, None)
        else:
            hits = self._sorted(times[:limit], addresses[:limit], order)
        return hits, int(found.count)  # type: ignore[attr-defined]  # missing in its stub

    def _tied(self, node: compiled.Node, when: int, order: Order, limit: int, beyond: int | None) -> list[RowHit]:
        """Hits with exactly this time."""
        node = compiled.all_of([node, compiled.time_node(when, when + 1, self._facts)])
        return [RowHit(when, row) for row in self._by_row(node, order, limit, beyond)]

    def _undated(self, node: compiled.Node, order: Order, limit: int, beyond: int | None) -> list[RowHit]:
        if self._facts.dated_count == self.line_count:
            return []
        node = compiled.all_of([node, compiled.undated_node(self._facts)])
        return [RowHit(None, row) for row in self._by_row(node, order, limit, beyond)]

    def _by_row(self, node: compiled.Node, order: Order, limit: int, beyond: int | None) -> list[int]:
        if beyond is not None:
            low, high = (0, beyond) if order is Order.NEWEST else (beyond + 1, self.line_count)
            node = compiled.all_of([node, compiled.row_node(low, high, self._facts)])
        if node is compiled.NOTHING:
            return []
        found = self._searcher.search(
            compiled.to_engine(node), limit, count=False, order_by_field=ROW, order=_ORDERS[order]
        )
        return [row for row, _ in found.hits]

    def _sorted(self, times: list[int], addresses: Sequence[tantivy.DocAddress], order: Order) -> list[RowHit]:
        rows = self._searcher.fast_field_values(ROW, list(addresses))
        pairs = sorted(zip(times, rows, strict=True), reverse=order is Order.NEWEST)
        return [RowHit(when, row) for when, row in pairs]  # type: ignore[arg-type]
