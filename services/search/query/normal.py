"""The normal form of a query tree.

Two queries that say the same in another order or with repetitions have the same normal form, whose bytes are the key
under which answers are kept. It matches what the tree matches. In which order its parts are best looked at is no part
of it: see `explain`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import canonical, runs
from services.search.query import tree
from services.search.query.folding import fold_text, written_runs
from services.search.query.patterns import canonical_pattern, is_fuzzy, is_wildcard, ordered_stars
from services.search.query.regex_literals import is_plain
from services.search.query.tree import EVERYTHING, HIGHEST_LEVEL, NOTHING, Query, inverse, operands, time_bounds

__all__ = ["key_of", "normalise"]

_Match = query_pb2.FieldMatch
_QUOTED_OR_PAIR = re.compile(r"\\Q((?:(?!\\E).)+)(?:\\E|\Z)|\\.", re.DOTALL)


def key_of(query: Query) -> bytes:
    """Bytes that are equal for equal normal forms."""
    return query.SerializeToString(deterministic=True)


def normalise(query: Query) -> Query:
    """The normal form.

    Ands and ors are flat, sorted and free of repetitions, one-part ones are the part; double negations are gone;
    everything and nothing are propagated, also from a part and its negation; the time ranges of an And are one, and so
    are the sources of an And or Or; the ends of level ranges are open where they can be. Texts that are compared
    without case are folded. A pattern without operators is a substring, a wildcard or LIKE without * and ? the word
    itself.
    """
    kind = query.WhichOneof("node")
    if kind == "and":
        return _joined(query, "and", EVERYTHING, NOTHING)
    if kind == "or":
        return _joined(query, "or", NOTHING, EVERYTHING)
    if kind == "not":
        part = normalise(tree.operand(query))
        return tree.operand(part) if part.WhichOneof("node") == "not" else inverse(part)
    return _LEAVES[kind](query) if kind in _LEAVES else EVERYTHING


def _words(texts: list[str]) -> Query:
    found = [run for text in texts for run in runs(text)]
    return tree.words(found) if found else NOTHING


def _level(query: Query) -> Query:
    low, high = query.level.min, query.level.max
    if high and low > high:
        return NOTHING
    return tree.level_range(max(low, 1), 0 if high == HIGHEST_LEVEL else high)


def _time(query: Query) -> Query:
    low, high = time_bounds(query.time)
    return NOTHING if low is not None and high is not None and low >= high else tree.time_range(low, high)


def _source(query: Query) -> Query:
    return query if query.source.text else EVERYTHING


def _source_ids(query: Query) -> Query:
    ids = sorted(set(query.source_ids.ids))
    return tree.source_ids(ids) if ids else NOTHING


def _substring(query: Query) -> Query:
    text, case_sensitive = query.substring.text, query.substring.case_sensitive
    if not text:
        return EVERYTHING
    return tree.substring(text, case_sensitive=True) if case_sensitive else tree.substring(fold_text(text))


def _regex(query: Query) -> Query:
    pattern, ignore_case = query.regex.pattern, query.regex.ignore_case
    pattern = _QUOTED_OR_PAIR.sub(_unquoted, pattern)
    if is_plain(pattern):
        return _substring(tree.substring(pattern, case_sensitive=not ignore_case))
    return tree.regex(pattern, ignore_case=ignore_case)


def _unquoted(found: re.Match[str]) -> str:
    r"""What stands between \Q and \E with escapes, and \/ without one."""
    if found[1] is None:
        return "/" if found[0] == r"\/" else found[0]
    return "".join(char if is_plain(char) else f"\\{char}" for char in found[1])


def _wildcard(query: Query) -> Query:
    pattern = canonical_pattern(query.wildcard.pattern)
    if not is_wildcard(pattern):
        return NOTHING
    return tree.wildcard(pattern) if "*" in pattern or "?" in pattern else tree.term(pattern)


def _fuzzy(query: Query) -> Query:
    text, distance = canonical(query.fuzzy.text), query.fuzzy.distance
    if distance < 1:
        return _words([text])
    return tree.fuzzy(text, min(distance, 2)) if is_fuzzy(text) else NOTHING


def _field(query: Query) -> Query:
    name, operator, value = query.field.field, query.field.operator or _Match.EQUAL, fold_text(query.field.value)
    if operator == _Match.EXISTS:
        return tree.field(name, operator)
    if operator == _Match.LIKE:
        value = ordered_stars(value)
        operator = _Match.LIKE if "*" in value or "?" in value else _Match.EQUAL
    return tree.field(name, operator, value)


def _cased(query: Query) -> Query:
    found = written_runs(" ".join(query.cased.terms))
    return NOTHING if not found else tree.words(found) if all(map(str.isdigit, found)) else tree.cased(found)


_LEAVES: dict[str, Callable[[Query], Query]] = {
    "term": lambda query: _words([query.term.text]),
    "phrase": lambda query: _words(list(query.phrase.terms)),
    "cased": _cased,
    "level": _level,
    "time": _time,
    "source": _source,
    "source_ids": _source_ids,
    "substring": _substring,
    "regex": _regex,
    "wildcard": _wildcard,
    "fuzzy": _fuzzy,
    "field": _field,
}


def _joined(query: Query, kind: str, neutral: Query, absorbing: Query) -> Query:
    parts: list[Query] = []
    for part in map(normalise, operands(query)):
        parts += operands(part) if part.WhichOneof("node") == kind else [part]
    if kind == "and":
        parts = _one_time_range(parts)
    parts = _one_source_list(parts, kind)
    if absorbing in parts:
        return absorbing
    unique = {key_of(part): part for part in parts if part != neutral}
    if not unique:
        return neutral
    if len(unique) == 1:
        return next(iter(unique.values()))
    if any(part.WhichOneof("node") == "not" and key_of(tree.operand(part)) in unique for part in unique.values()):
        return absorbing
    ordered = [unique[key] for key in sorted(unique)]
    return tree.all_of(ordered) if kind == "and" else tree.any_of(ordered)


def _one_time_range(parts: list[Query]) -> list[Query]:
    ranges = [time_bounds(part.time) for part in parts if part.WhichOneof("node") == "time"]
    if len(ranges) < 2:
        return parts
    low = max((low for low, _ in ranges if low is not None), default=None)
    high = min((high for _, high in ranges if high is not None), default=None)
    return [part for part in parts if part.WhichOneof("node") != "time"] + [normalise(tree.time_range(low, high))]


def _one_source_list(parts: list[Query], kind: str) -> list[Query]:
    lists = [set(part.source_ids.ids) for part in parts if part.WhichOneof("node") == "source_ids"]
    if len(lists) < 2:
        return parts
    ids = set.intersection(*lists) if kind == "and" else set.union(*lists)
    return [part for part in parts if part.WhichOneof("node") != "source_ids"] + [normalise(tree.source_ids(ids))]
