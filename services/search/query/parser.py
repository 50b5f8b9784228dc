r"""Text to query tree, by recursive descent.

    query     = [ either ] ;                             nothing matches every line
    either    = both { "OR" both } ;
    both      = unary { [ "AND" ] unary } ;              parts side by side must all match
    unary     = { "NOT" } primary ;
    primary   = "(" either ")" | phrase | regex | level | time | last | source | source id | contains | case
              | field | fuzzy | wildcard | word ;

    phrase    = quoted ;
    regex     = "/" RE2 pattern, "\/" for "/" in it, "/" [ "i" ] before white space, ")" or the end ;
    level     = "level:" ( name | compare name | [ name ] ".." [ name ] ) ;
    time      = "time:" ( at | compare at | [ at ] ".." [ at ] | "[" ( at | "*" ) "TO" ( at | "*" ) "]" ) ;
    last      = "last:" duration ;                       digits and s, m, h, d or w, once or several times
    source    = "source:" text ;                         part of the source's name, with case
    source id = "source_id:" text ;
    contains  = ( "contains:" | "contains_case:" ) text ;
    case      = "case:" text ;                           terms in a row, with case
    field     = name ":" ( compare text | [ end ] ".." [ end ] | "*" | [ "~" ] pattern | text ) ;
    compare   = ">=" | "<=" | ">" | "<" ;
    name      = ( letter | "_" | "@" ) { letter | digit | "_" | "." | "@" | "-" } | quoted ;
    pattern   = text with * and ? ;                      in quotes only behind "~"
    end       = text that begins with a letter, a digit, + or -, without ".." ;
    fuzzy     = letters and digits, "~" [ "1" | "2" ] ;
    wildcard  = letters, digits, * and ? ;
    text      = quoted | run ;
    word      = run ;
    run       = characters without white space, ( ) and '"' ;
    quoted    = '"' { any character but '"' ; '\"' and '\\' stand for '"' and '\' } '"' ;
    at        = see `times`; may be quoted

AND, OR and NOT are keywords in upper case only. A word or phrase means its terms (maximal runs of letters and digits),
one after the other with no other term between: foo_bar is the same as "foo bar". `*` alone is every line. A word with
* or ? and anything beside letters and digits is refused: whether its pieces should follow each other cannot be said.

No field, but words, are: what has no value behind the colon, or one that begins with /, \ or : (http://x, C:\tmp,
std::sort), and what has no name before it (12:30:05). level, time, last, source, source_id, contains, contains_case and
case in quotes are fields of that name.

Names of levels are compared without case. Both ends of a range are part of it, and without any it means the lines that
have a time or level at all. A time stands for the whole unit that it names: time:2016-12-19..2016-12-20 is two days.
Times that are given as so long ago are resolved when the query is parsed.
"""

from __future__ import annotations

import re
import time

from loganalyzer.search.v1 import query_pb2
from services.search.query import tree
from services.search.query.errors import QuerySyntaxError
from services.search.query.leaves import MAX_FIELD, Leaves
from services.search.query.lexer import Token, tokens

__all__ = ["MAX_DEPTH", "MAX_FIELD", "MAX_LENGTH", "MAX_PATTERNS", "QuerySyntaxError", "parse"]

#: Characters of a query.
MAX_LENGTH = 4_096
#: Parentheses and NOTs inside one another.
MAX_DEPTH = 20
#: Regular expressions, wildcards, also those of fields, and fuzzy words in one query: each costs as much as a search.
MAX_PATTERNS = 50

_SURROGATE = re.compile("[\ud800-\udfff]")
_BEGINS_PART = frozenset(("NOT", "open", "phrase", "word", "field", "regex"))


def parse(text: str, *, now: int | None = None, endless: bool = False) -> query_pb2.Query:
    """The tree of a query, as it is written. Raises QuerySyntaxError.

    `now`, in microseconds since 1970, is what relative times are counted from; None takes the beginning of the second
    that the system's clock shows, so that what is asked again in the same second has the same answer. With `endless`
    "last:" has no end, for who waits for lines to come.
    """
    if len(text) > MAX_LENGTH:
        raise QuerySyntaxError(text, MAX_LENGTH, f"expected at most {MAX_LENGTH} characters")
    if found := _SURROGATE.search(text):
        raise QuerySyntaxError(text, found.start(), "expected a character, found half of one")
    return _Parser(text, int(time.time()) * 1_000_000 if now is None else now, endless).query()


class _Parser:
    def __init__(self, text: str, now: int, endless: bool) -> None:
        self._text = text
        self._leaves = Leaves(text, now, endless)
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0
        self._patterns = 0

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
        while self._take("AND") or self._peek().kind in _BEGINS_PART:
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
                raise self._error("expected ')'", f", for the '(' at character {opening.position + 1}")
        self._depth -= 1
        return found

    def _primary(self) -> query_pb2.Query:
        token = self._peek()
        if token.kind not in _BEGINS_PART:
            raise self._error(f"expected a term, a phrase or '(', found {_named(token)}")
        found = self._leaves.read(token)
        if found.WhichOneof("node") in ("regex", "wildcard", "fuzzy") or found.field.operator == _LIKE:
            self._patterns += 1
            if self._patterns > MAX_PATTERNS:
                raise self._error(f"expected at most {MAX_PATTERNS} patterns, wildcards and fuzzy words")
        self._next()
        return found

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, kind: str) -> bool:
        if self._peek().kind != kind:
            return False
        self._at += 1
        return True

    def _error(self, expected: str, reason: str = "") -> QuerySyntaxError:
        return QuerySyntaxError(self._text, self._peek().position, expected, reason)


_LIKE = query_pb2.FieldMatch.LIKE


def _named(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)
