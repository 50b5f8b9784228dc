"""Which lines of a chunk match a query, decided for many lines at once where that can be done.

Every test gives the same answer as `services.search.query.predicate` does line by line: that is what it falls back to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import re2

from loganalyzer.search.v1 import query_pb2
from services.search.index.chunks import Chunk, Longs
from services.search.index.compile import Part, Program, program
from services.search.index.layout import NO_TIME
from services.search.index.split import Check
from services.search.query.predicate import Predicate, SubjectLine, compile_predicate
from services.search.query.regexes import MAX_PROGRAM, compile_literal, compile_regex
from services.search.query.tree import HIGHEST_LEVEL, operands, time_bounds

__all__ = ["Context", "Test", "compile_test"]


class Context(Protocol):
    """What a test may ask of the split while it runs."""

    check: Check

    def among(self, found: Program, rows: Longs) -> npt.NDArray[np.bool_]:
        """Which of these rows the inverted index has for a part that is exact."""

    def source_of(self, row: int) -> tuple[str, str]:
        """(id, name) of the source of a row."""

    def runs_where(self, wanted: Callable[[str, str], bool]) -> list[tuple[int, int]]:
        """As SplitReader.runs_where."""


#: Of some lines of a chunk (ascending numbers) those that match.
Test: TypeAlias = Callable[[Chunk, Longs, Context], Longs]

#: Of so many lines in a row, how many must be asked for before all of them are searched at once.
_SHARE = 8
#: Bytes of lines between two checks, times the instructions of the pattern that is looked for. The worst that was found
#: takes 3.5 ns for each of its thousands of instructions and each byte, 7 ns on a busy machine.
_WORK_BETWEEN_CHECKS = 4_000_000
#: The same where a predicate decides, whatever patterns are in it.
_BYTES_BETWEEN_CHECKS = _WORK_BETWEEN_CHECKS // MAX_PROGRAM
_UNANCHORED = re2._re2.RE2.Anchor.UNANCHORED
#: What stands for the same in a line as in a chunk of lines, in multi-line mode. Flags within the pattern could end it.
_WHOLE_TEXT = re.compile(r"\\[AzQC]|\(\?[a-zA-Z]*-|\(\?[a-zA-Z]*m")

_COSTS = {
    "all": 0,
    "level": 1,
    "time": 1,
    "source": 1,
    "source_ids": 1,
    "term": 2,
    "phrase": 3,
    "substring": 4,
    "regex": 5,
}
_DEAREST = 9


def compile_test(query: query_pb2.Query) -> Test:
    """The test for a query in normal form."""
    match query.WhichOneof("node"):
        case "and":
            return _every([compile_test(part) for part in sorted(operands(query), key=_cost)])
        case "or":
            return _some([compile_test(part) for part in sorted(operands(query), key=_cost)])
        case "not":
            return _none(compile_test(getattr(query, "not").operand))
        case "level":
            low, high = max(query.level.min, 1), query.level.max or HIGHEST_LEVEL
            return lambda chunk, lines, _: lines[_between(chunk.levels[lines], low, high + 1)]
        case "time":
            start, end = time_bounds(query.time)
            return lambda chunk, lines, _: lines[_dated(chunk.times[lines], start, end)]
        case "source":
            text = query.source.text
            return _of_sources(lambda _, name: text in name)
        case "source_ids":
            ids = frozenset(query.source_ids.ids)
            return _of_sources(lambda source_id, _: source_id in ids)
        case "term" | "phrase" | "wildcard" | "fuzzy":
            return _indexed(query)
        case "substring":
            return _substring(query.substring.text, case_sensitive=query.substring.case_sensitive)
        case "regex":
            return _regex(query.regex.pattern, ignore_case=query.regex.ignore_case)
        case "field" | "cased":
            return _one_by_one(compile_predicate(query))
        case _:
            return lambda chunk, lines, _: lines


def _cost(query: query_pb2.Query) -> int:
    kind = query.WhichOneof("node")
    if kind == "not":
        return _cost(getattr(query, "not").operand)
    if kind in ("and", "or"):
        return max((_cost(part) for part in operands(query)), default=0)
    return _COSTS.get(kind or "all", _DEAREST)


def _every(tests: Sequence[Test]) -> Test:
    def test(chunk: Chunk, lines: Longs, context: Context) -> Longs:
        for part in tests:
            if not len(lines):
                break
            lines = part(chunk, lines, context)
        return lines

    return test


def _some(tests: Sequence[Test]) -> Test:
    def test(chunk: Chunk, lines: Longs, context: Context) -> Longs:
        found: list[Longs] = []
        for part in tests:
            if not len(lines):
                break
            found.append(part(chunk, lines, context))
            lines = np.setdiff1d(lines, found[-1], assume_unique=True)
        return np.sort(np.concatenate(found)) if found else lines

    return test


def _none(part: Test) -> Test:
    return lambda chunk, lines, context: np.setdiff1d(lines, part(chunk, lines, context), assume_unique=True)


def _between(column: npt.NDArray[Any], low: int, end: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (column >= low) & (column < end)
    return found


def _dated(times: Longs, low: int | None, end: int | None) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = times != NO_TIME
    # Ends beyond 64 bits hold for all or for none.
    if low is not None:
        found = found & (times >= low)
    if end is not None:
        found = found & (times < end)
    return found


def _of_sources(wanted: Callable[[str, str], bool]) -> Test:
    def test(chunk: Chunk, lines: Longs, context: Context) -> Longs:
        rows = chunk.rows[lines]
        found = np.zeros(len(lines), np.bool_)
        for low, end in context.runs_where(wanted):
            found |= _between(rows, low, end)
        return lines[found]

    return test


def _indexed(query: query_pb2.Query) -> Test:
    found = program(query)
    if isinstance(found, Part) and not found.exact:
        return _one_by_one(compile_predicate(query))
    return lambda chunk, lines, context: lines[context.among(found, chunk.rows[lines])]


def _one_by_one(predicate: Predicate) -> Test:
    def test(chunk: Chunk, lines: Longs, context: Context) -> Longs:
        found: list[int] = []
        subject = SubjectLine(b"")
        times, levels, rows, blob = chunk.times, chunk.levels, chunk.rows, chunk.blob
        for at, begin, end in _spans(chunk, lines, _BYTES_BETWEEN_CHECKS, context.check):
            when = int(times[at])
            subject.raw = blob[begin:end]
            subject.time = None if when == NO_TIME else when
            subject.level = int(levels[at])
            subject.source_id, subject.source = context.source_of(int(rows[at]))
            if predicate(subject):
                found.append(at)
        return np.array(found, np.int64)

    return test


def _substring(text: str, *, case_sensitive: bool) -> Test:
    if "\n" in text:
        return lambda chunk, lines, _: lines[:0]
    if not text:
        return lambda chunk, lines, _: lines
    if case_sensitive or not any(char.isalpha() or not char.isascii() for char in text):
        needle = text.encode()
        return lambda chunk, lines, _: _with_bytes(needle, chunk, lines)
    pattern = compile_literal(text, True)
    return lambda chunk, lines, context: _with_match(pattern, chunk, lines, context.check)


def _regex(text: str, *, ignore_case: bool) -> Test:
    pattern = compile_regex(text, ignore_case)
    if not _WHOLE_TEXT.search(text):
        try:
            blocks = compile_regex("(?m)" + text, ignore_case)
        except ValueError:
            pass
        else:
            return lambda chunk, lines, context: _with_match(blocks, chunk, lines, context.check)
    return lambda chunk, lines, context: _each_with_match(pattern, chunk, lines, context.check)


def _spans(chunk: Chunk, lines: Longs, size: int, check: Check) -> Iterator[tuple[int, int, int]]:
    """Each line with its place in the blob; checks about every `size` bytes."""
    left = size
    for at, begin, end in zip(lines.tolist(), chunk.begins[lines].tolist(), chunk.ends[lines].tolist(), strict=True):
        left -= end - begin
        if left < 0:
            check()
            left = size
        yield at, begin, end


def _with_bytes(needle: bytes, chunk: Chunk, lines: Longs) -> Longs:
    find = chunk.blob.find
    if len(lines) * _SHARE < len(chunk):
        spans = zip(lines.tolist(), chunk.begins[lines].tolist(), chunk.ends[lines].tolist(), strict=True)
        return np.array([at for at, begin, end in spans if find(needle, begin, end) >= 0], np.int64)
    places: list[int] = []
    at = find(needle)
    while at >= 0:
        places.append(at)
        at = find(needle, find(b"\n", at) + 1)
    return _lines_of(places, chunk, lines)


def _pace(pattern: re2._Regexp) -> int:
    """Bytes that may be searched between two checks."""
    return _WORK_BETWEEN_CHECKS // max(1, int(pattern.programsize))


def _each_with_match(pattern: re2._Regexp, chunk: Chunk, lines: Longs, check: Check) -> Longs:
    # The wrapper's own search makes four objects for a match: this is the call below it. It is given lines that are cut
    # out of the chunk: where one begins within a longer text \A does not match.
    match, blob = pattern._regexp.Match, chunk.blob
    spans = _spans(chunk, lines, _pace(pattern), check)
    found = [at for at, begin, end in spans if match(_UNANCHORED, blob[begin:end], 0, end - begin)[0][0] >= 0]
    return np.array(found, np.int64)


def _with_match(pattern: re2._Regexp, chunk: Chunk, lines: Longs, check: Check) -> Longs:
    if len(lines) * _SHARE < len(chunk):
        return _each_with_match(pattern, chunk, lines, check)
    match, blob = pattern._regexp.Match, chunk.blob
    places: list[int] = []
    at, size, find, pace = 0, len(blob), blob.find, _pace(pattern)
    while at < size:
        stop = size if size - at <= pace else find(b"\n", at + pace) + 1
        while at < stop:
            begin = match(_UNANCHORED, blob, at, stop)[0][0]
            # What stands behind the last line feed is no line, or that of the next turn.
            if begin < 0 or begin == stop:
                break
            places.append(begin)
            at = find(b"\n", begin) + 1
        at = stop
        check()
    return _lines_of(places, chunk, lines)


def _lines_of(places: list[int], chunk: Chunk, lines: Longs) -> Longs:
    """The lines, of those that are asked for, in which these bytes stand."""
    if not places:
        return lines[:0]
    found = chunk.lines_at(places)
    return found if len(lines) == len(chunk) else np.intersect1d(found, lines, assume_unique=True)
