"""Hits one after the other, as soon as it is known that none comes before them.

Frames are taken in the order of the times in them. What has been found waits until the next frame begins behind it.
Lines without a time come last. In a split whose lines are in order of time that takes no more than a frame or two in
memory; in one where they are not, all hits wait, as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.search.index.chunks import Longs, chunks_of
from services.search.index.evaluate import Evaluation
from services.search.index.frames import FRAME_BYTES, FrameReader
from services.search.index.layout import NO_TIME
from services.search.index.matches import Matches, joined
from services.search.index.split import After, Batch, Order, RowHit

__all__ = ["pages_of", "walk"]

_FIRST = 200
_LARGEST = 1 << 16
#: Bytes that the lines of a batch may have, on average.
_BATCH_BYTES = 16 << 20
#: Hits that are remembered to be kept for the next one who asks.
_REMEMBERED = 1_000_000
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Span:
    """The times in a frame as far as they are known; `undated`: some of its lines have none."""

    number: int
    low: int
    high: int
    undated: bool


def batch_sizes(line_bytes: int) -> Iterator[int]:
    """How many hits to hand out at once, one time after the other."""
    largest = max(_FIRST, min(_LARGEST, _BATCH_BYTES // max(1, line_bytes)))
    size = _FIRST
    while True:
        yield size
        size = min(2 * size, largest)


def pages_of(found: Matches, order: Order, after: After | None, sizes: Iterator[int], lines: int) -> Iterator[Batch]:
    """The hits of lines that are known already."""
    handed, total = 0, max(1, len(found))
    while True:
        size = next(sizes)
        hits = found.top(order, size, after).hits
        handed += len(hits)
        if hits:
            yield Batch(hits, lines * min(handed, total) // total)
        if len(hits) < size:
            return
        after = After(hits[-1].time, hits[-1].row)


def walk(
    evaluation: Evaluation, reader: FrameReader, order: Order, after: After | None, sizes: Iterator[int]
) -> Iterator[Batch | Matches]:
    """Batches of hits in order; at the end, if they were few enough and none was left out, all of them as Matches."""
    spans = _ordered(reader, evaluation.frames(), order, after)
    waiting: list[tuple[Longs, Longs]] = []
    undated: list[Longs] = []
    remembered: list[Matches] | None = [] if after is None else None
    done, held = 0, 0
    by_number = {span.number: place for place, span in enumerate(spans)}
    for chunk in chunks_of(reader, [span.number for span in spans], first_bytes=FRAME_BYTES):
        found = evaluation.matches_in(chunk)
        done += len(chunk)
        if len(found):
            held += len(found)
            if remembered is not None:
                remembered.append(found)
                if held > _REMEMBERED:
                    remembered = None
            _sort_out(found, order, after, waiting, undated)
        last = max(by_number[number] for number in chunk.numbers)
        bound = (
            None if last + 1 == len(spans) else (spans[last + 1].high if order is Order.NEWEST else spans[last + 1].low)
        )
        ready = _ready(waiting, order, bound)
        yield from _batches(ready, order, sizes, done)
        evaluation.check()
        yield Batch([], done)
    rows = np.sort(np.concatenate(undated)) if undated else np.empty(0, np.int64)
    yield from _last(rows if order is Order.OLDEST else rows[::-1], sizes, done)
    if remembered is not None:
        yield joined(remembered)


def _ordered(reader: FrameReader, numbers: Sequence[int], order: Order, after: After | None) -> list[_Span]:
    """The frames in the order in which their first hits may come, without those that are all before `after`."""
    spans: list[_Span] = []
    for number in numbers:
        times = reader.times(number)
        if times is None:
            span = _Span(number, _LOWEST, _HIGHEST, undated=True)
        elif times.dated:
            span = _Span(number, times.low, times.high, undated=times.dated < reader.counts[number])
        else:
            # Its lines come last in both orders.
            end = _LOWEST if order is Order.NEWEST else _HIGHEST
            span = _Span(number, end, end, undated=True)
        if after is None or span.undated or _reaches(span, order, after):
            spans.append(span)
    spans.sort(key=lambda span: (-span.high, -span.number) if order is Order.NEWEST else (span.low, span.number))
    return spans


def _reaches(span: _Span, order: Order, after: After) -> bool:
    if after.time is None:
        return False
    return span.low <= after.time if order is Order.NEWEST else span.high >= after.time


def _sort_out(
    found: Matches, order: Order, after: After | None, waiting: list[tuple[Longs, Longs]], undated: list[Longs]
) -> None:
    """Puts the hits behind `after` where they wait: dated ones sorted by time and row."""
    dated = found.times != NO_TIME
    rest = found.rows[~dated]
    if after is not None and after.time is None:
        undated.append(rest[rest < after.row] if order is Order.NEWEST else rest[rest > after.row])
        return
    undated.append(rest)
    times, rows = found.times[dated], found.rows[dated]
    if after is not None:
        assert after.time is not None
        tied = times == after.time
        if order is Order.NEWEST:
            behind = (times < after.time) | (tied & (rows < after.row))
        else:
            behind = (times > after.time) | (tied & (rows > after.row))
        times, rows = times[behind], rows[behind]
    if len(times):
        places = np.lexsort((rows, times))
        waiting.append((times[places], rows[places]))


def _ready(waiting: list[tuple[Longs, Longs]], order: Order, bound: int | None) -> tuple[Longs, Longs]:
    """Takes out the hits that come before everything at `bound`; all of them where that is None. Oldest first."""
    taken: list[tuple[Longs, Longs]] = []
    left: list[tuple[Longs, Longs]] = []
    for times, rows in waiting:
        if bound is None:
            taken.append((times, rows))
        elif order is Order.NEWEST:
            cut = int(np.searchsorted(times, bound, "right"))
            taken.append((times[cut:], rows[cut:]))
            left.append((times[:cut], rows[:cut]))
        else:
            cut = int(np.searchsorted(times, bound, "left"))
            taken.append((times[:cut], rows[:cut]))
            left.append((times[cut:], rows[cut:]))
    waiting[:] = [part for part in left if len(part[0])]
    taken = [part for part in taken if len(part[0])]
    if not taken:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if len(taken) == 1:
        return taken[0]
    times, rows = np.concatenate([part[0] for part in taken]), np.concatenate([part[1] for part in taken])
    places = np.lexsort((rows, times))
    return times[places], rows[places]


def _batches(ready: tuple[Longs, Longs], order: Order, sizes: Iterator[int], done: int) -> Iterator[Batch]:
    times, rows = ready
    if order is Order.NEWEST:
        times, rows = times[::-1], rows[::-1]
    at = 0
    while at < len(rows):
        end = at + next(sizes)
        yield Batch(list(map(RowHit, times[at:end].tolist(), rows[at:end].tolist())), done)
        at = end


def _last(rows: Longs, sizes: Iterator[int], done: int) -> Iterator[Batch]:
    at = 0
    while at < len(rows):
        end = at + next(sizes)
        yield Batch([RowHit(None, row) for row in rows[at:end].tolist()], done)
        at = end
