r"""What every node of a query means, on one line: the definition that the index is checked against.

A line is its bytes without the line feed. Its terms are the maximal runs of letters and digits of its text as UTF-8,
in canonical form (`terms.canonical`); a byte that is not UTF-8 is no letter.

    all         every line
    term        it is one of the line's terms
    phrase      they are, one behind the other, with no other term between them
    cased       the same, in terms as they are written
    wildcard    one of the line's terms has this form: see `patterns`
    fuzzy       one of the line's terms is so near: see `patterns`
    substring   the bytes of the text stand in the line, or those of a text that RE2 takes for the same without case
    regex       the pattern is found: see `regexes`
    field       see below
    level       the line's level is one of these; a line without level matches no range
    time        the line has a time, and it is in [start, end)
    source      the text stands in the name of the line's source
    source_ids  the line's source is one of these

A field matches where one of its values compares as asked (see `fields`) **and** the line holds, as it is written, what
an index can look for: the terms and literals of `clauses.field_terms` and `clauses.field_literals`, and the name. These
are in every line that a program has written. Not found is only what no program writes so: letters and digits of ASCII
as \u escapes (and the Kelvin sign and the long s, which count as k and s), and, where a plain number is wanted, one
with an exponent or zeros in front: 5 finds 5, 5.0 and "5.00", but neither 5e0 nor 005.

NOT matches what its part does not: also lines without a time, a level or the field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import re2

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import SEPARATORS, runs
from services.search.index.trigrams import fold_bytes
from services.search.query.clauses import field_literals, field_terms, key_bytes
from services.search.query.fields import Comparison, json_values, text_values
from services.search.query.folding import written_runs
from services.search.query.patterns import cased_pattern, fixed_parts, fuzzy_test, is_wildcard, line_pattern
from services.search.query.regexes import compile_literal, compile_regex
from services.search.query.subject import LineForms, Subject, SubjectLine
from services.search.query.tree import HIGHEST_LEVEL, Query, operand, operands, time_bounds

__all__ = ["Predicate", "Subject", "SubjectLine", "compile_predicate"]


Predicate = Callable[[Subject], bool]


_Test = Callable[[LineForms], bool]
_SEPARATING = frozenset(byte for byte in range(128) if not chr(byte).isalnum())


def compile_predicate(query: Query) -> Predicate:
    """A function that tells whether a line matches. Raises ValueError for a tree that no text is parsed to."""
    test = _compile(query)
    return lambda subject: test(LineForms(subject))


def _compile(query: Query) -> _Test:
    match query.WhichOneof("node"):
        case "term":
            return _phrase([query.term.text])
        case "phrase":
            return _phrase(query.phrase.terms)
        case "and":
            return _every([_compile(part) for part in _by_cost(operands(query))])
        case "or":
            return _some([_compile(part) for part in _by_cost(operands(query))])
        case "not":
            part = _compile(operand(query))
            return lambda line: not part(line)
        case "level":
            low, high = max(query.level.min, 1), query.level.max or HIGHEST_LEVEL
            return lambda line: low <= line.subject.level <= high
        case "time":
            return _time(*time_bounds(query.time))
        case "source":
            name = query.source.text
            return lambda line: name in line.subject.source
        case "source_ids":
            ids = frozenset(query.source_ids.ids)
            return lambda line: line.subject.source_id in ids
        case "substring":
            return _substring(query.substring.text, query.substring.case_sensitive)
        case "regex":
            return _found(compile_regex(query.regex.pattern, query.regex.ignore_case))
        case "wildcard":
            return _wildcard(query.wildcard.pattern)
        case "fuzzy":
            if query.fuzzy.distance < 1:
                return _phrase([query.fuzzy.text])
            near = fuzzy_test(query.fuzzy.text, min(query.fuzzy.distance, 2))
            return lambda line: near(line.indexed)
        case "cased":
            return _cased(query.cased.terms)
        case "field":
            return _field(query.field)
        case _:
            return lambda line: True


#: What is looked at first: the order does not change what matches.
_COST = {"level": 0, "time": 0, "source_ids": 0, "source": 1, "substring": 2, "term": 3, "phrase": 4, "cased": 5}


def _by_cost(parts: Sequence[Query]) -> list[Query]:
    return sorted(parts, key=lambda part: _COST.get(part.WhichOneof("node") or "all", 6))


def _every(tests: Sequence[_Test]) -> _Test:
    def test(line: LineForms) -> bool:
        for part in tests:  # noqa: SIM110  a generator costs as much as a cheap test
            if not part(line):
                return False
        return True

    return test


def _some(tests: Sequence[_Test]) -> _Test:
    def test(line: LineForms) -> bool:
        for part in tests:  # noqa: SIM110
            if part(line):
                return True
        return False

    return test


def _term(text: str) -> _Test:
    word = text.encode()
    size = len(word)

    def test(line: LineForms) -> bool:
        canon = line.canon
        at = canon.find(word)
        while at >= 0:
            end = at + size
            if (at == 0 or canon[at - 1] in _SEPARATING) and (end == len(canon) or canon[end] in _SEPARATING):
                return True
            at = canon.find(word, end)
        return False

    return test


def _phrase(texts: Sequence[str]) -> _Test:
    found = [run for text in texts for run in runs(text)]
    if len(found) < 2:
        return _term(found[0]) if found else lambda line: False
    words = [word.encode() for word in found]
    between = f"[{SEPARATORS}]+".encode()
    inner = between.join(re2.escape(word) for word in words)
    pattern = compile_regex(f"(?:^|[{SEPARATORS}])(?:{inner.decode()})(?:$|[{SEPARATORS}])", limited=False)

    def test(line: LineForms) -> bool:
        canon = line.canon
        return all(word in canon for word in words) and pattern.search(canon) is not None

    return test


def _wildcard(pattern: str) -> _Test:
    if not is_wildcard(pattern):
        return lambda line: False
    parts, form = fixed_parts(pattern), line_pattern(pattern)

    def test(line: LineForms) -> bool:
        found = line.indexed
        return all(part in found for part in parts) and form.search(found) is not None

    return test


def _cased(texts: Sequence[str]) -> _Test:
    words = written_runs(" ".join(texts))
    if not words:
        return lambda line: False
    held = [word.encode() for word in words]
    pattern = cased_pattern(words)

    def test(line: LineForms) -> bool:
        raw = line.raw
        return all(word in raw for word in held) and pattern.search(line.text) is not None

    return test


def _substring(text: str, case_sensitive: bool) -> _Test:
    if case_sensitive or not any(char.isalpha() or not char.isascii() for char in text):
        wanted = text.encode()
        return lambda line: wanted in line.raw
    return _found(compile_literal(text, True))


def _found(pattern: re2._Regexp) -> _Test:
    search = pattern.search
    return lambda line: search(line.raw) is not None


def _time(low: int | None, high: int | None) -> _Test:
    def test(line: LineForms) -> bool:
        time = line.subject.time
        return time is not None and (low is None or time >= low) and (high is None or time < high)

    return test


def _field(wanted: query_pb2.FieldMatch) -> _Test:
    name = wanted.field
    keys = key_bytes(name)
    held = _compile(field_terms(wanted))
    literals = field_literals(wanted)
    compares = Comparison(wanted)

    def test(line: LineForms) -> bool:
        raw = line.raw
        if not all(key in raw for key in keys) or not held(line):
            return False
        if literals:
            folded = fold_bytes(raw)
            if not all(any(literal in folded for literal in clause) for clause in literals):
                return False
        values = json_values(raw, name)
        if values is not None:
            return any(compares.json(value) for value in values)
        text = line.text
        return any(compares.text(value, text) for value in text_values(text, name))

    return test
