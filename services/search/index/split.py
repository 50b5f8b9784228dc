"""A finished split, opened for reading: what every engine has in common, and what each must answer.

Rows are numbered from 0 in a split. Hits come in one of two orders. NEWEST: later times first, and among equal times
the greater row first, so that it is the exact reverse of OLDEST for lines that have a time. Lines without a time come
last in both.
"""

from __future__ import annotations

import abc
import enum
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search.index.frames import Frame, FrameReader
from services.search.index.layout import NO_TIME, SUPPORTED, read_meta
from services.search.lru import LruCache

if TYPE_CHECKING:
    from services.search.index.prepared import Prepared

__all__ = [
    "After",
    "Batch",
    "Candidates",
    "Check",
    "FrameCache",
    "Line",
    "Order",
    "Query",
    "RowHit",
    "SplitReader",
    "Top",
    "Values",
    "unchecked",
]

#: A query in normal form: a tree, or one made ready by `prepare`, which is cheaper where several splits are asked.
Query: TypeAlias = "query_pb2.Query | Prepared"
#: Raises when nobody wants the answer any more. Called at least every 20 ms of work.
Check = Callable[[], None]


def unchecked() -> None:
    """A check for work that is always wanted."""


class Order(enum.Enum):
    """Order of hits by time."""

    NEWEST = "timestamp desc"
    OLDEST = "timestamp"


class RowHit(NamedTuple):
    """A matching line: its time in microseconds, or None, and its row."""

    time: int | None
    row: int


@dataclass(frozen=True, slots=True)
class After:
    """Where to go on: behind this time and, at the same time, behind this row in the order that is asked for.

    The row need not exist: -1 or one past the end take all or nothing of the lines with that time.
    """

    time: int | None
    row: int


@dataclass(frozen=True, slots=True)
class Top:
    """The first hits in order, and how many lines match in all where that came for free."""

    hits: list[RowHit]
    count: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The next hits of a walk, perhaps none, and how many lines of the split are behind it."""

    hits: list[RowHit]
    done: int


@dataclass(frozen=True, slots=True)
class Values:
    """How often each value of a field stands in matching lines.

    `lines` of the `read` lines have the field at all; `matching` lines match. Where fewer were read than match, it was
    the newest, and the counts are theirs.
    """

    counts: dict[str, int]
    lines: int
    read: int
    matching: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a query costs: lines that may match as far as the index knows, and whether `reads` lines have to be read."""

    lines: int
    reads: int


class Line(NamedTuple):
    """One line with what is known of it."""

    row: int
    #: Without its line feed.
    raw: bytes
    time: int | None
    level: int
    run: search_pb2.SplitSource
    number: int
    #: Line number of the first line of its record; None where the record began before the run.
    record_number: int | None


#: Unpacked frames by (folder of the split, number of the frame).
FrameCache = LruCache[tuple[Path, int], Frame]


class SplitReader(abc.ABC):
    """Reads one split. Safe to use from several threads; closed when the last user has let go of it.

    Opening raises OSError where the folder or a file is missing and ValueError where it is damaged or of another
    version.
    """

    def __init__(self, folder: Path, frames: FrameCache) -> None:
        self.folder = folder
        self.meta = read_meta(folder)
        if self.meta.schema_version not in SUPPORTED:
            known = " and ".join(map(str, SUPPORTED))
            raise ValueError(f"split {folder.name} has format {self.meta.schema_version}, this program reads {known}")
        self.line_count = self.meta.line_count
        self._frames = FrameReader(folder)
        self._cache = frames
        ends = list(itertools.accumulate((run.line_count for run in self.meta.sources), initial=0))
        #: Row at which each run begins.
        self.first_rows: list[int] = ends[:-1]

    @abc.abstractmethod
    def count(self, query: Query, check: Check = unchecked) -> int:
        """How many lines match."""

    @abc.abstractmethod
    def top(self, query: Query, order: Order, limit: int, after: After | None = None, check: Check = unchecked) -> Top:
        """The first `limit` (at least 1) hits in `order`, behind `after`."""

    @abc.abstractmethod
    def walk(self, query: Query, order: Order, after: After | None = None, check: Check = unchecked) -> Iterator[Batch]:
        """Every hit in `order`, behind `after`: handed out as soon as none can come before it, in growing batches.

        Batches without hits are signs of progress. The lines of a batch are best fetched all at once, by `lines`.
        """

    @abc.abstractmethod
    def histogram(
        self, query: Query, start: int, width: int, buckets: int, check: Check = unchecked
    ) -> dict[int, dict[int, int]]:
        """Matching lines with a time in [start, start + width * buckets), as {bucket: {level: count}}.

        Times are microseconds and `start` is a multiple of `width`. Empty buckets and levels are left out.
        """

    @abc.abstractmethod
    def top_values(self, query: Query, field: str, limit: int, check: Check = unchecked) -> Values:
        """Values of "level" (its number), "source" (its name) or a field of the lines, of all matching lines.

        Of a field of the lines, at most `limit` lines are read, the newest first.
        """

    @abc.abstractmethod
    def candidates(self, query: Query, check: Check = unchecked) -> Candidates:
        """What a query would cost."""

    def frame(self, number: int) -> Frame:
        """A frame, from memory if it was read lately."""
        key = (self.folder, number)
        frame = self._cache.get(key)
        if frame is None:
            frame = self._frames.read(number)
            self._cache.put(key, frame)
        return frame

    def runs_where(self, wanted: Callable[[str, str], bool]) -> list[tuple[int, int]]:
        """Ranges of rows [start, end) of the sources whose (id, name) are wanted; neighbours are joined."""
        ranges: list[tuple[int, int]] = []
        for first, run in zip(self.first_rows, self.meta.sources, strict=True):
            if run.line_count == 0 or not wanted(run.source_id, run.name):
                continue
            if ranges and ranges[-1][1] == first:
                ranges[-1] = (ranges[-1][0], first + run.line_count)
            else:
                ranges.append((first, first + run.line_count))
        return ranges

    def line(self, row: int) -> Line:
        """One line."""
        return self._line(self.frame(self._frames.frame_of(row)), row)

    def lines(self, rows: Sequence[int], check: Check = unchecked) -> list[Line]:
        """Lines in any order; each frame is read once for all of them."""
        found: dict[int, Line] = {}
        frame: Frame | None = None
        for row in sorted(set(rows)):
            if frame is None or row >= frame.first_row + len(frame):
                check()
                frame = self.frame(self._frames.frame_of(row))
            found[row] = self._line(frame, row)
        return [found[row] for row in rows]

    def _line(self, frame: Frame, row: int) -> Line:
        at = row - frame.first_row
        # Runs without lines begin where the next one does: the last one that begins here is the one with lines.
        ordinal = bisect_right(self.first_rows, row) - 1
        run, first = self.meta.sources[ordinal], self.first_rows[ordinal]
        record = self._record_row(row, first)
        when = frame.columns.times[at]
        return Line(
            row=row,
            raw=frame.lines[at],
            time=None if when == NO_TIME else when,
            level=frame.columns.levels[at],
            run=run,
            number=run.first_line + row - first,
            record_number=None if record is None else run.first_line + record - first,
        )

    def _record_row(self, row: int, first: int) -> int | None:
        """Row at which the record of `row` begins, if that is not before `first`."""
        number = self._frames.frame_of(row)
        while True:
            frame = self.frame(number)
            low = max(first - frame.first_row, 0)
            found = frame.columns.records.rfind(1, low, row - frame.first_row + 1)
            if found >= 0:
                return frame.first_row + found
            if frame.first_row <= first:
                return None
            number, row = number - 1, frame.first_row - 1
