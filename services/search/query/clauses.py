r"""What every line with a certain field value holds in writing: terms and byte strings that an index can look for.

A JSON string may be written with escapes, and an escape runs into the word behind it: a line feed before "foo" is
written \nfoo, whose term is nfoo, and some encoders write & < > ' " + = and all that is not ASCII as \u0026 and so on.
So a word is looked for as itself only where it begins the value or stands behind a character that nobody escapes;
else also with what an escape puts before it. Words with letters beyond ASCII are not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import LONG, canonical
from services.search.query.folding import fold_text
from services.search.query.tree import EVERYTHING, Query, all_of, any_of, term, wildcard

__all__ = ["field_literals", "field_terms", "key_bytes"]

_Match = query_pb2.FieldMatch
_RUN = re.compile(r"[^\W_]+")
_KEY = re.compile(rb"[0-9A-Za-z_@-]+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(?:\.\d+)?", re.ASCII)
#: Separators that no encoder escapes.
_SAFE = frozenset(" .-_/:,;()[]{}@#%*?!|~$^")
_LITERAL = re.compile(r"[0-9A-Za-z .\-_:,;()\[\]{}@#%!|~$^]+")
#: Letters that follow the backslash of an escape.
_ESCAPES = "bfnrt"
#: Longer words are left to the literals: with something before or behind them the index may know only their hash.
_LONGEST = 90


def key_bytes(name: str) -> list[bytes]:
    """Parts of a field's name that stand in every line that has it, with case."""
    return _KEY.findall(name.encode())


def field_terms(wanted: query_pb2.FieldMatch) -> Query:
    """A tree of terms and wildcards that every line with such a field matches."""
    parts = [*_whole_words(wanted.field)]
    value, operator = fold_text(wanted.value), wanted.operator or _Match.EQUAL
    if operator == _Match.EQUAL:
        if plain := _PLAIN_NUMBER.fullmatch(value):
            parts.append(term(plain[1]))
        elif not _NUMBER.fullmatch(value):
            parts += _whole_words(value)
    elif operator == _Match.LIKE:
        parts += _whole_words(value, wild=True)
    return all_of(parts) if parts else EVERYTHING


def field_literals(wanted: query_pb2.FieldMatch) -> tuple[tuple[bytes, ...], ...]:
    """Byte strings of which every line with such a field holds all, as clauses of `literals.required`."""
    value, operator = fold_text(wanted.value), wanted.operator or _Match.EQUAL
    pieces: list[str] = []
    if operator == _Match.EQUAL and not _NUMBER.fullmatch(value):
        pieces = _LITERAL.findall(value)
    elif operator == _Match.EQUAL and (plain := _PLAIN_NUMBER.fullmatch(value)):
        pieces = [plain[1]]
    elif operator == _Match.LIKE:
        pieces = [piece for part in re.split(r"[*?]+", value) for piece in _LITERAL.findall(part)]
    keys = [key.decode() for key in key_bytes(wanted.field)]
    return tuple((piece.lower().encode(),) for piece in dict.fromkeys([*pieces, *keys]) if len(piece) >= 3)


def _whole_words(text: str, *, wild: bool = False) -> Iterator[Query]:
    """The words of a text that stand in the line as terms; `wild`: * and ? in the text stand for anything."""
    for found in _RUN.finditer(text):
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        word = canonical(found[0])
        if not found[0].isascii() or (wild and before in ("*", "?") and before) or len(word) > _LONGEST:
            continue
        safe = not before or before in _SAFE
        if wild and after and after in "*?":
            if safe:
                yield wildcard(word + "*")
        elif safe:
            yield term(word)
        elif len(word) < LONG - len("u0000"):
            yield any_of([term(word), *(term(char + word) for char in _ESCAPES), wildcard("u????" + word)])
