"""Finds the lines of a split that match a query, by reading those that the indexes leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.search.index.chunks import Chunk, Longs, chunks_of
from services.search.index.compile import Part, Program, bind
from services.search.index.frames import FrameReader
from services.search.index.grams import GramIndex
from services.search.index.lookup import RowSet, Searcher
from services.search.index.matches import Matches, joined
from services.search.index.nodes import EVERYTHING, NOTHING, Node, SplitFacts
from services.search.index.prepared import Prepared
from services.search.index.split import Check
from services.search.index.verify import Test
from services.search.query.tree import Bounds

__all__ = ["Evaluation", "SplitParts"]

#: Where the index leaves more than one line of so many, the rows are not asked for: all frames would be read anyway.
_SPARSE = 16


class SplitParts(Protocol):
    """What an evaluation needs of a split."""

    @property
    def facts(self) -> SplitFacts: ...

    @property
    def searcher(self) -> Searcher: ...

    @property
    def reader(self) -> FrameReader: ...

    @property
    def first_rows_of_frames(self) -> Longs: ...

    def grams(self) -> GramIndex | None: ...

    def count_node(self, node: Node) -> int: ...

    def run_at(self, row: int) -> tuple[str, str]: ...


class Evaluation:
    """One query on one split, in one thread."""

    def __init__(
        self, split: SplitParts, prepared: Prepared, part: Part, check: Check, *, only: Node | None = None
    ) -> None:
        """`part` is what the inverted index says of the query, perhaps nothing. `only`: look at no other lines."""
        self.check = check
        self._split = split
        self._prepared = prepared
        self._part = part if only is None else Part(only, exact=False)
        self._sets: dict[int, RowSet] = {}
        self._runs: dict[int, list[tuple[int, int]]] = {}
        self._rows = self._candidates() if only is None else self._set(only, split.count_node(only))
        self._test: Test | None = None
        if not self._part.exact:
            self._test = prepared.rest if self._rows is not None and only is None else prepared.test

    def frames(self) -> list[int]:
        """Numbers of the frames that may hold lines that match."""
        if self._part.node is NOTHING or self._prepared.bounds.empty:
            return []
        reader = self._split.reader
        found: Sequence[int] = range(len(reader))
        clauses = self._prepared.clauses
        grams = self._split.grams() if clauses and not self._part.exact else None
        named = None if grams is None else grams.frames(clauses)
        if named is not None:
            found = named
        bounds = self._prepared.bounds
        if not bounds.undated:
            found = [number for number in found if _may_hold(reader, number, bounds)]
        if self._rows is not None:
            held = self._rows.frames(self._split.first_rows_of_frames)
            if held is not None:
                found = np.intersect1d(held, np.asarray(found, np.int64), assume_unique=True).tolist()
        return list(found)

    def matches_in(self, chunk: Chunk) -> Matches:
        """Those among the lines of a chunk."""
        self.check()
        found = np.arange(len(chunk)) if self._rows is None else np.flatnonzero(self._rows.among(chunk.rows))
        if len(found) and self._test is not None:
            found = self._test(chunk, found, self)
        if not len(found):
            return joined([])
        return Matches(chunk.rows[found], chunk.times[found], chunk.levels[found])

    def run(self, frames: Sequence[int]) -> Matches:
        """Those in the frames. More threads would not help: searching keeps the interpreter's lock."""
        parts = [self.matches_in(chunk) for chunk in chunks_of(self._split.reader, frames)]
        return joined([part for part in parts if len(part)])

    def among(self, found: Program, rows: Longs) -> npt.NDArray[np.bool_]:
        """Which of these rows the inverted index has for an exact part."""
        known = self._sets.get(id(found))
        if known is None:
            node = bind(found, self._split.facts).node
            known = self._sets[id(found)] = self._set(node, self._split.count_node(node))
        return known.among(rows)

    def source_of(self, row: int) -> tuple[str, str]:
        """(id, name) of the source of a row."""
        return self._split.run_at(row)

    def runs_where(self, wanted: Callable[[str, str], bool]) -> list[tuple[int, int]]:
        """As SplitReader.runs_where, remembered."""
        known = self._runs.get(id(wanted))
        if known is None:
            known = self._runs[id(wanted)] = self._split.facts.runs_where(wanted)
        return known

    def _candidates(self) -> RowSet | None:
        """The rows that the index leaves; None where all are to be looked at."""
        part = self._part
        if part.node is EVERYTHING or part.node is NOTHING:
            return None
        count = self._split.count_node(part.node)
        if part.exact or self._prepared.partly_exact or count * _SPARSE < self._split.facts.line_count:
            return self._set(part.node, count)
        return None

    def _set(self, node: Node, count: int) -> RowSet:
        return RowSet(self._split.searcher, node, self._split.facts, count)


def _may_hold(reader: FrameReader, number: int, bounds: Bounds) -> bool:
    times = reader.times(number)
    if times is None:
        return True
    return (
        times.dated > 0
        and (bounds.low is None or times.high >= bounds.low)
        and (bounds.high is None or times.low < bounds.high)
    )
