"""How often the values of a field stand in lines that match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.search.index.chunks import Longs
from services.search.index.split import Check, Order, Query, SplitReader, Values
from services.search.query.fields import field_values

__all__ = ["RunCounts", "of_field", "of_levels", "tally"]

_LINES_BETWEEN_CHECKS = 500


def tally(levels: npt.NDArray[np.uint8]) -> dict[int, int]:
    """How many lines there are of each level."""
    return {level: count for level, count in enumerate(np.bincount(levels, minlength=1).tolist()) if count}


def of_levels(counts: Mapping[int, int], matching: int) -> Values:
    """Levels by their numbers, without that of the lines that have none."""
    found = {str(level): count for level, count in counts.items() if level}
    return Values(found, sum(found.values()), matching, matching)


class RunCounts:
    """Counts rows by the names of their sources."""

    def __init__(self, first_rows: Sequence[int], names: Sequence[str]) -> None:
        self._first_rows = np.array(first_rows, np.int64)
        self._names = names
        self._counts: npt.NDArray[np.int64] = np.zeros(len(names), np.int64)

    def add(self, rows: Longs) -> None:
        """Counts these rows."""
        if len(rows):
            places = np.searchsorted(self._first_rows, rows, "right") - 1
            self._counts += np.bincount(places, minlength=len(self._names))

    def add_all(self, counts: Sequence[int]) -> None:
        """Counts so many rows of each source."""
        self._counts += np.array(counts, np.int64)

    def values(self) -> Values:
        """What has been counted."""
        found: Counter[str] = Counter()
        for name, count in zip(self._names, self._counts.tolist(), strict=True):
            if count:
                found[name] += count
        total = found.total()
        return Values(dict(found), total, total, total)


def of_field(split: SplitReader, query: Query, field: str, limit: int, check: Check) -> Values:
    """The values of a field of the lines; each counts once for a line. Reads at most `limit` lines, the newest."""
    values_in = field_values(field)
    counts: Counter[str] = Counter()
    lines, read = 0, 0
    matching = split.count(query, check)
    for batch in split.walk(query, Order.NEWEST, None, check):
        rows = [hit.row for hit in batch.hits[: limit - read]]
        for number, line in enumerate(split.lines(rows, check), 1):
            if number % _LINES_BETWEEN_CHECKS == 0:
                check()
            found = set(values_in(line.raw))
            counts.update(found)
            lines += bool(found)
        read += len(rows)
        if read >= limit:
            break
    return Values(dict(counts), lines, read, matching)
