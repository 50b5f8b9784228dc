"""Runs a query over the splits of a view. Plain functions that block: they run in the threads that search.

Hits have one total order in a workspace: by time, then by publication of their split, then by row, all forward for
OLDEST and all backward for NEWEST, lines without a time last. A page token names a place in that order, so pages stay
as they are when new splits arrive: what is published later is found at its own place or not at all.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loganalyzer.search.v1 import query_pb2
from services.search.catalog import Published, View
from services.search.index.split import After, Order, RowHit, SplitReader
from services.search.query import Bounds, bounds_of

__all__ = ["Cost", "Found", "Page", "Place", "Plan", "Progress", "find_page", "histogram", "stream"]

#: Hits in one chunk of a stream, at most.
CHUNK = 100
#: Lines that a stream may be ahead of its last progress.
PROGRESS_LINES = 10_000
_FIRST_BATCH, _LARGEST_BATCH = 2 * CHUNK, 16_384


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of hits."""

    time: int | None
    seq: int
    row: int


@dataclass(frozen=True, slots=True)
class Found:
    """A hit and the reader that can fetch its line."""

    place: Place
    reader: SplitReader


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to look for. `open_split` gives a reader; `check` raises when nobody wants the answer any more."""

    query: query_pb2.Query
    order: Order
    after: Place | None
    open_split: Callable[[Published], SplitReader]
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """Splits and lines that a search looked at, and splits that it could leave out."""

    searched: int
    pruned: int
    lines: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of hits; `more` tells whether others follow."""

    hits: list[Found]
    total: int
    more: bool
    cost: Cost


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a stream: lines done, out of how many."""

    done: int
    total: int


_Key = tuple[int, int, int, float]


def find_page(view: View, plan: Plan, limit: int) -> Page:
    """The first `limit` hits behind `plan.after`, and the number of all lines that match."""
    splits, cost = _candidates(view, plan)
    best: list[tuple[_Key, Found]] = []
    total = 0
    for published in splits:
        plan.check()
        reader = plan.open_split(published)
        if len(best) > limit and best[-1][0] < _first_key(published, plan.order):
            total += reader.count(plan.query)
            continue
        top = reader.top(plan.query, plan.order, limit + 1, _after(plan, published))
        total += reader.count(plan.query) if top.count is None else top.count
        found = [_found(hit, published, reader, plan.order) for hit in top.hits]
        best = sorted(best + found, key=lambda pair: pair[0])[: limit + 1] if best else found
    return Page([found for _, found in best[:limit]], total, len(best) > limit, cost)


def stream(view: View, plan: Plan, limit: int) -> Iterator[Progress | list[Found] | Page]:
    """Progress and chunks of hits in order, and a Page without hits as the last word. A `limit` of 0 means every hit.

    Splits are searched when their turn comes: only those whose times overlap are merged. What has been found is handed
    out before another split is searched.
    """
    splits, cost = _candidates(view, plan)
    cursors = [_Cursor(published, plan) for published in splits]
    heap = [(_first_key(cursor.published, plan.order), number) for number, cursor in enumerate(cursors)]
    heapq.heapify(heap)
    chunk: list[Found] = []
    sent, told = 0, 0
    yield Progress(0, cost.lines)
    while heap and not (limit and sent + len(chunk) >= limit):
        cursor = cursors[heap[0][1]]
        if cursor.empty:
            # It is about to search: that takes time.
            if chunk:
                yield chunk
                sent, chunk = sent + len(chunk), []
            plan.check()
            cursor.fill()
        else:
            chunk.append(cursor.take())
            if len(chunk) == CHUNK:
                plan.check()
                yield chunk
                sent, chunk = sent + CHUNK, []
        if cursor.over:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (cursor.key, heap[0][1]))
        if cursor.over or cursor.empty or not chunk:
            done = sum(cursor.lines_done for cursor in cursors)
            if done - told >= PROGRESS_LINES:
                told = done
                yield Progress(done, cost.lines)
    if chunk:
        yield chunk
        sent += len(chunk)
    if not heap:
        yield Progress(cost.lines, cost.lines)
    yield Page([], sent, bool(heap), cost)


def histogram(view: View, plan: Plan, start: int, width: int, buckets: int) -> tuple[dict[int, dict[int, int]], int]:
    """{bucket: {level: lines}} over [start, start + width * buckets), and the number of all lines that match."""
    splits, _ = _candidates(view, plan)
    result: dict[int, dict[int, int]] = {}
    total = 0
    for published in splits:
        plan.check()
        reader = plan.open_split(published)
        total += reader.count(plan.query)
        for bucket, levels in reader.histogram(plan.query, start, width, buckets).items():
            sums = result.setdefault(bucket, {})
            for level, lines in levels.items():
                sums[level] = sums.get(level, 0) + lines
    return result, total


class _Cursor:
    """Goes through the hits of one split, a batch at a time; batches grow, since each one repeats the search."""

    def __init__(self, published: Published, plan: Plan) -> None:
        self.published = published
        self.key = _first_key(published, plan.order)
        self.over = False
        self._plan = plan
        self._after = _after(plan, published)
        self._batch: list[tuple[_Key, Found]] = []
        self._at = 0
        self._size = _FIRST_BATCH
        self._last = False
        self._taken = 0
        self._count: int | None = None

    @property
    def empty(self) -> bool:
        """The next `take` needs a `fill` first."""
        return self._at == len(self._batch)

    @property
    def lines_done(self) -> int:
        """Lines of the split that are behind the cursor, estimated from the share of its hits that are."""
        if self.over:
            return self.published.split.line_count
        if not self._count:
            return 0
        return self.published.split.line_count * min(self._taken + self._at, self._count) // self._count

    def fill(self) -> None:
        """Searches for the next batch; sets `over` where there is none."""
        self._taken += self._at
        self._batch, self._at = [], 0
        plan = self._plan
        reader = plan.open_split(self.published)
        top = reader.top(plan.query, plan.order, self._size, self._after)
        if self._count is None:
            self._count = top.count
        self._last = len(top.hits) < self._size
        self._batch = [_found(hit, self.published, reader, plan.order) for hit in top.hits]
        self._size = min(2 * self._size, _LARGEST_BATCH)
        if not top.hits:
            self.over = True
            return
        self._after = After(top.hits[-1].time, top.hits[-1].row)
        self.key = self._batch[0][0]

    def take(self) -> Found:
        """The next hit."""
        _, found = self._batch[self._at]
        self._at += 1
        if not self.empty:
            self.key = self._batch[self._at][0]
        else:
            self.over = self._last
        return found


def _candidates(view: View, plan: Plan) -> tuple[list[Published], Cost]:
    """The splits that may hold hits, in the order in which their first hits may come."""
    bounds = bounds_of(plan.query)
    splits = [published for published in view.splits if _may_match(published, bounds)]
    splits.sort(key=lambda published: _first_key(published, plan.order))
    cost = Cost(len(splits), len(view.splits) - len(splits), sum(published.split.line_count for published in splits))
    return splits, cost


def _may_match(published: Published, bounds: Bounds) -> bool:
    split = published.split
    if split.line_count == 0 or bounds.empty:
        return False
    if bounds.undated:
        return True
    if not split.has_times:
        return False
    return (bounds.low is None or split.max_time_us >= bounds.low) and (
        bounds.high is None or split.min_time_us < bounds.high
    )


def _found(hit: RowHit, published: Published, reader: SplitReader, order: Order) -> tuple[_Key, Found]:
    return _key(hit.time, published.seq, hit.row, order), Found(Place(hit.time, published.seq, hit.row), reader)


def _key(time: int | None, seq: int, row: float, order: Order) -> _Key:
    sign = -1 if order is Order.NEWEST else 1
    return (1, 0, sign * seq, sign * row) if time is None else (0, sign * time, sign * seq, sign * row)


def _first_key(published: Published, order: Order) -> _Key:
    """Not behind the key of any hit in the split."""
    split = published.split
    time = (split.max_time_us if order is Order.NEWEST else split.min_time_us) if split.has_times else None
    return _key(time, published.seq, math.inf if order is Order.NEWEST else -math.inf, order)


def _after(plan: Plan, published: Published) -> After | None:
    """Where to go on in one split."""
    place = plan.after
    if place is None:
        return None
    if place.seq == published.seq:
        return After(place.time, place.row)
    # At the same time, either all of its lines are behind the place or none is.
    behind = (published.seq < place.seq) == (plan.order is Order.NEWEST)
    forward = plan.order is Order.OLDEST
    return After(place.time, -1 if behind == forward else published.split.line_count)
