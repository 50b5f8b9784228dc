"""Wildcards and fuzzy words: which terms they match.

Both look at terms in the form that the index keeps (`indexed`): folded, and a run of LONG or more characters as its
first 96 characters and 32 hexadecimal digits. So `cod*` finds a run of a thousand letters that begins with cod, and
`*xyz` does not find one that ends so. (One letter, capital I with a dot, is two characters there, i and the dot.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import re2

from services.search.index.terms import LONG, SEPARATORS, canonical, terms
from services.search.query.regexes import compile_regex

__all__ = [
    "MAX_FUZZY",
    "MAX_STATES",
    "canonical_pattern",
    "cased_pattern",
    "fits_index",
    "fixed_parts",
    "fuzzy_test",
    "indexed",
    "is_fuzzy",
    "is_wildcard",
    "line_pattern",
    "ordered_stars",
    "wildcard_regex",
    "within",
]

#: Characters of a fuzzy word: with two edits more it is still no run that the index hashes.
MAX_FUZZY = LONG - 3

_DOTTED = "İ"
_LOWERED = _DOTTED.lower()
_STARS = re.compile(r"[*?]*\*[*?]*")
_SEPARATING = re2.compile(f"[{SEPARATORS}]".encode())
_WORDS = re.compile(rb"[0-9a-z\x80-\xff]+")
# Every byte that may be part of a term becomes "a": a search for "aaa..." then finds long runs at the speed of memory.
_SHAPE = bytes(97 if byte >= 0x80 or chr(byte).isalnum() else 32 for byte in range(256))
_LONG_SHAPE = b"a" * LONG
_DOTTED_BYTES = _DOTTED.encode()
#: Of the automaton of a wildcard over bytes, as `fits_index` counts them: some less than the engine takes.
MAX_STATES = 900
#: Terms that are remembered not to be near.
_REMEMBERED = 50_000


def ordered_stars(pattern: str) -> str:
    """The pattern with, in each run of * and ?, at most one * and that behind the ?s."""
    return _STARS.sub(lambda found: "?" * found[0].count("?") + "*", pattern)


def canonical_pattern(pattern: str) -> str:
    """The normal form of a wildcard's pattern. No term is empty: * alone asks for one character."""
    ordered = ordered_stars(canonical(pattern))
    return "?*" if ordered == "*" else ordered


def is_wildcard(pattern: str) -> bool:
    """Whether a term can have this form: nothing but letters, digits, * and ? is in it."""
    return bool(pattern) and all(char.isalnum() or char in "*?" for char in pattern)


def fits_index(pattern: str) -> bool:
    """Whether an index can follow a wildcard through its dictionary: its automaton has at most MAX_STATES states.

    The engine's limit is 1,000 states over bytes. A state that any character leaves takes 19 of them, any other one 4
    at most. Each ? behind a * may double their number.
    """
    pattern = canonical_pattern(pattern)
    chars = [*set(pattern) - {"*", "?"}, None]
    start = _closed(pattern, {0})
    seen, waiting, cost = {start}, [start], 0
    while waiting:
        places = waiting.pop()
        cost += 19 if any(pattern[place : place + 1] in ("*", "?") for place in places) else 4
        if cost > MAX_STATES:
            return False
        for char in chars:
            reached = _closed(pattern, _after(pattern, places, char))
            if reached and reached not in seen:
                seen.add(reached)
                waiting.append(reached)
    return True


def _after(pattern: str, places: frozenset[int], char: str | None) -> set[int]:
    """Where in a pattern a character leads; None is one that the pattern does not name."""
    stay = {place for place in places if pattern[place : place + 1] == "*"}
    return stay | {place + 1 for place in places if pattern[place : place + 1] in ("?", char)}


def _closed(pattern: str, places: set[int]) -> frozenset[int]:
    """The places and those that are reached from them by a * that stands for nothing."""
    result = set(places)
    for place in places:
        while pattern[place : place + 1] == "*":
            place += 1
            result.add(place)
    return frozenset(result)


def is_fuzzy(text: str) -> bool:
    """Whether terms can be near a text: it is one itself and not too long."""
    return text.isalnum() and len(_lowered(canonical(text))) <= MAX_FUZZY


def indexed(canon: bytes) -> bytes:
    """A line's canonical form, with its terms as the index keeps them. Nearly always the same bytes."""
    if len(canon) >= LONG and _LONG_SHAPE in canon.translate(_SHAPE):
        return " ".join(terms(canon.decode())).encode()
    return canon.replace(_DOTTED_BYTES, _LOWERED.encode()) if _DOTTED_BYTES in canon else canon


def wildcard_regex(pattern: str) -> str:
    """A regular expression for whole terms as the index keeps them; also for indexes whose dialect knows classes."""
    pieces = {"*": ".*", "?": "."}
    return "".join(pieces.get(char) or re.escape(char) for char in _lowered(canonical_pattern(pattern)))


@lru_cache(32)
def line_pattern(pattern: str) -> re2._Regexp:
    """Finds a term of this form in the `indexed` form of a line."""
    pieces = {"*": f"[^{SEPARATORS}]*", "?": f"[^{SEPARATORS}]"}
    inner = "".join(pieces.get(char) or re2.escape(char) for char in _lowered(canonical_pattern(pattern)))
    return compile_regex(f"(?:^|[{SEPARATORS}])(?:{inner})(?:$|[{SEPARATORS}])")


def fixed_parts(pattern: str) -> list[bytes]:
    """What stands between * and ?: the `indexed` form of every line that matches has all of it."""
    return [part.encode() for part in re.split(r"[*?]+", _lowered(canonical(pattern))) if part]


def cased_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Finds terms in a row as they are written."""
    inner = r"[\W_]+".join(map(re.escape, words))
    return re.compile(rf"(?<![^\W_]){inner}(?![^\W_])")


def fuzzy_test(text: str, distance: int) -> Callable[[bytes], bool]:
    """Whether the `indexed` form of a line has a term that is at most `distance` edits away.

    An edit inserts, deletes or replaces one character. Nothing is near an empty text or one over MAX_FUZZY.
    """
    wanted = _lowered(canonical(text))
    if not is_fuzzy(text):
        return lambda line: False
    shortest, longest = len(wanted) - distance, 4 * (len(wanted) + distance)
    near: set[bytes] = set()
    far: set[bytes] = set()

    def test(line: bytes) -> bool:
        words = set(_WORDS.findall(line))
        if not near.isdisjoint(words):
            return True
        if len(far) > _REMEMBERED:
            far.clear()
        for word in words - far:
            if shortest <= len(word) <= longest and within(wanted, word.decode(), distance):
                near.add(word)
                return True
            far.add(word)
        return False

    return test


def within(one: str, other: str, distance: int) -> bool:
    """Whether one text becomes the other by at most `distance` edits."""
    if abs(len(one) - len(other)) > distance:
        return False
    row = list(range(len(other) + 1))
    for at, char in enumerate(one, 1):
        before, row[0] = row[0], at
        for to, target in enumerate(other, 1):
            cost = before if char == target else 1 + min(before, row[to], row[to - 1])
            before, row[to] = row[to], cost
        if min(row) > distance:
            return False
    return row[-1] <= distance


def _lowered(text: str) -> str:
    return text.replace(_DOTTED, _LOWERED)
