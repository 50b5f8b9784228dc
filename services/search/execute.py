"""Runs a query over the splits of a view. Plain functions that block: they run in the threads that search.

Lines of hidden sources are left out where a split still holds them.

Hits have one total order in a workspace: by time, then by publication of their split, then by row, all forward for
OLDEST and all backward for NEWEST, lines without a time last. A page token names a place in that order, so pages stay
as they are when new splits arrive: what is published later is found at its own place or not at all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from loganalyzer.search.v1 import query_pb2
from services.search.bars import Bars
from services.search.catalog import Published, View
from services.search.index.prepared import Prepared, prepare
from services.search.index.split import After, Order, Query, RowHit, SplitReader
from services.search.plans import Aggregates, ValuesWanted
from services.search.query import Bounds, normalise
from services.search.tally import Tally

__all__ = [
    "Cost",
    "Found",
    "Page",
    "Place",
    "Plan",
    "after_of",
    "aggregates",
    "candidates",
    "candidates_of",
    "count",
    "find_page",
    "first_key",
    "key_of",
    "query_of",
]


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

    prepared: Prepared
    order: Order
    after: Place | None
    open_split: Callable[[Published], SplitReader]
    check: Callable[[], None]

    @property
    def query(self) -> query_pb2.Query:
        """In normal form."""
        return self.prepared.query


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


Key = tuple[int, int, int, float]


def count(view: View, plan: Plan) -> tuple[int, Cost]:
    """The number of all lines that match."""
    splits, cost = candidates_of(view, plan, ordered=False)
    total = 0
    for published in splits:
        plan.check()
        total += plan.open_split(published).count(query_of(view, plan, published), plan.check)
    return total, cost


def candidates(view: View, plan: Plan) -> tuple[int, int, Cost]:
    """Lines that may match as far as the indexes know, and how many of them have to be read to know."""
    splits, cost = candidates_of(view, plan, ordered=False)
    lines = reads = 0
    for published in splits:
        plan.check()
        found = plan.open_split(published).candidates(query_of(view, plan, published), plan.check)
        lines += found.lines
        reads += found.reads
    return lines, reads, cost


def find_page(view: View, plan: Plan, limit: int) -> Page:
    """The first `limit` (at least 1) hits behind `plan.after`, and the number of all lines that match."""
    splits, cost = candidates_of(view, plan)
    best: list[tuple[Key, Found]] = []
    total = 0
    for published in splits:
        plan.check()
        reader, query = plan.open_split(published), query_of(view, plan, published)
        if len(best) > limit and best[-1][0] < first_key(published, plan.order):
            total += reader.count(query, plan.check)
            continue
        top = reader.top(query, plan.order, limit + 1, after_of(plan, published), plan.check)
        total += reader.count(query, plan.check) if top.count is None else top.count
        found = [_found(hit, published, reader, plan.order) for hit in top.hits]
        best = sorted(best + found, key=lambda pair: pair[0])[: limit + 1] if best else found
    return Page([found for _, found in best[:limit]], total, len(best) > limit, cost)


def aggregates(view: View, plan: Plan, bars: Bars | None, values: ValuesWanted | None) -> Aggregates:
    """Sums over all lines that match, whatever `plan.after` says."""
    # The newest first: where not all lines can be read, those are.
    splits, _ = candidates_of(view, dataclasses.replace(plan, order=Order.NEWEST))
    sums: dict[int, dict[int, int]] = {}
    top = None if values is None else Tally()
    for published in splits:
        plan.check()
        reader, query = plan.open_split(published), query_of(view, plan, published)
        if bars is not None and bars.count:
            for bucket, levels in reader.histogram(query, bars.start, bars.width, bars.count, plan.check).items():
                known = sums.setdefault(bucket, {})
                for level, lines in levels.items():
                    known[level] = known.get(level, 0) + lines
        if top is not None and values is not None:
            top.add(reader, query, values.field, plan.check)
    return Aggregates(
        None if bars is None else sums, None if top is None or values is None else top.result(values.limit)
    )


def candidates_of(view: View, plan: Plan, *, ordered: bool = True) -> tuple[list[Published], Cost]:
    """The splits that may hold hits, if wanted in the order in which their first hits may come."""
    bounds = plan.prepared.bounds
    everything = bounds.undated and not bounds.empty
    found = _in_order(view, plan.order) if ordered else view.searchable
    splits = list(found) if everything else [each for each in found if _may_match(each, bounds)]
    lines = view.stored_lines if everything else sum(published.split.line_count for published in splits)
    return splits, Cost(len(splits), len(view.splits) - len(splits), lines)


def query_of(view: View, plan: Plan, published: Published) -> Query:
    """What to look for in a split."""
    hidden = view.hidden_in.get(published.seq)
    if hidden is None:
        return plan.prepared
    query = query_pb2.Query()
    operands = getattr(query, "and").operands
    operands.add().CopyFrom(plan.query)
    getattr(operands.add(), "not").operand.source_ids.ids.extend(hidden)
    return prepare(normalise(query))


def _in_order(view: View, order: Order) -> tuple[Published, ...]:
    """The splits that hold lines, in the order in which their first hits may come."""
    found = view.sorted.get(order)
    if found is None:
        found = tuple(sorted(view.searchable, key=lambda published: first_key(published, order)))
        view.sorted[order] = found
    return found


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


def _found(hit: RowHit, published: Published, reader: SplitReader, order: Order) -> tuple[Key, Found]:
    return key_of(hit.time, published.seq, hit.row, order), Found(Place(hit.time, published.seq, hit.row), reader)


def key_of(time: int | None, seq: int, row: float, order: Order) -> Key:
    sign = -1 if order is Order.NEWEST else 1
    return (1, 0, sign * seq, sign * row) if time is None else (0, sign * time, sign * seq, sign * row)


def first_key(published: Published, order: Order) -> Key:
    """Not behind the key of any hit in the split."""
    split = published.split
    time = (split.max_time_us if order is Order.NEWEST else split.min_time_us) if split.has_times else None
    return key_of(time, published.seq, math.inf if order is Order.NEWEST else -math.inf, order)


def after_of(plan: Plan, published: Published) -> After | None:
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
