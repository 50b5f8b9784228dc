"""Query tree to text that parses to the same tree."""

from __future__ import annotations

from collections.abc import Callable

from loganalyzer.search.v1 import query_pb2
from services.search.query.times import render_time
from services.search.query.tree import HIGHEST_LEVEL, NOTHING, operands, time_bounds

__all__ = ["render"]


def render(query: query_pb2.Query) -> str:
    """`query` in the query language; "" for every line. Times before year 1 or after 9999 cannot be written."""
    match query.WhichOneof("node"):
        case "term":
            # Never a keyword: those are upper case, a canonical term is not.
            return query.term.text
        case "phrase":
            return f'"{" ".join(query.phrase.terms)}"'
        case "and":
            return " AND ".join(_nested(part) for part in operands(query)) or ""
        case "or":
            return " OR ".join(_nested(part) for part in operands(query))
        case "not":
            return (
                f"level:>{_level_name(HIGHEST_LEVEL)}"
                if query == NOTHING
                else f"NOT {_nested(getattr(query, 'not').operand)}"
            )
        case "level":
            low = _level_name(query.level.min or 1)
            return f"level:{low}..{_level_name(query.level.max)}" if query.level.max else f"level:>={low}"
        case "time":
            return _time(query.time)
        case "source":
            escaped = query.source.text.replace("\\", "\\\\").replace('"', '\\"')
            return f'source:"{escaped}"'
        case _:
            return ""


def _nested(part: query_pb2.Query) -> str:
    two_ends = part.time.HasField("start") and part.time.HasField("end")
    compound = two_ends or part.WhichOneof("node") in ("and", "or", "not")
    return f"({render(part)})" if compound else render(part)


def _level_name(number: int) -> str:
    name: Callable[[int], str] = query_pb2.Level.Name  # type: ignore[assignment]
    return name(number).lower()


def _time(found: query_pb2.TimeRange) -> str:
    low, high = time_bounds(found)
    ends = []
    if low is not None:
        ends.append(f"time:>={render_time(low)}")
    if high is not None:
        ends.append(f"time:<{render_time(high)}")
    return " ".join(ends) or "time:.."
