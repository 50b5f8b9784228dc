"""Byte strings that every matching line contains: what the block index is asked for.

Literals are in its folding (`fold_bytes`): ASCII letters in lower case. Of a text that is compared without case only
the parts of ASCII are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from services.search.index.terms import LONG, runs
from services.search.index.trigrams import fold_bytes
from services.search.query.clauses import field_literals
from services.search.query.folding import written_runs
from services.search.query.patterns import canonical_pattern
from services.search.query.regex_literals import GAP, clauses_of
from services.search.query.tree import Query, operands

__all__ = ["MAX_CHOICES", "Clauses", "required"]

#: Of each clause a line contains at least one.
Clauses = tuple[tuple[bytes, ...], ...]

#: Bytes of a literal at least: the block index knows nothing of shorter ones.
_SHORTEST = 3
#: Literals of a clause at most; with more it is left out.
MAX_CHOICES = 64
_ASCII = re.compile(r"[\x00-\x7f]+")
_HEAD = LONG - 32
"""Characters of a long run that the index knows as they are."""
_AT_END = re.compile("[0-9a-f]+$")


def required(query: Query) -> Clauses:
    """Clauses of which every matching line contains at least one literal each; () where nothing is known."""
    return tuple(dict.fromkeys(clause for clause in _required(query) if clause and len(clause) <= MAX_CHOICES))


def _required(query: Query) -> list[tuple[bytes, ...]]:
    match query.WhichOneof("node"):
        case "and":
            return [clause for part in operands(query) for clause in _required(part)]
        case "or":
            return _together([required(part) for part in operands(query)])
        case "term":
            return _each_term([query.term.text])
        case "phrase":
            return _each_term(query.phrase.terms)
        case "cased":
            return _each(fold_bytes(word.encode()) for word in written_runs(" ".join(query.cased.terms)))
        case "substring" if query.substring.case_sensitive:
            return _each([fold_bytes(query.substring.text.encode())])
        case "substring":
            return _each(_parts(query.substring.text))
        case "regex":
            found = clauses_of(query.regex.pattern, query.regex.ignore_case)
            choices = [[_best(map(_encoded, text.split(GAP))) for text in clause] for clause in found]
            return [tuple(dict.fromkeys(clause)) for clause in choices if all(clause)]
        case "wildcard":
            return _each(part for piece in _fixed(query.wildcard.pattern) for part in _parts(piece))
        case "fuzzy" if query.fuzzy.distance < 1:
            return _each_term([query.fuzzy.text])
        case "fuzzy":
            return _fuzzy(query.fuzzy.text, min(query.fuzzy.distance, 2))
        case "field":
            return list(field_literals(query.field))
        case _:
            return []


def _each(parts: Iterable[bytes]) -> list[tuple[bytes, ...]]:
    return [(part,) for part in parts if len(part) >= _SHORTEST]


def _each_term(texts: Iterable[str]) -> list[tuple[bytes, ...]]:
    """Of texts that may hold separators: what stands between them may be another separator in the line."""
    return _each(part for text in texts for run in runs(text) for part in _parts(run))


def _together(parts: Sequence[Clauses]) -> list[tuple[bytes, ...]]:
    """One clause for an or: the best one of each part."""
    if not all(parts):
        return []
    best = [max(clauses, key=lambda clause: (min(map(len, clause)), -len(clause))) for clauses in parts]
    return [tuple(dict.fromkeys(literal for clause in best for literal in clause))]


def _parts(text: str) -> list[bytes]:
    """The parts of a text without case that are known as bytes."""
    return [fold_bytes(part.encode()) for part in _ASCII.findall(text)]


def _encoded(text: str) -> bytes:
    return fold_bytes(text.encode())


def _best(parts: Iterable[bytes]) -> bytes:
    best = max(parts, key=len, default=b"")
    return best if len(best) >= _SHORTEST else b""


def _fixed(pattern: str) -> list[str]:
    """The fixed parts of a wildcard that stand so in the line.

    It is matched with terms as the index keeps them: behind the head of a long run come hexadecimal digits that do not
    stand in the line, and what is an i there may be the first half of a capital I with a dot.
    """
    pattern = canonical_pattern(pattern)
    hashed = "*" in pattern or len(pattern) >= LONG
    pieces = []
    for found in re.finditer(r"[^*?]+", pattern):
        piece = found[0]
        if hashed and ("*" in pattern[: found.start()] or found.end() > _HEAD):
            piece = _AT_END.sub("", piece)
        pieces.append(piece.rstrip("i"))
    return pieces


def _fuzzy(text: str, distance: int) -> list[tuple[bytes, ...]]:
    """Of one part more than there may be edits, one is as it was."""
    count = distance + 1
    size = len(text) // count
    pieces = [text[at * size : (at + 1) * size if at < distance else None] for at in range(count)]
    best = tuple(_best(part.rstrip(b"i") for part in _parts(piece)) for piece in pieces)
    return [best] if all(best) else []
