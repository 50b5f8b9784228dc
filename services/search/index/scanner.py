"""The oracle behind the same seam: reads every line of a split and asks the predicate. Slow on purpose."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from loganalyzer.search.v1 import query_pb2
from services.search.index.split import (
    After,
    Batch,
    Candidates,
    Check,
    Line,
    Order,
    Query,
    RowHit,
    SplitReader,
    Top,
    Values,
    unchecked,
)
from services.search.query.fields import field_values
from services.search.query.predicate import SubjectLine, compile_predicate

__all__ = ["ScannedSplit", "matches"]

_BATCH = 100


def matches(query: query_pb2.Query, line: Line) -> bool:
    """Whether a line matches a query tree."""
    return compile_predicate(query)(_subject(line))


def _subject(line: Line) -> SubjectLine:
    return SubjectLine(line.raw, line.time, line.level, line.run.source_id, line.run.name)


class ScannedSplit(SplitReader):
    """A split, searched by reading it."""

    def count(self, query: Query, check: Check = unchecked) -> int:
        return sum(1 for _ in self._matching(query, check))

    def top(self, query: Query, order: Order, limit: int, after: After | None = None, check: Check = unchecked) -> Top:
        found = [RowHit(line.time, line.row) for line in self._matching(query, check)]
        found.sort(key=lambda hit: _key(hit, order))
        count = len(found)
        if after is not None:
            behind = _key(after, order)
            found = [hit for hit in found if _key(hit, order) > behind]
        return Top(found[:limit], count)

    def walk(self, query: Query, order: Order, after: After | None = None, check: Check = unchecked) -> Iterator[Batch]:
        hits = self.top(query, order, max(1, self.line_count), after, check).hits
        for at in range(0, len(hits), _BATCH):
            yield Batch(hits[at : at + _BATCH], self.line_count * min(at + _BATCH, len(hits)) // len(hits))

    def histogram(
        self, query: Query, start: int, width: int, buckets: int, check: Check = unchecked
    ) -> dict[int, dict[int, int]]:
        result: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for line in self._matching(query, check):
            if line.time is not None and start <= line.time < start + width * buckets:
                result[(line.time - start) // width][line.level] += 1
        return {bucket: dict(levels) for bucket, levels in result.items()}

    def top_values(self, query: Query, field: str, limit: int, check: Check = unchecked) -> Values:
        counts: Counter[str] = Counter()
        hits = self.top(query, Order.NEWEST, max(1, self.line_count), None, check).hits
        matching = len(hits)
        if field not in ("level", "source"):
            hits = hits[:limit]
        values_in = field_values(field)
        having = 0
        for line in (self.line(hit.row) for hit in hits):
            match field:
                case "level":
                    found = {str(line.level)} if line.level else set()
                case "source":
                    found = {line.run.name}
                case _:
                    found = set(values_in(line.raw))
            counts.update(found)
            having += bool(found)
        return Values(dict(counts), having, len(hits), matching)

    def candidates(self, query: Query, check: Check = unchecked) -> Candidates:
        return Candidates(self.line_count, self.line_count)

    def _matching(self, query: Query, check: Check) -> Iterator[Line]:
        tree = query if isinstance(query, query_pb2.Query) else query.query
        predicate = compile_predicate(tree)
        for row in range(self.line_count):
            check()
            line = self.line(row)
            if predicate(_subject(line)):
                yield line


def _key(hit: RowHit | After, order: Order) -> tuple[int, int, int]:
    sign = -1 if order is Order.NEWEST else 1
    return (1, 0, sign * hit.row) if hit.time is None else (0, sign * hit.time, sign * hit.row)
