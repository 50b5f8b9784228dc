"""From our query tree to the engine's, for one split: what the split's metadata decides is decided here.

A node is NOTHING, EVERYTHING, a TermNode (which the engine can count without reading postings) or an engine query.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import tantivy

from loganalyzer.search.v1 import query_pb2
from services.search.index.schema import BODY, LEVEL, ROW, TIME
from services.search.index.terms import terms
from services.search.query.tree import HIGHEST_LEVEL, time_bounds

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "Node",
    "SplitFacts",
    "TermNode",
    "all_of",
    "compile_query",
    "row_node",
    "time_node",
    "to_engine",
    "undated_node",
]


class _Fixed(enum.Enum):
    NOTHING = 0
    EVERYTHING = 1


NOTHING: Literal[_Fixed.NOTHING] = _Fixed.NOTHING
EVERYTHING: Literal[_Fixed.EVERYTHING] = _Fixed.EVERYTHING


@dataclass(frozen=True, slots=True)
class TermNode:
    """Lines with a term."""

    term: str
    query: tantivy.Query


@dataclass(frozen=True, slots=True)
class _Negation:
    """Lines that the query does not match. Lives only until an And takes it up."""

    query: tantivy.Query


Node: TypeAlias = _Fixed | TermNode | _Negation | tantivy.Query

_MUST, _SHOULD, _MUST_NOT = tantivy.Occur.Must, tantivy.Occur.Should, tantivy.Occur.MustNot


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What is known of a split without searching it."""

    schema: tantivy.Schema
    line_count: int
    dated_count: int
    min_time: int
    max_time: int
    runs_named: Callable[[str], list[tuple[int, int]]]


def to_engine(node: Node) -> tantivy.Query:
    """The engine's query for a node."""
    if isinstance(node, tantivy.Query):
        return node
    if isinstance(node, TermNode):
        return node.query
    if isinstance(node, _Negation):
        return tantivy.Query.boolean_query([(_MUST, tantivy.Query.all_query()), (_MUST_NOT, node.query)])
    return tantivy.Query.all_query() if node is EVERYTHING else tantivy.Query.empty_query()


def compile_query(query: query_pb2.Query, facts: SplitFacts) -> Node:
    """The node for a query tree."""
    match query.WhichOneof("node"):
        case "term":
            return _phrase([query.term.text], facts)
        case "phrase":
            return _phrase(query.phrase.terms, facts)
        case "and":
            return all_of([compile_query(operand, facts) for operand in getattr(query, "and").operands])
        case "or":
            return _any_of([compile_query(operand, facts) for operand in getattr(query, "or").operands])
        case "not":
            return _inverse(compile_query(getattr(query, "not").operand, facts))
        case "level":
            return _levels(query.level, facts)
        case "time":
            low, high = time_bounds(query.time)
            return time_node(low, high, facts)
        case "source":
            return _any_of([row_node(low, high, facts) for low, high in facts.runs_named(query.source.text)])
        case _:
            return EVERYTHING


def time_node(low: int | None, high: int | None, facts: SplitFacts) -> Node:
    """Lines with a time in [low, high), in microseconds; None is an open end."""
    low = facts.min_time if low is None else max(low, facts.min_time)
    high = facts.max_time + 1 if high is None else min(high, facts.max_time + 1)
    if not facts.dated_count or low >= high:
        return NOTHING
    if low == facts.min_time and high == facts.max_time + 1:
        if facts.dated_count == facts.line_count:
            return EVERYTHING
        return tantivy.Query.exists_query(TIME)
    # Both ends included: one past the last time may be more than 64 bits hold.
    return tantivy.Query.range_query(facts.schema, TIME, tantivy.FieldType.Integer, low, high - 1)


def undated_node(facts: SplitFacts) -> Node:
    """Lines without a time."""
    if facts.dated_count == 0:
        return EVERYTHING
    if facts.dated_count == facts.line_count:
        return NOTHING
    return _Negation(tantivy.Query.exists_query(TIME))


def row_node(low: int, high: int, facts: SplitFacts) -> Node:
    """Lines with a row in [low, high)."""
    low, high = max(low, 0), min(high, facts.line_count)
    if low >= high:
        return NOTHING
    if low == 0 and high == facts.line_count:
        return EVERYTHING
    return tantivy.Query.range_query(facts.schema, ROW, tantivy.FieldType.Unsigned, low, high, include_upper=False)


def all_of(nodes: Sequence[Node]) -> Node:
    """Lines that every node matches."""
    if NOTHING in nodes:
        return NOTHING
    nodes = [node for node in nodes if node is not EVERYTHING]
    if not nodes:
        return EVERYTHING
    if len(nodes) == 1:
        return nodes[0]
    clauses = [(_MUST_NOT, n.query) if isinstance(n, _Negation) else (_MUST, to_engine(n)) for n in nodes]
    if all(occur is _MUST_NOT for occur, _ in clauses):
        clauses.append((_MUST, tantivy.Query.all_query()))
    return tantivy.Query.boolean_query(clauses)


def _any_of(nodes: Sequence[Node]) -> Node:
    if EVERYTHING in nodes:
        return EVERYTHING
    nodes = [node for node in nodes if node is not NOTHING]
    if not nodes:
        return NOTHING
    if len(nodes) == 1:
        return nodes[0]
    return tantivy.Query.boolean_query([(_SHOULD, to_engine(node)) for node in nodes])


def _inverse(node: Node) -> Node:
    if node is NOTHING:
        return EVERYTHING
    if node is EVERYTHING:
        return NOTHING
    return node.query if isinstance(node, _Negation) else _Negation(to_engine(node))


def _phrase(texts: Sequence[str], facts: SplitFacts) -> Node:
    words = [word for text in texts for word in terms(text)]
    if not words:
        return NOTHING
    if len(words) == 1:
        return TermNode(words[0], tantivy.Query.term_query(facts.schema, BODY, words[0]))
    return tantivy.Query.phrase_query(facts.schema, BODY, list(words))


def _levels(wanted: query_pb2.LevelRange, facts: SplitFacts) -> Node:
    low, high = max(wanted.min, 1), wanted.max or HIGHEST_LEVEL
    numbers = list(range(low, high + 1))
    if not numbers:
        return NOTHING
    if len(numbers) == 1:
        return tantivy.Query.term_query(facts.schema, LEVEL, numbers[0])
    return tantivy.Query.term_set_query(facts.schema, LEVEL, numbers)
