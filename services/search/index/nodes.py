"""What the engine is asked: nodes, and how they are put together.

A node is NOTHING, EVERYTHING, a TermNode (which the engine can count without reading postings), a Needing (which
matches nothing in a split that lacks one of its terms), a Negation or an engine query.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import tantivy

from services.search.index.schema import BODY, LEVEL, ROW, TIME, build_schema

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "SCHEMA",
    "Needing",
    "Negation",
    "Node",
    "SplitFacts",
    "TermNode",
    "all_but",
    "all_of",
    "any_of",
    "inverse",
    "level_node",
    "one_of",
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
class Needing:
    """Lines that the query matches, which all hold these terms."""

    terms: tuple[str, ...]
    query: tantivy.Query


@dataclass(frozen=True, slots=True)
class Negation:
    """Lines that the query does not match. Lives only until an And takes it up."""

    query: tantivy.Query


Node: TypeAlias = _Fixed | TermNode | Needing | Negation | tantivy.Query

_MUST, _SHOULD, _MUST_NOT = tantivy.Occur.Must, tantivy.Occur.Should, tantivy.Occur.MustNot
#: Every split has this schema: a query made with it fits all of them.
SCHEMA = build_schema()
#: Levels that less than one line in so many has are united by their postings.
_FEW = 16


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What is known of a split without searching it.

    `levels`: how many lines it has of each level that it has.
    `terms_with`: its terms that contain a text, or None where that is dearer than reading the lines. `long`: lines with
    terms that are kept shortened, of which it says nothing. `wide`: such lines are to be taken for matching ones.
    """

    line_count: int
    dated_count: int
    min_time: int
    max_time: int
    levels: Mapping[int, int]
    runs_where: Callable[[Callable[[str, str], bool]], list[tuple[int, int]]]
    terms_with: Callable[[str], Sequence[str] | None]
    long: Callable[[], Node]
    wide: bool


def to_engine(node: Node) -> tantivy.Query:
    """The engine's query for a node."""
    if isinstance(node, tantivy.Query):
        return node
    if isinstance(node, TermNode | Needing):
        return node.query
    if isinstance(node, Negation):
        return tantivy.Query.boolean_query([(_MUST, tantivy.Query.all_query()), (_MUST_NOT, node.query)])
    return tantivy.Query.all_query() if node is EVERYTHING else tantivy.Query.empty_query()


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
    return tantivy.Query.range_query(SCHEMA, TIME, tantivy.FieldType.Integer, low, high - 1)


def level_node(low: int, high: int, facts: SplitFacts) -> Node:
    """Lines with a level in [low, high]."""
    present = [level for level in facts.levels if low <= level <= high]
    lines = sum(facts.levels[level] for level in present)
    if not lines:
        return NOTHING
    if lines == facts.line_count:
        return EVERYTHING
    if len(present) == 1 or lines * _FEW < facts.line_count:
        return any_of([tantivy.Query.term_query(SCHEMA, LEVEL, level) for level in present])
    # Beside a rare term, a range looks at that term's lines alone; to unite many postings costs as much as they are.
    return tantivy.Query.range_query(SCHEMA, LEVEL, tantivy.FieldType.Unsigned, min(present), max(present))


def undated_node(facts: SplitFacts) -> Node:
    """Lines without a time."""
    if facts.dated_count == 0:
        return EVERYTHING
    if facts.dated_count == facts.line_count:
        return NOTHING
    return Negation(tantivy.Query.exists_query(TIME))


def row_node(low: int, high: int, facts: SplitFacts) -> Node:
    """Lines with a row in [low, high)."""
    low, high = max(low, 0), min(high, facts.line_count)
    if low >= high:
        return NOTHING
    if low == 0 and high == facts.line_count:
        return EVERYTHING
    return tantivy.Query.range_query(SCHEMA, ROW, tantivy.FieldType.Unsigned, low, high, include_upper=False)


def all_of(nodes: Sequence[Node]) -> Node:
    """Lines that every node matches."""
    if NOTHING in nodes:
        return NOTHING
    nodes = [node for node in nodes if node is not EVERYTHING]
    if not nodes:
        return EVERYTHING
    if len(nodes) == 1:
        return nodes[0]
    clauses = [(_MUST_NOT, n.query) if isinstance(n, Negation) else (_MUST, to_engine(n)) for n in nodes]
    if all(occur is _MUST_NOT for occur, _ in clauses):
        clauses.append((_MUST, tantivy.Query.all_query()))
    needed = [word for node in nodes for word in _needed(node)]
    query = tantivy.Query.boolean_query(clauses)
    return Needing(tuple(needed), query) if needed else query


def _needed(node: Node) -> tuple[str, ...]:
    if isinstance(node, TermNode):
        return (node.term,)
    return node.terms if isinstance(node, Needing) else ()


def any_of(nodes: Sequence[Node]) -> Node:
    """Lines that at least one node matches."""
    if EVERYTHING in nodes:
        return EVERYTHING
    nodes = [node for node in nodes if node is not NOTHING]
    if not nodes:
        return NOTHING
    if len(nodes) == 1:
        return nodes[0]
    return tantivy.Query.boolean_query([(_SHOULD, to_engine(node)) for node in nodes])


def one_of(words: Sequence[str]) -> Node:
    """Lines with at least one of these terms."""
    if not words:
        return NOTHING
    if len(words) == 1:
        return TermNode(words[0], tantivy.Query.term_query(SCHEMA, BODY, words[0]))
    return tantivy.Query.term_set_query(SCHEMA, BODY, list(words))


def inverse(node: Node) -> Node:
    """Lines that the node does not match."""
    if node is NOTHING:
        return EVERYTHING
    if node is EVERYTHING:
        return NOTHING
    return node.query if isinstance(node, Negation) else Negation(to_engine(node))


def all_but(node: Node, other: Node) -> Node:
    """Lines that the first node matches and the other one does not."""
    return all_of([node, inverse(other)])
