"""A split whose damage is told apart from every other error, and whose lines are read by whole frames."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import zstandard

from loganalyzer.search.v1 import search_pb2
from services.search.index.frames import Frame
from services.search.index.layout import NO_TIME
from services.search.index.split import (
    After,
    Batch,
    Candidates,
    Check,
    Line,
    Order,
    Query,
    SplitReader,
    Top,
    Values,
    unchecked,
)

__all__ = ["DAMAGED", "GuardedSplit", "is_damage"]

#: What reading a split raises when its files are missing or damaged, beside what `is_damage` knows.
DAMAGED = (OSError, ValueError, zstandard.ZstdError)

#: Makes of a damage what is raised instead.
Told = Callable[[BaseException], Exception]


def is_damage(error: BaseException) -> bool:
    """Whether reading a split fails so when it is damaged.

    The engine panics over files that do not hold what it wrote. That is a BaseException, and its class can only be
    known by its name.
    """
    return isinstance(error, DAMAGED) or type(error).__name__ == "PanicException"


class GuardedSplit(SplitReader):
    """Asks another reader of the same split. `told` makes of what damage raises the error that is raised instead."""

    def __init__(self, split: SplitReader, told: Told) -> None:
        # Nothing is opened again: what every reader has is shared.
        self.folder, self.meta, self.line_count = split.folder, split.meta, split.line_count
        self.first_rows = split.first_rows
        self._frames, self._cache = split._frames, split._cache
        self._split = split
        self._told = told

    def count(self, query: Query, check: Check = unchecked) -> int:
        with self._guard():
            return self._split.count(query, check)

    def top(self, query: Query, order: Order, limit: int, after: After | None = None, check: Check = unchecked) -> Top:
        with self._guard():
            return self._split.top(query, order, limit, after, check)

    def walk(self, query: Query, order: Order, after: After | None = None, check: Check = unchecked) -> Iterator[Batch]:
        batches = self._split.walk(query, order, after, check)
        while True:
            with self._guard():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def histogram(
        self, query: Query, start: int, width: int, buckets: int, check: Check = unchecked
    ) -> dict[int, dict[int, int]]:
        with self._guard():
            return self._split.histogram(query, start, width, buckets, check)

    def top_values(self, query: Query, field: str, limit: int, check: Check = unchecked) -> Values:
        with self._guard():
            return self._split.top_values(query, field, limit, check)

    def candidates(self, query: Query, check: Check = unchecked) -> Candidates:
        with self._guard():
            return self._split.candidates(query, check)

    def line(self, row: int) -> Line:
        with self._guard():
            return self._split.line(row)

    def lines(self, rows: Sequence[int], check: Check = unchecked) -> list[Line]:
        with self._guard():
            return self._lines(rows, check)

    def _lines(self, rows: Sequence[int], check: Check) -> list[Line]:
        """As they come: neighbours in a frame and in a run need no look-up of their own."""
        found: list[Line] = []
        frame: Frame | None = None
        run = search_pb2.SplitSource()
        low = high = first = first_line = begin = end = 0
        for row in rows:
            if frame is None or not low <= row < high:
                check()
                frame = self.frame(self._frames.frame_of(row))
                low, high = frame.first_row, frame.first_row + len(frame)
                texts, times = frame.lines, frame.columns.times
                levels, records = frame.columns.levels, frame.columns.records
            if not begin <= row < end:
                # Runs without lines begin where the next one does: the last one that begins here has the lines.
                ordinal = bisect_right(self.first_rows, row) - 1
                run, begin = self.meta.sources[ordinal], self.first_rows[ordinal]
                end, first_line = begin + run.line_count, run.first_line
            at = row - low
            first = records.rfind(1, max(begin - low, 0), at + 1)
            record: int | None = low + first
            if first < 0:
                record = None if low <= begin else self._record_row(row, begin)
            when = times[at]
            found.append(
                Line(
                    row,
                    texts[at],
                    None if when == NO_TIME else when,
                    levels[at],
                    run,
                    first_line + row - begin,
                    None if record is None else first_line + record - begin,
                )
            )
        return found

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if not is_damage(error):
                raise
            raise self._told(error) from error
