"""The oracle behind the same seam: reads every line of a split and decides by looking at it. Slow on purpose."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from loganalyzer.search.v1 import query_pb2
from services.search.index.split import After, Line, Order, RowHit, SplitReader, Top
from services.search.index.terms import canonical
from services.search.query.tree import HIGHEST_LEVEL, time_bounds

__all__ = ["ScannedSplit", "matches"]

# Letters and digits: the same characters as categories L* and N*.
_RUN = re.compile(r"[^\W_]+")


def matches(query: query_pb2.Query, line: Line) -> bool:
    """Whether a line matches a query tree."""
    words = [canonical(run) for run in _RUN.findall(line.raw.decode("utf-8", "replace"))]
    return _matches(query, line, words)


def _matches(query: query_pb2.Query, line: Line, words: list[str]) -> bool:
    match query.WhichOneof("node"):
        case "term":
            return query.term.text in words
        case "phrase":
            wanted = list(query.phrase.terms)
            return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))
        case "and":
            return all(_matches(operand, line, words) for operand in getattr(query, "and").operands)
        case "or":
            return any(_matches(operand, line, words) for operand in getattr(query, "or").operands)
        case "not":
            return not _matches(getattr(query, "not").operand, line, words)
        case "level":
            return max(query.level.min, 1) <= line.level <= (query.level.max or HIGHEST_LEVEL)
        case "time":
            low, high = time_bounds(query.time)
            return line.time is not None and (low is None or line.time >= low) and (high is None or line.time < high)
        case "source":
            return query.source.text in line.run.name
        case _:
            return True


class ScannedSplit(SplitReader):
    """A split, searched by reading it."""

    def count(self, query: query_pb2.Query) -> int:
        return sum(1 for _ in self._matching(query))

    def top(self, query: query_pb2.Query, order: Order, limit: int, after: After | None = None) -> Top:
        found = [RowHit(line.time, line.row) for line in self._matching(query)]
        found.sort(key=lambda hit: _key(hit, order))
        count = len(found)
        if after is not None:
            behind = _key(after, order)
            found = [hit for hit in found if _key(hit, order) > behind]
        return Top(found[:limit], count)

    def histogram(self, query: query_pb2.Query, start: int, width: int, buckets: int) -> dict[int, dict[int, int]]:
        result: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for line in self._matching(query):
            if line.time is not None and start <= line.time < start + width * buckets:
                result[(line.time - start) // width][line.level] += 1
        return {bucket: dict(levels) for bucket, levels in result.items()}

    def _matching(self, query: query_pb2.Query) -> Iterator[Line]:
        return (line for line in map(self.line, range(self.line_count)) if matches(query, line))


def _key(hit: RowHit | After, order: Order) -> tuple[int, int, int]:
    sign = -1 if order is Order.NEWEST else 1
    return (1, 0, sign * hit.row) if hit.time is None else (0, sign * hit.time, sign * hit.row)
