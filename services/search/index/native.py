"""What the engine answers by itself, for a node: counts, first hits in order, bars."""

from __future__ import annotations

from collections.abc import Sequence

import tantivy

from services.search.index import nodes
from services.search.index.schema import BODY, LEVEL, ROW, TIME
from services.search.index.split import After, Order, RowHit, Top
from services.search.query.tree import HIGHEST_LEVEL

__all__ = ["Native", "level_counts"]

_ORDERS = {Order.NEWEST: tantivy.Order.Desc, Order.OLDEST: tantivy.Order.Asc}
_ROWS = {"n": {"value_count": {"field": ROW}}}
_LEVELS = {"l": {"terms": {"field": LEVEL, "size": 16}}}


def level_counts(searcher: tantivy.Searcher) -> dict[int, int]:
    """How many lines there are of each level that is there."""
    counts = {level: searcher.doc_freq(LEVEL, level) for level in range(HIGHEST_LEVEL + 1)}
    return {level: lines for level, lines in counts.items() if lines}


class Native:
    """Searches one index. tantivy lets go of the interpreter's lock while it does."""

    def __init__(self, searcher: tantivy.Searcher, facts: nodes.SplitFacts) -> None:
        self._searcher = searcher
        self._facts = facts

    def lacks(self, node: nodes.Node) -> bool:
        """Nothing matches, since a term is nowhere: to know that takes a microsecond."""
        if node is nodes.NOTHING:
            return True
        if isinstance(node, nodes.Needing):
            return any(not self._searcher.doc_freq(BODY, word) for word in node.terms)
        return isinstance(node, nodes.TermNode) and not self._searcher.doc_freq(BODY, node.term)

    def known(self, node: nodes.Node) -> int | None:
        """How many lines match, where the index says so without a search."""
        if isinstance(node, nodes.TermNode):
            return self._searcher.doc_freq(BODY, node.term)
        if node is nodes.EVERYTHING:
            return self._facts.line_count
        return 0 if self.lacks(node) else None

    def count(self, node: nodes.Node) -> int:
        """How many lines match."""
        known = self.known(node)
        return self.count_query(nodes.to_engine(node)) if known is None else known

    def count_query(self, query: tantivy.Query) -> int:
        """The same for a query of the engine."""
        # An aggregation reads no scores; a plain search would compute them.
        return int(self._searcher.aggregate(query, _ROWS)["n"]["value"])

    def levels(self, node: nodes.Node) -> dict[int, int]:
        """How many lines there are of each level."""
        if self.lacks(node):
            return {}
        found = self._searcher.aggregate(nodes.to_engine(node), _LEVELS)
        return {int(level["key"]): int(level["doc_count"]) for level in found["l"]["buckets"]}

    def top(self, node: nodes.Node, order: Order, limit: int, after: After | None) -> Top:
        """The first hits, and the number of all of them where that came for free."""
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
        return Top(hits, count if after is None else None)

    def histogram(self, node: nodes.Node, start: int, width: int, buckets: int) -> dict[int, dict[int, int]]:
        """As SplitReader.histogram."""
        if self.lacks(node):
            return {}
        node = nodes.all_of([node, nodes.time_node(start, start + width * buckets, self._facts)])
        if node is nodes.NOTHING:
            return {}
        bars = {"field": TIME, "interval": float(width), "min_doc_count": 1}
        found = self._searcher.aggregate(nodes.to_engine(node), {"t": {"histogram": bars, "aggs": _LEVELS}})
        result: dict[int, dict[int, int]] = {}
        for bar in found["t"]["buckets"]:
            counts = {int(level["key"]): int(level["doc_count"]) for level in bar["l"]["buckets"]}
            result[(round(bar["key"]) - start) // width] = counts
        return result

    def _dated(
        self, node: nodes.Node, order: Order, limit: int, after: After | None
    ) -> tuple[list[RowHit], int | None]:
        """Hits with a time strictly beyond that of `after`, and, if that is None, how many match, dated or not."""
        if after is not None:
            assert after.time is not None
            low, high = (None, after.time) if order is Order.NEWEST else (after.time + 1, None)
            node = nodes.all_of([node, nodes.time_node(low, high, self._facts)])
            if node is nodes.NOTHING:
                return [], None
        # One more than wanted: the engine breaks ties as it likes, so a tie at the end has to be seen.
        found = self._searcher.search(
            nodes.to_engine(node), limit + 1, count=True, order_by_field=TIME, order=_ORDERS[order]
        )
        # Where the field is missing the engine says None and puts it last.
        found_hits = found.hits
        if found_hits and found_hits[-1][0] is None:
            found_hits = [hit for hit in found_hits if hit[0] is not None]
        addresses = [address for _, address in found_hits]
        times: list[int] = [when for when, _ in found_hits]
        if len(times) > limit and times[limit] == times[limit - 1]:
            tie = times[limit]
            keep = times.index(tie)
            hits = self._sorted(times[:keep], addresses[:keep], order)
            hits += self._tied(node, tie, order, limit - keep, None)
        else:
            hits = self._sorted(times[:limit], addresses[:limit], order)
        return hits, int(found.count)  # type: ignore[attr-defined]  # missing in its stub

    def _tied(self, node: nodes.Node, when: int, order: Order, limit: int, beyond: int | None) -> list[RowHit]:
        """Hits with exactly this time."""
        node = nodes.all_of([node, nodes.time_node(when, when + 1, self._facts)])
        return [RowHit(when, row) for row in self._by_row(node, order, limit, beyond)]

    def _undated(self, node: nodes.Node, order: Order, limit: int, beyond: int | None) -> list[RowHit]:
        if self._facts.dated_count == self._facts.line_count:
            return []
        node = nodes.all_of([node, nodes.undated_node(self._facts)])
        return [RowHit(None, row) for row in self._by_row(node, order, limit, beyond)]

    def _by_row(self, node: nodes.Node, order: Order, limit: int, beyond: int | None) -> list[int]:
        if beyond is not None:
            low, high = (0, beyond) if order is Order.NEWEST else (beyond + 1, self._facts.line_count)
            node = nodes.all_of([node, nodes.row_node(low, high, self._facts)])
        if node is nodes.NOTHING:
            return []
        found = self._searcher.search(
            nodes.to_engine(node), limit, count=False, order_by_field=ROW, order=_ORDERS[order]
        )
        return [row for row, _ in found.hits]

    def _sorted(self, times: list[int], addresses: Sequence[tantivy.DocAddress], order: Order) -> list[RowHit]:
        if not addresses:
            return []
        rows: list[int] = self._searcher.fast_field_values(ROW, list(addresses))  # type: ignore[assignment]
        return sorted(map(RowHit, times, rows), reverse=order is Order.NEWEST)
