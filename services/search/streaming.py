"""Hits as they are found: the splits of a view merged in order, each searched when its turn has come. Blocks."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from services.search.catalog import Published, View
from services.search.execute import Found, Key, Page, Place, Plan, after_of, candidates_of, first_key, key_of, query_of
from services.search.index.split import Batch, Query, RowHit, SplitReader
from services.search.plans import CHUNK, PROGRESS_LINES, Progress

__all__ = ["stream"]


def stream(view: View, plan: Plan, limit: int) -> Iterator[Progress | list[Found] | Page]:
    """Progress and chunks of hits in order, and a Page without hits as the last word. A `limit` of 0 means every hit.

    Splits are searched when their turn comes: only those whose times overlap are merged. What has been found is handed
    out before another split is searched.
    """
    splits, cost = candidates_of(view, plan)
    cursors = [_Cursor(published, plan, query_of(view, plan, published)) for published in splits]
    heap = [(first_key(cursor.published, plan.order), number) for number, cursor in enumerate(cursors)]
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
            # Everything that comes before the next one of any other split.
            bound = min((each[0] for each in heap[1:3]), default=None)
            room = CHUNK - len(chunk)
            chunk += cursor.take(min(room, limit - sent - len(chunk)) if limit else room, bound)
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
            if done - told >= PROGRESS_LINES // 2:
                told = done
                yield Progress(done, cost.lines)
    if chunk:
        yield chunk
        sent += len(chunk)
    if not heap:
        yield Progress(cost.lines, cost.lines)
    yield Page([], sent, bool(heap), cost)


class _Cursor:
    """Goes through the hits of one split, a batch at a time."""

    def __init__(self, published: Published, plan: Plan, query: Query) -> None:
        self.published = published
        self.key = first_key(published, plan.order)
        self.over = False
        self._query = query
        self._plan = plan
        self._reader: SplitReader | None = None
        self._walk: Iterator[Batch] = iter(())
        self._hits: Sequence[RowHit] = ()
        self._at = 0
        #: Lines of the split before the batch, and behind it.
        self._done = self._next_done = 0

    @property
    def empty(self) -> bool:
        """The next `take` needs a `fill` first."""
        return self._at == len(self._hits)

    @property
    def lines_done(self) -> int:
        """Lines of the split that are behind the cursor, about."""
        if self.over:
            return self.published.split.line_count
        if not self._hits:
            return self._next_done
        return self._done + (self._next_done - self._done) * self._at // len(self._hits)

    def fill(self) -> None:
        """Searches on, a bit; perhaps nothing is found. Sets `over` at the end."""
        plan = self._plan
        if self._reader is None:
            self._reader = plan.open_split(self.published)
            self._walk = self._reader.walk(self._query, plan.order, after_of(plan, self.published), plan.check)
        batch = next(self._walk, None)
        self._done, self._at = self._next_done, 0
        if batch is None:
            self._hits, self.over = (), True
            return
        self._hits, self._next_done = batch.hits, max(batch.done, self._done)
        if self._hits:
            self._look()

    def take(self, count: int, bound: Key | None) -> list[Found]:
        """The next hits, as far as they come before `bound`: one at least, `count` at most."""
        assert self._reader is not None
        hits, begin, end = self._hits, self._at, min(self._at + count, len(self._hits))
        if bound is not None and self._key(hits[end - 1]) > bound:
            end = max(begin + 1, bisect_right(hits, bound, begin, end, key=self._key))
        self._at = end
        if not self.empty:
            self._look()
        seq, reader = self.published.seq, self._reader
        return [Found(Place(time, seq, row), reader) for time, row in hits[begin:end]]

    def _key(self, hit: RowHit) -> Key:
        return key_of(hit.time, self.published.seq, hit.row, self._plan.order)

    def _look(self) -> None:
        self.key = self._key(self._hits[self._at])
