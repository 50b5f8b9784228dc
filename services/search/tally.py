"""The most frequent values of a field, summed up over splits."""

from __future__ import annotations

from collections import Counter

from loganalyzer.search.v1 import query_pb2
from services.search.index.split import Check, Query, SplitReader
from services.search.plans import TopValues

__all__ = ["Tally"]

#: Lines that are read at most; what the index knows by itself is counted whole.
LINES_READ = 200_000


class Tally:
    """Adds up what splits say, in their order."""

    def __init__(self) -> None:
        self._values: Counter[str] = Counter()
        self._with_field = self._read = 0
        self._exact = True

    def add(self, reader: SplitReader, query: Query, field: str, check: Check) -> None:
        """The values of a split."""
        if field not in ("level", "source") and self._read >= LINES_READ:
            self._exact = self._exact and reader.count(query, check) == 0
            return
        found = reader.top_values(query, field, max(1, LINES_READ - self._read), check)
        for value, count in found.counts.items():
            self._values[query_pb2.Level.Name(int(value)) if field == "level" else value] += count  # type: ignore[arg-type]
        self._with_field += found.lines
        self._read += found.read
        self._exact = self._exact and found.read == found.matching

    def result(self, limit: int) -> TopValues:
        """The most frequent ones, among equal numbers by value."""
        values = sorted(self._values.items(), key=lambda pair: (-pair[1], pair[0]))
        return TopValues(values[:limit], self._with_field, self._read, self._exact)
