"""The properties that every query tree must have, whatever its nodes."""

from __future__ import annotations

import os

from hypothesis import given, settings

from loganalyzer.search.v1 import query_pb2
from services.search.index.trigrams import fold_bytes
from services.search.query import bounds_of, key_of, normalise, parse, render
from services.search.query.highlight import Highlighter
from services.search.query.literals import required
from services.search.query.narrow import narrow
from services.search.query.predicate import SubjectLine, compile_predicate
from tests.unit.search.queries import any_trees, leaves, met, subjects

#: More for a thorough run: the fuzzer takes these strategies, too.
EXAMPLES = int(os.environ.get("QUERY_EXAMPLES", "200"))

_BY_INDEX = {"all", "term", "phrase", "and", "or", "not", "level", "time", "source", "source_ids", "wildcard", "fuzzy"}


def _kinds(query: query_pb2.Query) -> set[str]:
    kind = query.WhichOneof("node") or "all"
    inner = [getattr(query, "not").operand] if kind == "not" else getattr(getattr(query, kind), "operands", [])
    return {kind}.union(*map(_kinds, inner))


@given(any_trees)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_rendered_query_parses_to_the_same_query(query: query_pb2.Query) -> None:
    normal = normalise(query)
    assert normalise(parse(render(normal))) == normal


@given(any_trees)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_normal_form_is_its_own_normal_form(query: query_pb2.Query) -> None:
    normal = normalise(query)
    assert key_of(normalise(normal)) == key_of(normal)


@given(met)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_normal_form_matches_the_same_lines(pair: tuple[query_pb2.Query, SubjectLine]) -> None:
    query, line = pair
    assert compile_predicate(normalise(query))(line) == compile_predicate(query)(line)


@given(met)
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_narrowing_rules_out_does_not_match(pair: tuple[query_pb2.Query, SubjectLine]) -> None:
    query, line = pair
    narrowed = narrow(query)
    assert _kinds(narrowed.query) <= _BY_INDEX
    wide, matches = compile_predicate(narrowed.query)(line), compile_predicate(query)(line)
    assert wide == matches if narrowed.exact else wide or not matches


@given(met)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_line_that_matches_holds_a_literal_of_each_clause(pair: tuple[query_pb2.Query, SubjectLine]) -> None:
    query, line = pair
    clauses = required(query)
    assert all(len(literal) >= 3 for clause in clauses for literal in clause)
    if compile_predicate(query)(line):
        folded = fold_bytes(line.raw)
        assert all(any(literal in folded for literal in clause) for clause in clauses), clauses


@given(any_trees | leaves, subjects)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_line_that_matches_lies_within_the_bounds(query: query_pb2.Query, line: SubjectLine) -> None:
    bounds = bounds_of(query)
    if compile_predicate(query)(line):
        assert not bounds.empty
        if line.time is None:
            assert bounds.undated
        else:
            assert bounds.low is None or bounds.low <= line.time
            assert bounds.high is None or line.time < bounds.high


@given(any_trees | leaves, subjects)
@settings(max_examples=EXAMPLES, deadline=None)
def test_marks_are_in_order_within_the_text_and_do_not_overlap(query: query_pb2.Query, line: SubjectLine) -> None:
    text = line.raw.decode("utf-8", "replace")
    last = 0
    for mark in Highlighter(query).mark(text):
        assert last <= mark.start < mark.end <= len(text)
        last = mark.end
