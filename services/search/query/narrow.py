"""What an index over terms can answer of a query by itself.

`narrow` turns a tree into one that has only nodes which such an index answers exactly: all, term, phrase, wildcard,
fuzzy, and, or, not, level, time, source, source_ids. Where a node asks for more than that, it becomes the terms that
every matching line holds: of a substring or of a pattern's literals those that begin and end inside, of a field what
`clauses.field_terms` says, of terms with case the terms without.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.search.index.terms import canonical
from services.search.query.clauses import field_terms
from services.search.query.folding import UNSURE
from services.search.query.normal import normalise
from services.search.query.regex_literals import GAP, clauses_of
from services.search.query.tree import EVERYTHING, NOTHING, Query, all_of, any_of, inverse, operand, operands, words

__all__ = ["Narrowed", "narrow"]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A tree that an index over terms answers, in normal form if the query was.

    `exact`: it matches what the query matches, and is that query; else that and perhaps more.
    """

    query: Query
    exact: bool


def narrow(query: Query) -> Narrowed:
    """What an index over terms can do for a query."""
    return Narrowed(query, True) if _exact(query) else Narrowed(normalise(_at_least(query)), False)


def _exact(query: Query) -> bool:
    match query.WhichOneof("node"):
        case "and" | "or":
            return all(map(_exact, operands(query)))
        case "not":
            return _exact(operand(query))
        case kind:
            return kind not in ("substring", "regex", "field", "cased")


def _at_least(query: Query) -> Query:
    """A tree that matches what the query matches and perhaps more."""
    match query.WhichOneof("node"):
        case "and":
            return all_of(map(_at_least, operands(query)))
        case "or":
            return any_of(map(_at_least, operands(query)))
        case "not":
            return inverse(_at_most(operand(query)))
        case "substring":
            return _inner_terms(query.substring.text, sure=query.substring.case_sensitive)
        case "regex":
            clauses = clauses_of(query.regex.pattern, query.regex.ignore_case)
            return all_of([any_of([_inner_terms(text) for text in clause]) for clause in clauses])
        case "field":
            return field_terms(query.field)
        case "cased":
            return words(query.cased.terms)
        case _:
            return query


def _at_most(query: Query) -> Query:
    """A tree that matches some of what the query matches and nothing else."""
    match query.WhichOneof("node"):
        case "and":
            return all_of(map(_at_most, operands(query)))
        case "or":
            return any_of(map(_at_most, operands(query)))
        case "not":
            return inverse(_at_least(operand(query)))
        case "substring" | "regex" | "field" | "cased":
            return NOTHING
        case _:
            return query


def _inner_terms(text: str, *, sure: bool = True) -> Query:
    """The terms of lines that contain the text; those at its ends may be parts of longer ones.

    Not `sure`: where characters in UNSURE stand, another one may stand in the line.
    """
    unsure = {GAP} if sure else UNSURE | {GAP}
    phrases: list[list[str]] = [[]]
    run: str | None = None  # None: begun before the text, or in a place that is not known
    for char in text:
        if char in unsure:
            run, phrases = None, [*phrases, []]
        elif not char.isalnum():
            if run:
                phrases[-1].append(run)
            run = ""
        elif run is not None:
            run += char
    found = [words(map(canonical, phrase)) for phrase in phrases if phrase]
    return all_of(found) if found else EVERYTHING
