"""Where in a line a query's parts stand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import re2

from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search.index.terms import SEPARATORS, TERM_CHARS, canonical
from services.search.query.fields import Comparison, TextValue, json_values, text_values, value_at
from services.search.query.patterns import cased_pattern, fuzzy_test, indexed, line_pattern
from services.search.query.regexes import compile_literal, compile_regex
from services.search.query.tree import Query, operands

__all__ = ["MAX_HIGHLIGHTS", "Highlighter"]

#: Marks in one line, at most.
MAX_HIGHLIGHTS = 100
#: Matches of one pattern that are looked at: nearly all of them may be empty.
_MOST_MATCHES = 1_000
_SEPARATING = frozenset(char for char in map(chr, range(128)) if not char.isalnum())
_WORD = re.compile(f"[{TERM_CHARS}]+")
_ITEM = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\[\]{}"]+|[\[\]{}]', re.DOTALL)

_Places = Iterator[tuple[int, int]]
#: From a text and its canonical form, which has every character in its place, to [start, end) in code points.
_Finder = Callable[[str, str], _Places]


class Highlighter:
    """Finds the parts of a query in a text. What stands under a NOT is not looked for.

    Terms, phrases, wildcards and fuzzy words mark whole terms, substrings and patterns what they match, fields the
    values that compare as wanted.
    """

    def __init__(self, query: Query) -> None:
        # By the first word: looking for that alone is many times as fast as a pattern. None: nothing has to follow it.
        self._wanted: dict[str, list[re.Pattern[str] | None]] = {}
        leaves = list(_positive(query))
        for words in sorted({words for leaf in leaves if (words := _words(leaf))}):
            rest = "".join(f"[{SEPARATORS}]+{re.escape(word)}" for word in words[1:])
            self._wanted.setdefault(words[0], []).append(re.compile(rest) if rest else None)
        self._finders = [finder for leaf in leaves if (finder := _finder(leaf)) is not None]

    def mark(self, text: str) -> list[search_pb2.Highlight]:
        """The places in order, in code points, without overlap; of those that begin together the longest."""
        canon = canonical(text)
        found = [self._places(canon, word) for word in self._wanted]
        found += [itertools.islice(finder(text, canon), MAX_HIGHLIGHTS) for finder in self._finders]
        places = sorted(itertools.chain.from_iterable(found), key=lambda place: (place[0], -place[1]))
        marks: list[search_pb2.Highlight] = []
        last = 0
        for start, end in places:
            if last <= start < end:
                marks.append(search_pb2.Highlight(start=start, end=end))
                last = end
            if len(marks) == MAX_HIGHLIGHTS:
                break
        return marks

    def _places(self, canon: str, word: str) -> _Places:
        """Where phrases that begin with the word stand; of those in one place the longest."""
        start, count = canon.find(word), 0
        while start >= 0 and count < MAX_HIGHLIGHTS:
            end = start + len(word)
            if start == 0 or canon[start - 1] in _SEPARATING:
                follow = [rest.match(canon, end) if rest else None for rest in self._wanted[word]]
                ends = [match.end() for match in follow if match] + [end] * (None in self._wanted[word])
                whole = [end for end in ends if end == len(canon) or canon[end] in _SEPARATING]
                if whole:
                    yield start, max(whole)
                    count += 1
            start = canon.find(word, end)


def _positive(query: Query) -> Iterator[Query]:
    kind = query.WhichOneof("node")
    if kind in ("and", "or"):
        for part in operands(query):
            yield from _positive(part)
    elif kind != "not":
        yield query


def _words(leaf: Query) -> tuple[str, ...]:
    texts = [leaf.term.text] if leaf.WhichOneof("node") == "term" else leaf.phrase.terms
    return tuple(word for text in texts if (word := canonical(text)))


def _finder(leaf: Query) -> _Finder | None:
    match leaf.WhichOneof("node"):
        case "substring" if leaf.substring.text:
            return _spans(compile_literal(leaf.substring.text, not leaf.substring.case_sensitive))
        case "regex":
            return _spans(compile_regex(leaf.regex.pattern, leaf.regex.ignore_case))
        case "wildcard":
            form = line_pattern(leaf.wildcard.pattern)
            return _terms(lambda word: form.search(word) is not None)
        case "fuzzy":
            return _terms(fuzzy_test(leaf.fuzzy.text, leaf.fuzzy.distance))
        case "cased":
            pattern = cased_pattern(leaf.cased.terms)
            return lambda text, canon: (found.span() for found in pattern.finditer(text))
        case "field":
            return _values(leaf.field)
        case _:
            return None


def _spans(pattern: re2._Regexp) -> _Finder:
    def find(text: str, canon: str) -> _Places:
        raw = text.encode()
        byte, char = 0, 0
        for found in itertools.islice(pattern.finditer(raw), _MOST_MATCHES):
            start, end = found.span()
            if start == end:
                continue
            if len(raw) == len(text):
                yield start, end
                continue
            first = char + len(raw[byte:start].decode("utf-8", "replace"))
            byte, char = end, first + len(raw[start:end].decode("utf-8", "replace"))
            yield first, char

    return find


def _terms(matches: Callable[[bytes], bool]) -> _Finder:
    matches = lru_cache(1 << 12)(matches)

    def find(text: str, canon: str) -> _Places:
        for found in _WORD.finditer(canon):
            if matches(indexed(found[0].encode())):
                yield found.span()

    return find


def _values(wanted: query_pb2.FieldMatch) -> _Finder:
    name = wanted.field
    compares = Comparison(wanted)
    tails = [name[at:] for at in [0, *(found.end() for found in re.finditer(r"\.", name))]]
    keys = re.compile(rf'"(?:{"|".join(map(re.escape, tails))})"\s*:\s*')

    def find(text: str, canon: str) -> _Places:
        if json_values(text.encode(), name) is None:
            return (place for value in text_values(text, name) if (place := compares.place(value, text)))
        every = itertools.chain.from_iterable(_json_at(text, key.end()) for key in keys.finditer(text))
        return ((value.start, value.end) for value in every if compares.json(value.text))

    return find


def _json_at(text: str, at: int) -> Sequence[TextValue]:
    """The value at a place in JSON, or the items of a list that stands there; an object has none."""
    if not text.startswith(("[", "{"), at):
        return [value_at(text, at)]
    values: list[TextValue] = []
    depth = 0
    for found in _ITEM.finditer(text, at):
        depth += {"[": 1, "]": -1}.get(found[0], 0)
        if depth == 0 or found[0] == "{" or len(values) == MAX_HIGHLIGHTS:
            break
        if found[0] not in "[]":
            values.append(value_at(text, found.start()))
    return values
