"""From our query tree to what the engine is asked. What does not depend on a split is done once for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import tantivy

from loganalyzer.search.v1 import query_pb2
from services.search.index.nodes import (
    EVERYTHING,
    NOTHING,
    SCHEMA,
    Needing,
    Node,
    SplitFacts,
    TermNode,
    all_of,
    any_of,
    inverse,
    level_node,
    one_of,
    row_node,
    time_node,
)
from services.search.index.schema import BODY
from services.search.index.terms import terms
from services.search.query.narrow import narrow
from services.search.query.patterns import MAX_FUZZY, wildcard_regex
from services.search.query.tree import HIGHEST_LEVEL, operands, time_bounds

__all__ = ["Part", "Program", "bind", "program"]


_PLAIN = re.compile("[0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Part:
    """A node, and whether it matches the same lines as the query: else it matches more.

    `doubtful`: nothing is said of the lines with terms that are kept shortened.
    """

    node: Node
    exact: bool = True
    doubtful: bool = False


#: A part that is the same in every split, or what makes it for one.
Program: TypeAlias = Part | Callable[[SplitFacts], Part]


def bind(found: Program, facts: SplitFacts) -> Part:
    """The part for one split."""
    return found if isinstance(found, Part) else found(facts)


def program(query: query_pb2.Query) -> Program:
    """What the inverted index answers for a query tree."""
    match query.WhichOneof("node"):
        case "term":
            return Part(_phrase([query.term.text]))
        case "phrase":
            return Part(_phrase(query.phrase.terms))
        case "and":
            return _joined([program(part) for part in operands(query)], _all_parts)
        case "or":
            return _joined([program(part) for part in operands(query)], _any_part)
        case "not":
            return _joined([program(getattr(query, "not").operand)], _inverse)
        case "level":
            least, most = max(query.level.min, 1), query.level.max or HIGHEST_LEVEL
            return lambda facts: Part(level_node(least, most, facts))
        case "time":
            low, high = time_bounds(query.time)
            return lambda facts: Part(time_node(low, high, facts))
        case "source":
            text = query.source.text
            return lambda facts: Part(_runs(facts, lambda _, name: text in name))
        case "source_ids":
            ids = frozenset(query.source_ids.ids)
            return lambda facts: Part(_runs(facts, lambda source_id, _: source_id in ids))
        case "wildcard":
            return Part(tantivy.Query.regex_query(SCHEMA, BODY, wildcard_regex(query.wildcard.pattern)))
        case "substring" if _PLAIN.fullmatch(query.substring.text):
            return _part_of_term(query.substring.text, exact=not query.substring.case_sensitive)
        case "fuzzy":
            return _fuzzy(query.fuzzy)
        case "substring" | "regex" | "field" | "cased":
            narrowed = narrow(query)
            return _joined([program(narrowed.query)], lambda parts: _weaker(parts[0], exact=narrowed.exact))
        case _:
            return Part(EVERYTHING)


def _joined(parts: list[Program], join: Callable[[list[Part]], Part]) -> Program:
    fixed = [part for part in parts if isinstance(part, Part)]
    if len(fixed) == len(parts):
        return join(fixed)
    return lambda facts: join([bind(part, facts) for part in parts])


def _all_parts(parts: list[Part]) -> Part:
    if any(part.node is NOTHING and not part.doubtful for part in parts):
        return Part(NOTHING)
    return Part(
        all_of([part.node for part in parts]),
        all(part.exact for part in parts),
        any(part.doubtful for part in parts),
    )


def _any_part(parts: list[Part]) -> Part:
    if any(part.node is EVERYTHING and part.exact and not part.doubtful for part in parts):
        return Part(EVERYTHING)
    return Part(
        any_of([part.node for part in parts]),
        all(part.exact for part in parts),
        any(part.doubtful for part in parts),
    )


def _inverse(parts: list[Part]) -> Part:
    node, doubtful = parts[0].node, parts[0].doubtful
    if not parts[0].exact:
        return Part(EVERYTHING, exact=False)
    return Part(inverse(node), doubtful=doubtful)


def _weaker(part: Part, *, exact: bool) -> Part:
    return part if part.node is NOTHING else Part(part.node, part.exact and exact, part.doubtful)


def _part_of_term(text: str, *, exact: bool) -> Program:
    """Lines with a term that contains the letters and digits of `text`."""

    def of(facts: SplitFacts) -> Part:
        words = facts.terms_with(text.lower())
        if words is None:
            return Part(EVERYTHING, exact=False)
        node = one_of(words)
        long = facts.long()
        if long is NOTHING:
            return Part(node, exact)
        if facts.wide or not exact:
            return Part(any_of([node, long]), exact=False)
        return Part(node, doubtful=True)

    return of


def _fuzzy(wanted: query_pb2.Fuzzy) -> Part:
    words = terms(wanted.text)
    if len(words) != 1 or len(words[0]) > MAX_FUZZY:
        return Part(EVERYTHING, exact=False)
    return Part(
        tantivy.Query.fuzzy_term_query(
            SCHEMA, BODY, words[0], distance=wanted.distance, transposition_cost_one=False, prefix=False
        )
    )


def _runs(facts: SplitFacts, wanted: Callable[[str, str], bool]) -> Node:
    return any_of([row_node(low, high, facts) for low, high in facts.runs_where(wanted)])


def _phrase(texts: Sequence[str]) -> Node:
    words = [word for text in texts for word in terms(text)]
    if not words:
        return NOTHING
    if len(words) == 1:
        return TermNode(words[0], tantivy.Query.term_query(SCHEMA, BODY, words[0]))
    return Needing(tuple(words), tantivy.Query.phrase_query(SCHEMA, BODY, list(words)))
