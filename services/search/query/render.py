"""Query tree to text that parses to the same tree."""

from __future__ import annotations

import re
from collections.abc import Callable

from loganalyzer.search.v1 import query_pb2
from services.search.query.lexer import plain_name, quoted
from services.search.query.times import render_time
from services.search.query.tree import HIGHEST_LEVEL, NOTHING, operands, time_bounds

__all__ = ["render"]

_Match = query_pb2.FieldMatch
_SIGNS = {_Match.LESS: "<", _Match.LESS_OR_EQUAL: "<=", _Match.GREATER: ">", _Match.GREATER_OR_EQUAL: ">="}
#: Values that need no quotes.
_PLAIN = re.compile(r"[\w*?](?:[\w@*?-]|\.(?!\.))*")
_PAIR = re.compile(r"\\.|/", re.DOTALL)


def render(query: query_pb2.Query) -> str:
    """`query`, in normal form, in the query language; "" for every line.

    Times before year 1 or after 9999 cannot be written.
    """
    match query.WhichOneof("node"):
        case "term":
            # Never a keyword: those are upper case, a canonical term is not.
            return query.term.text
        case "phrase":
            return f'"{" ".join(query.phrase.terms)}"'
        case "and":
            return " AND ".join(_nested(part) for part in operands(query))
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
            return f"source:{quoted(query.source.text)}"
        case "source_ids":
            return " OR ".join(f"source_id:{quoted(source)}" for source in query.source_ids.ids)
        case "substring":
            found = query.substring
            return f"contains{'_case' if found.case_sensitive else ''}:{quoted(found.text)}"
        case "regex":
            pattern = _PAIR.sub(lambda pair: "\\/" if pair[0] == "/" else pair[0], query.regex.pattern)
            return f"/{pattern}/{'i' if query.regex.ignore_case else ''}"
        case "wildcard":
            return query.wildcard.pattern
        case "fuzzy":
            return f"{query.fuzzy.text}~{query.fuzzy.distance if query.fuzzy.distance > 1 else ''}"
        case "cased":
            return f"case:{quoted(' '.join(query.cased.terms))}"
        case "field":
            return _field(query.field)
        case _:
            return ""


def _field(found: query_pb2.FieldMatch) -> str:
    name = found.field if plain_name(found.field) else quoted(found.field)
    plain = _PLAIN.fullmatch(found.value) is not None
    match found.operator:
        case _Match.EXISTS:
            return f"{name}:*"
        case _Match.LIKE:
            like = plain and any(char in "*?" for char in found.value) and found.value.strip("*")
            return f"{name}:{found.value}" if like else f"{name}:~{quoted(found.value)}"
        case _:
            plain = plain and "*" not in found.value and "?" not in found.value
            return f"{name}:{_SIGNS.get(found.operator, '')}{found.value if plain else quoted(found.value)}"


def _nested(part: query_pb2.Query) -> str:
    two_ends = part.time.HasField("start") and part.time.HasField("end")
    compound = two_ends or len(part.source_ids.ids) > 1 or part.WhichOneof("node") in ("and", "or", "not")
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
