"""From one token to the leaf of the tree that it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import LONG, canonical, runs
from services.search.query import tree
from services.search.query.errors import QuerySyntaxError
from services.search.query.folding import fold_text, written_runs
from services.search.query.lexer import RESERVED, Token, unquoted
from services.search.query.patterns import MAX_FUZZY, fits_index, is_fuzzy, is_wildcard
from services.search.query.regexes import compile_glob, compile_regex
from services.search.query.times import UnitError, is_relative, parse_time

__all__ = ["MAX_FIELD", "Leaves"]

#: Characters of a field's name.
MAX_FIELD = 256

_Match = query_pb2.FieldMatch
_LEVELS = {name.lower(): number for name, number in query_pb2.Level.items() if number}
_LEVELS |= {"warning": query_pb2.WARN, "err": query_pb2.ERROR, "crit": query_pb2.CRITICAL}
_COMPARISONS = {
    ">": _Match.GREATER,
    ">=": _Match.GREATER_OR_EQUAL,
    "<": _Match.LESS,
    "<=": _Match.LESS_OR_EQUAL,
}
_FUZZY = re.compile(r"(.*[^\W_])~(\d*)", re.DOTALL)
_RANGE = re.compile(r"((?:[^\W_]|[+-])(?:(?!\.\.).)*)?\.\.((?:[^\W_]|[+-])(?:(?!\.\.).)*)?", re.DOTALL)
_SECOND = 1_000_000
_BETWEEN = re.compile(r"\[\s*(\S.*?)\s+TO\s+(.*?\S)\s*\]", re.DOTALL)


class Leaves:
    """Reads tokens of a query. `now` is in microseconds."""

    def __init__(self, text: str, now: int, endless: bool) -> None:
        self._endless = endless
        self._text = text
        self._now = now
        self._reserved: dict[str, Callable[[Token], tree.Query]] = {
            "level": self._level,
            "time": self._time,
            "last": self._last,
            "source": lambda token: tree.source(self._plain(token, "a part of the source's name")),
            "source_id": lambda token: tree.source_ids([self._plain(token, "the id of a source")]),
            "contains": lambda token: tree.substring(self._plain(token, "a text")),
            "contains_case": lambda token: tree.substring(self._plain(token, "a text"), case_sensitive=True),
            "case": self._case,
        }

    def read(self, token: Token) -> tree.Query:
        """The leaf for a token. Raises QuerySyntaxError."""
        if token.kind == "field":
            if token.name in RESERVED and not token.name_quoted:
                return self._reserved[token.name](token)
            return self._field(token)
        if token.kind == "regex":
            try:
                compile_regex(token.value, bool(token.sign))
            except ValueError as error:
                raise self._error(token.at, f"expected a regular expression ({error})") from error
            return tree.regex(token.value, ignore_case=bool(token.sign))
        return self._word(token) if token.kind == "word" else self._terms(token, runs(token.value))

    def _word(self, token: Token) -> tree.Query:
        word = token.value
        if fuzzy := _FUZZY.fullmatch(word):
            return self._fuzzy(fuzzy, token)
        if "*" not in word and "?" not in word:
            return self._terms(token, runs(word))
        if not word.strip("*"):
            return tree.EVERYTHING
        if not is_wildcard(word):
            place = next(at for at, char in enumerate(word) if not (char.isalnum() or char in "*?"))
            raise self._error(token.at + place, "expected letters and digits beside * and ? (or the whole in quotes)")
        if len(word) >= LONG or not fits_index(word):
            raise self._error(token.at, f"expected at most {LONG - 1} characters, 40 ? and few ? behind a *")
        return tree.wildcard(canonical(word))

    def _fuzzy(self, found: re.Match[str], token: Token) -> tree.Query:
        word, distance = found.groups()
        if not is_fuzzy(word):
            expected = (
                f"expected one word of letters and digits, at most {MAX_FUZZY}, before ~ (or the whole in quotes)"
            )
            raise self._error(token.at, expected)
        if distance not in ("", "1", "2"):
            raise self._error(token.at + found.start(2), "expected a distance of 1 or 2")
        return tree.fuzzy(canonical(word), int(distance or 1))

    def _terms(self, token: Token, found: list[str]) -> tree.Query:
        if not found:
            raise self._error(token.position, f"expected a letter or a digit in {token.text}")
        return tree.words(found)

    def _case(self, token: Token) -> tree.Query:
        found = written_runs(self._plain(token, "a term"))
        if not found:
            raise self._error(token.at, "expected a letter or a digit")
        return tree.cased(found)

    def _plain(self, token: Token, what: str) -> str:
        """The text behind the colon, where signs mean nothing."""
        if token.sign and token.value_quoted:
            raise self._error(token.at - len(token.sign), f"expected {what}")
        text = token.value if token.value_quoted else token.sign + token.value
        if not text:
            raise self._error(token.at, f"expected {what}")
        return text

    def _field(self, token: Token) -> tree.Query:
        name, sign, value = token.name, token.sign, token.value
        if len(name) > MAX_FIELD:
            raise self._error(token.position, f"expected a name of at most {MAX_FIELD} characters")
        if not value and not token.value_quoted:
            raise self._error(token.at, "expected a value")
        if sign in _COMPARISONS:
            return tree.field(name, _COMPARISONS[sign], value)
        if sign == "~":
            return self._like(token)
        if token.value_quoted:
            return tree.field(name, _Match.EQUAL, value)
        if not value.strip("*"):
            return tree.field(name, _Match.EXISTS)
        if (ends := _RANGE.fullmatch(value)) and any(ends.groups()):
            signs = (_Match.GREATER_OR_EQUAL, _Match.LESS_OR_EQUAL)
            parts = [tree.field(name, sign, end) for sign, end in zip(signs, ends.groups(), strict=True) if end]
            return tree.all_of(parts) if len(parts) == 2 else parts[0]
        return self._like(token) if "*" in value or "?" in value else tree.field(name, _Match.EQUAL, value)

    def _like(self, token: Token) -> tree.Query:
        try:
            compile_glob(fold_text(token.value))
        except ValueError as error:
            raise self._error(token.at, f"expected a shorter pattern ({error})") from error
        return tree.field(token.name, _Match.LIKE, token.value)

    def _level(self, token: Token) -> tree.Query:
        value, at = token.value, token.at
        if not token.sign and ".." in value:
            first, _, last = value.partition("..")
            low = self._level_name(first, at) if first else 0
            high = self._level_name(last, at + len(first) + 2) if last else 0
            return tree.level_range(low, high)
        number = self._level_name(value, at)
        match token.sign:
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
            raise self._error(at, f"expected a level ({known})")
        return number

    def _time(self, token: Token) -> tree.Query:
        value, at = token.value, token.at
        if token.sign == "[":
            return self._time_between(value, at)
        if not token.sign and not token.value_quoted and ".." in value:
            first, _, last = value.partition("..")
            low = self._point(first, at)[0] if first else None
            high = self._point(last, at + len(first) + 2)[1] if last else None
            return tree.time_range(low, high)
        low, high = self._point(value, at)
        if not token.sign and is_relative(value):
            raise self._error(at, "expected a comparison or a range, such as time:>=-1h or time:-2h..-1h, or last:1h")
        bounds = {"": (low, high), ">": (high, None), ">=": (low, None), "<": (None, low), "<=": (None, high)}
        if token.sign not in bounds:
            raise self._error(at - 1, "expected a time")
        return tree.time_range(*bounds[token.sign])

    def _time_between(self, value: str, at: int) -> tree.Query:
        found = _BETWEEN.fullmatch(value)
        if found is None:
            raise self._error(at, "expected [start TO end], each a time or *")
        low = None if found[1] == "*" else self._point(found[1], at + found.start(1))[0]
        high = None if found[2] == "*" else self._point(found[2], at + found.start(2))[1]
        return tree.time_range(low, high)

    def _last(self, token: Token) -> tree.Query:
        low, _ = self._point("-" + self._plain(token, "a duration such as 15m, 36h or 1d12h"), token.at - 1)
        # All of the second that `now` is in: most callers know no more of it, and its lines are of the last ones, too.
        return tree.time_range(low, None if self._endless else self._now - self._now % _SECOND + _SECOND)

    def _point(self, value: str, at: int) -> tuple[int, int]:
        try:
            return parse_time(unquoted(value) if value.startswith('"') else value, self._now)
        except ValueError as error:
            place = error.place if isinstance(error, UnitError) else 0
            raise self._error(at + place, f"expected {error}") from error

    def _error(self, position: int, expected: str) -> QuerySyntaxError:
        return QuerySyntaxError(self._text, position, expected)
