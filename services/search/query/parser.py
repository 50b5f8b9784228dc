"""Text to query tree, by recursive descent.

    query    = [ either ] ;                              nothing matches every line
    either   = both { "OR" both } ;
    both     = unary { [ "AND" ] unary } ;               terms side by side must all match
    unary    = { "NOT" } primary ;
    primary  = "(" either ")" | phrase | level | source | time | word ;
    phrase   = '"' { any character but '"' ; '\\"' and '\\\\' stand for '"' and '\\' } '"' ;
    word     = run of characters without white space, ( ) and '"' ;
    level    = "level:" ( name | ( ">" | ">=" | "<" | "<=" ) name | [ name ] ".." [ name ] ) ;
    source   = "source:" ( word | phrase ) ;
    time     = "time:" ( at | ( ">" | ">=" | "<" | "<=" ) at | [ at ] ".." [ at ] | between ) ;
    between  = "[" ( at | "*" ) "TO" ( at | "*" ) "]" ;
    at       = see `times`; may be quoted

AND, OR and NOT are keywords in upper case only. A word or phrase means its terms (maximal runs of letters and digits),
one after the other with no other term between: foo_bar is the same as "foo bar". A field name that is not known is part
of the word, so that user:bob means the terms user and bob side by side. Names of levels are compared without case. Both
ends of a range are part of it, and without any it means the lines that have a time or level at all. A time stands for
the whole unit that it names: time:2016-12-19..2016-12-20 is two days.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import runs
from services.search.query import tree
from services.search.query.times import parse_time

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "QuerySyntaxError", "parse"]

#: Characters of a query.
MAX_LENGTH = 4_096
#: Parentheses and NOTs inside one another.
MAX_DEPTH = 20

_TOKEN = re.compile(
    r"""\s+
    | (?P<open>\()
    | (?P<close>\))
    | (?P<range>time:\[[^\]]*\]?)
    | (?P<quoted>(?:source:|time:(?:[<>]=?)?)?"(?:[^"\\]|\\.)*("?))
    | (?P<word>[^\s()"]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = ("AND", "OR", "NOT")
_COMPARISON = re.compile(r"(>=|<=|>|<)?(.*)", re.DOTALL)

_LEVELS = {name.lower(): number for name, number in query_pb2.Level.items() if number}
_LEVELS |= {"warning": query_pb2.WARN, "err": query_pb2.ERROR, "crit": query_pb2.CRITICAL}


class QuerySyntaxError(ValueError):
    """The text is no query. `position` counts characters from 0; `expected` says what should stand there.

    The message is a sentence and, below it, the line with a caret under the place.
    """

    def __init__(self, text: str, position: int, expected: str) -> None:
        super().__init__(f"{expected} at character {position + 1}\n{_excerpt(text, position)}")
        self.position = position
        self.expected = expected


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> query_pb2.Query:
    """The tree of a query, as it is written. Raises QuerySyntaxError."""
    if len(text) > MAX_LENGTH:
        raise QuerySyntaxError(text, MAX_LENGTH, f"expected at most {MAX_LENGTH} characters")
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    def query(self) -> query_pb2.Query:
        if self._peek().kind == "end":
            return tree.EVERYTHING
        found = self._either()
        if self._peek().kind != "end":
            raise self._error("expected a term, AND, OR or the end, found ')' without '('")
        return found

    def _either(self) -> query_pb2.Query:
        parts = [self._both()]
        while self._take("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else tree.any_of(parts)

    def _both(self) -> query_pb2.Query:
        parts = [self._unary()]
        while self._take("AND") or self._peek().kind in ("NOT", "open", "quoted", "word", "range"):
            parts.append(self._unary())
        return parts[0] if len(parts) == 1 else tree.all_of(parts)

    def _unary(self) -> query_pb2.Query:
        if self._peek().kind not in ("NOT", "open"):
            return self._primary()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"expected at most {MAX_DEPTH} parentheses and NOTs inside one another")
        if self._take("NOT"):
            found = tree.inverse(self._unary())
        else:
            opening = self._next()
            found = self._either()
            if not self._take("close"):
                raise self._error(f"expected ')' for the '(' at character {opening.position + 1}")
        self._depth -= 1
        return found

    def _primary(self) -> query_pb2.Query:
        token = self._peek()
        if token.kind not in ("quoted", "word", "range"):
            raise self._error(f"expected a term, a phrase or '(', found {_named(token)}")
        self._next()
        field, colon, value = token.text.partition(":")
        at = token.position + len(field) + 1
        if colon and field == "level":
            return self._level(value, at)
        if colon and field == "source":
            return self._source(value, at)
        if colon and field == "time":
            return self._time_between(value, at) if token.kind == "range" else self._time(value, at)
        found = runs(_unquoted(token.text) if token.kind == "quoted" else token.text)
        if not found:
            raise QuerySyntaxError(self._text, token.position, f"expected a letter or a digit in {token.text}")
        return tree.words(found)

    def _level(self, value: str, at: int) -> query_pb2.Query:
        if ".." in value:
            first, _, last = value.partition("..")
            low = self._level_name(first, at) if first else 0
            high = self._level_name(last, at + len(first) + 2) if last else 0
            return tree.level_range(low, high)
        sign, name = _comparison(value)
        number = self._level_name(name, at + len(sign))
        match sign:
            case ">":
                return tree.NOTHING if number == tree.HIGHEST_LEVEL else tree.level_range(number + 1, 0)
            case ">=":
                return tree.level_range(number, 0)
            case "<":
                return tree.NOTHING if number == 1 else tree.level_range(0, number - 1)
            case "<=":
                return tree.level_range(0, number)
            case _:
                return tree.level_range(number, number)

    def _level_name(self, name: str, at: int) -> int:
        number = _LEVELS.get(name.lower())
        if number is None:
            known = ", ".join(sorted(_LEVELS, key=lambda known: (_LEVELS[known], known)))
            raise QuerySyntaxError(self._text, at, f"expected a level ({known})")
        return number

    def _source(self, value: str, at: int) -> query_pb2.Query:
        text = _unquoted(value) if value.startswith('"') else value
        if not text:
            raise QuerySyntaxError(self._text, at, "expected a part of the source's name")
        return tree.source(text)

    def _time(self, value: str, at: int) -> query_pb2.Query:
        if ".." in value:
            first, _, last = value.partition("..")
            low = self._point(first, at)[0] if first else None
            high = self._point(last, at + len(first) + 2)[1] if last else None
            return tree.time_range(low, high)
        sign, point = _comparison(value)
        low, high = self._point(point, at + len(sign))
        bounds = {"": (low, high), ">": (high, None), ">=": (low, None), "<": (None, low), "<=": (None, high)}
        return tree.time_range(*bounds[sign])

    def _time_between(self, value: str, at: int) -> query_pb2.Query:
        found = re.fullmatch(r"\[\s*(\S.*?)\s+TO\s+(.*?\S)\s*\]", value, re.DOTALL)
        if found is None:
            raise QuerySyntaxError(self._text, at, "expected [start TO end], each a time or *")
        low = None if found[1] == "*" else self._point(found[1], at + found.start(1))[0]
        high = None if found[2] == "*" else self._point(found[2], at + found.start(2))[1]
        return tree.time_range(low, high)

    def _point(self, value: str, at: int) -> tuple[int, int]:
        try:
            return parse_time(_unquoted(value) if value.startswith('"') else value)
        except ValueError as error:
            raise QuerySyntaxError(self._text, at, f"expected {error}") from error

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        for found in _TOKEN.finditer(self._text):
            kind, word = found.lastgroup, found.group()
            if found["quoted"] is not None:
                kind = "quoted"
                if not found[5]:
                    raise QuerySyntaxError(self._text, len(self._text), "expected '\"' to end the phrase")
            if kind == "word" and word in _KEYWORDS:
                kind = word
            if kind is not None:
                tokens.append(_Token(kind, word, found.start()))
        return [*tokens, _Token("end", "", len(self._text.rstrip()))]

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, kind: str) -> bool:
        if self._peek().kind != kind:
            return False
        self._at += 1
        return True

    def _error(self, expected: str) -> QuerySyntaxError:
        return QuerySyntaxError(self._text, self._peek().position, expected)


def _comparison(value: str) -> tuple[str, str]:
    found = _COMPARISON.fullmatch(value)
    assert found is not None
    return found[1] or "", found[2]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _named(token: _Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)


def _excerpt(text: str, position: int) -> str:
    """The part of the text around the place, and a caret below it."""
    first, last = max(0, position - 60), position + 20
    shown = re.sub(r"\s", " ", text[first:last])
    return f"{shown}\n{' ' * (position - first)}^"
