"""What a workspace holds at one moment: its published splits, what they took the place of, and what is hidden.

A view never changes. Splits that were replaced since an older view was taken are known by their moves, so a place in
the order of hits that was named then is found again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from loganalyzer.search.v1 import search_pb2

__all__ = ["Move", "Published", "Run", "View", "dropped_by", "runs_of"]


@dataclass(frozen=True, slots=True)
class Published:
    """A split in the catalogue. `seq` orders splits by publication."""

    seq: int
    workspace: str
    split: search_pb2.Split


@dataclass(frozen=True, slots=True)
class Run:
    """Lines [first_line, first_line + line_count) of a source are rows first_row and on of a split."""

    first_line: int
    line_count: int
    first_row: int
    published: Published


@dataclass(frozen=True, slots=True)
class Move:
    """`replaced` gave way to the split `into`, or to nothing, without the lines of the sources `dropped`.

    `generation` is the first one that shows it, `moved_at` its time in seconds since 1970.
    """

    generation: int
    moved_at: float
    replaced: tuple[Published, ...]
    into: str | None
    dropped: frozenset[str]

    def translate(self, seq: int, row: int, *, forward: bool) -> tuple[int, int]:
        """Where (seq, row) stands afterwards; for a line that is gone, just before the next one in that direction."""
        first, last = self.replaced[0].seq, self.replaced[-1].seq
        if self.into is None or not first <= seq <= last:
            return seq, row
        kept, there = 0, False
        for published in self.replaced:
            if published.seq > seq:
                break
            at = row if published.seq == seq else sum(run.line_count for run in published.split.sources)
            for run in published.split.sources:
                inside = min(run.line_count, at)
                at -= run.line_count
                if run.source_id not in self.dropped:
                    kept += inside
                if at < 0:
                    there = run.source_id not in self.dropped
                    break
        return first, kept if there or not forward else kept - 1


@dataclass(frozen=True)
class View:
    """The splits of a workspace at one moment, oldest publication first.

    Lines of `hidden` sources count as deleted, though splits may still hold them. `moves` are in order of time.
    """

    generation: int
    splits: tuple[Published, ...] = field(default=())
    hidden: frozenset[str] = frozenset()
    moves: tuple[Move, ...] = ()

    @cached_property
    def _runs(self) -> dict[str, list[Run]]:
        found: defaultdict[str, list[Run]] = defaultdict(list)
        for published in self.splits:
            row = 0
            for run in published.split.sources:
                if run.line_count and run.source_id not in self.hidden:
                    found[run.source_id].append(Run(run.first_line, run.line_count, row, published))
                row += run.line_count
        for runs in found.values():
            runs.sort(key=lambda run: run.first_line)
        return dict(found)

    @cached_property
    def hidden_in(self) -> dict[int, tuple[str, ...]]:
        """The hidden sources that a split holds lines of, by the split's seq; splits without are left out."""
        found: dict[int, tuple[str, ...]] = {}
        for published in self.splits if self.hidden else ():
            sources = {run.source_id for run in published.split.sources if run.line_count} & self.hidden
            if sources:
                found[published.seq] = tuple(sorted(sources))
        return found

    @cached_property
    def line_count(self) -> int:
        """Lines that can be found."""
        hidden = sum(
            run.line_count
            for published in self.splits
            if published.seq in self.hidden_in
            for run in published.split.sources
            if run.source_id in self.hidden
        )
        return self.stored_lines - hidden

    @cached_property
    def searchable(self) -> tuple[Published, ...]:
        """The splits that hold lines."""
        return tuple(published for published in self.splits if published.split.line_count)

    @cached_property
    def sorted(self) -> dict[Hashable, tuple[Published, ...]]:
        """The same in orders that were asked for: kept by whoever has sorted them, as long as the view is."""
        return {}

    @cached_property
    def stored_lines(self) -> int:
        """Lines of all splits, hidden ones as well."""
        return sum(published.split.line_count for published in self.splits)

    def lines_of(self, source_id: str) -> int:
        """How many lines of a source can be found."""
        if source_id in self.hidden:
            return 0
        return sum(run.line_count for each in self.splits for run in each.split.sources if run.source_id == source_id)

    @cached_property
    def times(self) -> tuple[int, int] | None:
        """Lowest and highest time of its splits, in microseconds; None where no line has one."""
        dated = [published.split for published in self.splits if published.split.has_times]
        if not dated:
            return None
        return min(split.min_time_us for split in dated), max(split.max_time_us for split in dated)

    @cached_property
    def moved(self) -> dict[str, Published]:
        """The splits that were replaced, by their id."""
        return {published.split.id: published for move in self.moves for published in move.replaced}

    def run_of(self, source_id: str, line: int) -> Run | None:
        """The run that holds a line of a source. None for a hidden one as well."""
        runs = self._runs.get(source_id, [])
        at = bisect_right(runs, line, key=lambda run: run.first_line) - 1
        if at < 0 or line >= runs[at].first_line + runs[at].line_count:
            return None
        return runs[at]

    def translate(self, generation: int, seq: int, row: int, *, forward: bool) -> tuple[int, int]:
        """Where the place (seq, row) of the view of `generation` stands in this one.

        `forward`: what follows it is wanted in the order of rows, else against it.
        """
        for move in self.moves:
            if move.generation > generation:
                seq, row = move.translate(seq, row, forward=forward)
        return seq, row


def dropped_by(view: View, places: list[int], new: search_pb2.Split) -> frozenset[str]:
    """The sources whose lines `new` leaves out of the splits at `places`; ValueError where it may not replace them."""
    if places != list(range(places[0], places[0] + len(places))):
        raise ValueError("the splits to replace are no neighbours")
    old = [view.splits[at].split for at in places]
    held = {run.source_id for run in new.sources}
    dropped = frozenset(run.source_id for split in old for run in split.sources if run.line_count) - held
    if not dropped <= view.hidden:
        raise ValueError(f"split {new.id} leaves out lines of sources that are not deleted")
    if runs_of([new]) != runs_of(old, dropped):
        raise ValueError(f"split {new.id} does not hold the lines of the splits that it replaces in their order")
    return dropped


def runs_of(splits: Iterable[search_pb2.Split], without: frozenset[str] = frozenset()) -> list[tuple[str, int, int]]:
    """(source, first line, number of lines) of the runs in order, those that follow each other joined."""
    joined: list[tuple[str, int, int]] = []
    for source, first, count in _runs(splits):
        if source in without or not count:
            continue
        if joined and joined[-1][0] == source and joined[-1][1] + joined[-1][2] == first:
            joined[-1] = (source, joined[-1][1], joined[-1][2] + count)
        else:
            joined.append((source, first, count))
    return joined


def _runs(splits: Iterable[search_pb2.Split]) -> Iterator[tuple[str, int, int]]:
    for split in splits:
        for run in split.sources:
            yield run.source_id, run.first_line, run.line_count
