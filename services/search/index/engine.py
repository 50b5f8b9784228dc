"""The tantivy engine behind the seam.

What the inverted index answers exactly it answers alone (`native`). Anything else is found by reading the lines that
the indexes leave (`evaluate`); what was found so is kept, so that pages, counts and bars of a query read once.
"""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import tantivy

from services.search.index import nodes, values
from services.search.index.chunks import Longs
from services.search.index.compile import Part, bind
from services.search.index.evaluate import Evaluation
from services.search.index.frames import FrameReader
from services.search.index.grams import GramIndex, open_grams
from services.search.index.layout import INDEX
from services.search.index.lookup import RowSet
from services.search.index.matches import Matches, kept, merged
from services.search.index.native import Native, level_counts
from services.search.index.prepared import THROUGH_TERMS, Prepared, prepare
from services.search.index.schema import TIME, open_index
from services.search.index.split import (
    After,
    Batch,
    Candidates,
    Check,
    FrameCache,
    Order,
    Query,
    SplitReader,
    Top,
    Values,
    unchecked,
)
from services.search.index.vocabulary import SplitTerms
from services.search.index.walk import batch_sizes, pages_of, walk
from services.search.lru import LruCache

__all__ = ["TantivySplit"]

_COUNTS_KEPT = 512
#: Seconds until the block index of a split that had none is looked for again.
_LOOK_AGAIN = 1.0
#: Bytes of a dictionary of terms from which on it is dear to look through it: ten milliseconds.
_DEAR = 800 << 10
#: Bytes of a dictionary of terms that is taken into memory at most.
_LARGEST_VOCABULARY = 8 << 20
#: Frames that are read rather than looking through a dictionary of terms.
_FEW_FRAMES = 16

_serials = itertools.count()


class TantivySplit(SplitReader):
    """A split, searched by its indexes."""

    def __init__(self, folder: Path, frames: FrameCache) -> None:
        super().__init__(folder, frames)
        try:
            index = open_index(folder / INDEX)
        except ValueError as error:
            raise ValueError(f"the index of split {folder.name} cannot be opened: {error}") from error
        self.searcher = index.searcher()
        if self.searcher.num_docs != self.line_count:
            raise ValueError(f"split {folder.name} indexes {self.searcher.num_docs} lines of {self.line_count}")
        self._dictionary = sum(path.stat().st_size for path in (folder / INDEX).glob("*.term"))
        self._serial = next(_serials)
        self._terms = SplitTerms(self.searcher, self._serial, usable=self._dictionary <= _LARGEST_VOCABULARY)
        self.facts = nodes.SplitFacts(
            line_count=self.line_count,
            dated_count=self._dated_count(),
            min_time=self.meta.min_time_us,
            max_time=self.meta.max_time_us,
            levels=level_counts(self.searcher),
            runs_where=self.runs_where,
            terms_with=self._terms.containing,
            long=self._terms.long,
            wide=False,
        )
        self._wide = replace(self.facts, wide=True)
        self._native = Native(self.searcher, self.facts)
        # What a query matches in a split never changes: pages behind the first do not count again.
        self._counts: LruCache[bytes, int] = LruCache(_COUNTS_KEPT)
        self._busy: dict[bytes, threading.Lock] = {}
        self._lock = threading.Lock()
        self._grams: GramIndex | None = None
        self._look_at = 0.0
        self._first_rows: Longs | None = None
        self._runs = [(run.source_id, run.name) for run in self.meta.sources]

    def count(self, query: Query, check: Check = unchecked) -> int:
        found = prepare(query)
        if found.node is not None and (known := self._native.known(found.node)) is not None:
            return known  # to remember it would cost more than to ask again
        known = self._counts.get(found.key)
        if known is None:
            if found.node is not None:
                known = self._native.count_query(nodes.to_engine(found.node))
            elif (part := self._native_part(found)) is None:
                known = len(self._matches(found, check))
            else:
                known = self._native.count(self._sure(part))
                if part.doubtful:
                    known += len(self._matches(found, check, doubtful=True))
            self._counts.put(found.key, known)
        return known

    def top(self, query: Query, order: Order, limit: int, after: After | None = None, check: Check = unchecked) -> Top:
        found = prepare(query)
        part = Part(found.node) if found.node is not None else self._native_part(found)
        if part is None:
            return self._matches(found, check).top(order, limit, after)
        node = self._sure(part)
        known = self._native.known(node)
        top = Top([], 0) if known == 0 else self._native.top(node, order, limit, after)
        if part.doubtful:
            top = merged(top, self._matches(found, check, doubtful=True).top(order, limit, after), order, limit)
        if top.count is not None and known is None:
            self._counts.put(found.key, top.count)
        return top

    def walk(self, query: Query, order: Order, after: After | None = None, check: Check = unchecked) -> Iterator[Batch]:
        found = prepare(query)
        sizes = batch_sizes(self.meta.raw_bytes // max(1, self.line_count))
        known = kept.get((self._serial, found.key))
        if known is not None:
            yield from pages_of(known, order, after, sizes, self.line_count)
            return
        if self._native_part(found) is not None:
            # The index knows the first ones at once, however the lines lie.
            check()
            size = next(sizes)
            top = self.top(found, order, size, after, check)
            if top.hits:
                done = 0 if not top.count else self.line_count * len(top.hits) // top.count
                yield Batch(top.hits, done)
            if len(top.hits) < size:
                return
            after = After(top.hits[-1].time, top.hits[-1].row)
        for part in walk(self._evaluation(found, check), self._frames, order, after, sizes):
            if isinstance(part, Matches):
                self._keep(found, part)
            else:
                yield part

    def histogram(
        self, query: Query, start: int, width: int, buckets: int, check: Check = unchecked
    ) -> dict[int, dict[int, int]]:
        found = prepare(query)
        part = self._native_part(found)
        if part is None:
            return self._matches(found, check).histogram(start, width, buckets)
        bars = self._native.histogram(self._sure(part), start, width, buckets)
        if part.doubtful:
            for bucket, levels in self._matches(found, check, doubtful=True).histogram(start, width, buckets).items():
                sums = bars.setdefault(bucket, {})
                for level, count in levels.items():
                    sums[level] = sums.get(level, 0) + count
        return bars

    def top_values(self, query: Query, field: str, limit: int, check: Check = unchecked) -> Values:
        found = prepare(query)
        part = self._native_part(found)
        node = None if part is None or part.doubtful else part.node
        match field:
            case "level" if node is not None:
                return values.of_levels(self._native.levels(node), self._native.count(node))
            case "level":
                return values.of_levels(values.tally(self._matches(found, check).levels), self.count(found, check))
            case "source":
                rows = values.RunCounts(self.first_rows, [run.name for run in self.meta.sources])
                if node is None:
                    rows.add(self._matches(found, check).rows)
                elif node is nodes.EVERYTHING:
                    rows.add_all([run.line_count for run in self.meta.sources])
                else:
                    RowSet(self.searcher, node, self.facts, self._native.count(node)).each(rows.add, check)
                return rows.values()
            case _:
                return values.of_field(self, found, field, limit, check)

    def candidates(self, query: Query, check: Check = unchecked) -> Candidates:
        found = prepare(query)
        if self._native_part(found) is not None or kept.get((self._serial, found.key)) is not None:
            return Candidates(self.count(found, check), 0)
        check()
        part = bind(found.program, self._wide)
        lines = self._native.count(part.node)
        if lines and not part.exact:
            frames = Evaluation(self, found, part, check).frames()
            lines = min(lines, sum(self._frames.counts[number] for number in frames))
        return Candidates(lines, 0 if part.exact else lines)

    # What an evaluation needs.

    @property
    def reader(self) -> FrameReader:
        """The frames."""
        return self._frames

    @property
    def first_rows_of_frames(self) -> Longs:
        """Row at which each frame begins."""
        if self._first_rows is None:
            self._first_rows = np.array(self._frames.first_rows, np.int64)
        return self._first_rows

    def grams(self) -> GramIndex | None:
        """The block index, as soon as there is one."""
        if self._grams is None and time.monotonic() >= self._look_at:
            self._grams = open_grams(self.folder)
            self._look_at = time.monotonic() + _LOOK_AGAIN
        return self._grams

    def count_node(self, node: nodes.Node) -> int:
        """How many lines a node matches."""
        return self._native.count(node)

    def run_at(self, row: int) -> tuple[str, str]:
        """(id, name) of the source of a row."""
        return self._runs[bisect_right(self.first_rows, row) - 1]

    def _native_part(self, found: Prepared) -> Part | None:
        """What the engine is to answer by itself; None where lines have to be read, or that is cheaper."""
        looks_through = found.kinds & THROUGH_TERMS
        if looks_through:
            if kept.get((self._serial, found.key)) is not None or self._few_frames(found):
                return None
            if looks_through != {"substring"} and self._dictionary > _DEAR:
                return None
        part = bind(found.program, self.facts)
        return part if part.exact else None

    def _few_frames(self, found: Prepared) -> bool:
        """Hardly any line can match, as the block index knows."""
        grams = self.grams() if found.clauses else None
        frames = None if grams is None else grams.frames(found.clauses)
        return frames is not None and len(frames) <= _FEW_FRAMES

    def _sure(self, part: Part) -> nodes.Node:
        """Lines of which the inverted index knows all."""
        return nodes.all_but(part.node, self._terms.long()) if part.doubtful else part.node

    def _evaluation(self, found: Prepared, check: Check) -> Evaluation:
        if found.kinds & THROUGH_TERMS and self._few_frames(found):
            return Evaluation(self, found, Part(nodes.EVERYTHING, exact=False), check)
        return Evaluation(self, found, bind(found.program, self._wide), check)

    def _matches(self, found: Prepared, check: Check, *, doubtful: bool = False) -> Matches:
        """All lines that match, or the doubtful ones that do; found once however many ask at the same time."""
        key = b"doubtful" + found.key if doubtful else found.key
        known = kept.get((self._serial, key))
        if known is not None:
            return known
        with self._alone(key, check):
            known = kept.get((self._serial, key))
            if known is None:
                if doubtful:
                    part = Part(nodes.EVERYTHING, exact=False)
                    evaluation = Evaluation(self, found, part, check, only=self._terms.long())
                else:
                    evaluation = self._evaluation(found, check)
                known = evaluation.run(evaluation.frames())
                kept.put((self._serial, key), known)
        return known

    def _keep(self, found: Prepared, matches: Matches) -> None:
        self._counts.put(found.key, len(matches))
        kept.put((self._serial, found.key), matches)

    @contextmanager
    def _alone(self, key: bytes, check: Check) -> Iterator[None]:
        """Only one thread works on a query; the others wait for it as long as somebody waits for them."""
        with self._lock:
            lock = self._busy.setdefault(key, threading.Lock())
        while not lock.acquire(timeout=0.01):
            check()
        try:
            yield
        finally:
            lock.release()
            with self._lock:
                self._busy.pop(key, None)

    def _dated_count(self) -> int:
        if not self.meta.has_times:
            return 0
        found = self.searcher.aggregate(tantivy.Query.exists_query(TIME), {"n": {"value_count": {"field": TIME}}})
        return int(found["n"]["value"])
