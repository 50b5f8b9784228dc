"""Query trees: building them, and what can be known of them without an index.

A query that can match nothing is `not all`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf import timestamp_pb2

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import canonical
from services.search.query.times import END, LOWEST

__all__ = [
    "EVERYTHING",
    "HIGHEST_LEVEL",
    "NOTHING",
    "Bounds",
    "all_of",
    "any_of",
    "bounds_of",
    "cased",
    "field",
    "fuzzy",
    "inverse",
    "key_of",
    "level_range",
    "operand",
    "operands",
    "regex",
    "source",
    "source_ids",
    "substring",
    "term",
    "time_bounds",
    "time_range",
    "wildcard",
    "with_times",
    "words",
]

Query = query_pb2.Query
HIGHEST_LEVEL = max(query_pb2.Level.values())
EVERYTHING = Query(all=query_pb2.MatchAll())
NOTHING = Query()
getattr(NOTHING, "not").operand.CopyFrom(EVERYTHING)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times outside of which nothing matches: [low, high) in microseconds, None for an open end.

    `undated` tells whether lines without a time may match.
    """

    low: int | None
    high: int | None
    undated: bool

    @property
    def empty(self) -> bool:
        """Nothing at all can match."""
        return not self.undated and self.low is not None and self.high is not None and self.low >= self.high


def term(text: str) -> Query:
    """Lines with a term."""
    return Query(term=query_pb2.Term(text=canonical(text)))


def words(texts: Iterable[str]) -> Query:
    """Lines with these terms in a row."""
    texts = [canonical(text) for text in texts]
    return term(texts[0]) if len(texts) == 1 else Query(phrase=query_pb2.Phrase(terms=texts))


def all_of(parts: Iterable[Query]) -> Query:
    """Lines that every part matches."""
    found = Query()
    getattr(found, "and").operands.extend(parts)
    return found


def any_of(parts: Iterable[Query]) -> Query:
    """Lines that at least one part matches."""
    found = Query()
    getattr(found, "or").operands.extend(parts)
    return found


def inverse(part: Query) -> Query:
    """Lines that the part does not match."""
    found = Query()
    getattr(found, "not").operand.CopyFrom(part)
    return found


def level_range(low: int, high: int) -> Query:
    """Lines with a level in [low, high]; 0 is an open end."""
    return Query(level=query_pb2.LevelRange(min=query_pb2.Level.ValueType(low), max=query_pb2.Level.ValueType(high)))


def source(text: str) -> Query:
    """Lines of sources with `text` in their name."""
    return Query(source=query_pb2.SourceMatch(text=text))


def source_ids(ids: Iterable[str]) -> Query:
    """Lines of these sources."""
    return Query(source_ids=query_pb2.SourceIds(ids=ids))


def substring(text: str, *, case_sensitive: bool = False) -> Query:
    """Lines that contain the text."""
    return Query(substring=query_pb2.Substring(text=text, case_sensitive=case_sensitive))


def regex(pattern: str, *, ignore_case: bool = False) -> Query:
    """Lines in which a pattern in RE2's syntax is found."""
    return Query(regex=query_pb2.Regex(pattern=pattern, ignore_case=ignore_case))


def wildcard(pattern: str) -> Query:
    """Lines with a term of this form."""
    return Query(wildcard=query_pb2.Wildcard(pattern=pattern))


def fuzzy(text: str, distance: int = 1) -> Query:
    """Lines with a term that is at most so many edits away, 1 or 2."""
    return Query(fuzzy=query_pb2.Fuzzy(text=text, distance=distance))


def field(name: str, operator: query_pb2.FieldMatch.Operator.ValueType, value: str = "") -> Query:
    """Lines with a field whose value compares so."""
    return Query(field=query_pb2.FieldMatch(field=name, operator=operator, value=value))


def cased(terms: Iterable[str]) -> Query:
    """Lines with these terms in a row, compared with case."""
    return Query(cased=query_pb2.Cased(terms=terms))


def time_range(low: int | None, high: int | None) -> Query:
    """Lines with a time in [low, high), in microseconds; None is an open end.

    So is one that lies beyond all times (year 1 to 9999), which a Timestamp cannot say.
    """
    if (low is not None and low >= END) or (high is not None and high <= LOWEST):
        return NOTHING
    found = query_pb2.TimeRange()
    if low is not None and low >= LOWEST:
        found.start.FromMicroseconds(low)
    if high is not None and high < END:
        found.end.FromMicroseconds(high)
    return Query(time=found)


def time_bounds(found: query_pb2.TimeRange) -> tuple[int | None, int | None]:
    """[low, high) of a TimeRange in microseconds; None is an open end. Finer times are rounded up."""
    low = _micros_up(found.start) if found.HasField("start") else None
    high = _micros_up(found.end) if found.HasField("end") else None
    return low, high


def with_times(query: Query, low: int | None, high: int | None) -> Query:
    """`query`, restricted to [low, high) where at least one end is given."""
    return query if low is None and high is None else all_of([query, time_range(low, high)])


def key_of(query: Query) -> bytes:
    """Bytes that are equal for equal normal forms."""
    return query.SerializeToString(deterministic=True)


def operands(query: Query) -> list[Query]:
    """The parts of an And or Or."""
    kind = query.WhichOneof("node")
    return list(getattr(query, kind).operands) if kind in ("and", "or") else []


def operand(query: Query) -> Query:
    """The part of a Not."""
    part: Query = getattr(query, "not").operand
    return part


def bounds_of(query: Query) -> Bounds:
    """Times outside of which the query matches nothing. May be wider than necessary, never narrower."""
    match query.WhichOneof("node"):
        case "time":
            return Bounds(*time_bounds(query.time), undated=False)
        case "and":
            parts = [bounds_of(part) for part in operands(query)]
            lows = [part.low for part in parts if part.low is not None]
            highs = [part.high for part in parts if part.high is not None]
            undated = all(part.undated for part in parts)
            return Bounds(max(lows, default=None), min(highs, default=None), undated)
        case "or":
            parts = [bounds_of(part) for part in operands(query)]
            starts, ends = [part.low for part in parts], [part.high for part in parts]
            low = None if None in starts else min((at for at in starts if at is not None), default=None)
            high = None if None in ends else max((at for at in ends if at is not None), default=None)
            return Bounds(low, high, any(part.undated for part in parts))
        case "not" if query == NOTHING:
            return Bounds(0, 0, undated=False)
        case _:
            return Bounds(None, None, undated=True)


def _micros_up(when: timestamp_pb2.Timestamp) -> int:
    return when.seconds * 1_000_000 + -(-when.nanos // 1000)
