"""In which order the parts of a query are looked at, and how each is found, for a person to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.search.query.literals import required
from services.search.query.narrow import narrow
from services.search.query.normal import normalise
from services.search.query.render import render
from services.search.query.tree import EVERYTHING, NOTHING, Query, bounds_of, operands

__all__ = ["Step", "steps"]

#: Kinds that the metadata of splits and rows decide, without postings.
_METADATA = ("all", "level", "time", "source", "source_ids")


@dataclass(frozen=True, slots=True)
class Step:
    """A part in the query language, how it is found, and how many lines it may match at most; -1 where unknown."""

    part: str
    method: str
    estimate: int


def steps(query: Query, estimate: Callable[[Query], int]) -> list[Step]:
    """The parts of a query in the order in which they are best taken: cheap ones first, then those that match little.

    `estimate` counts the lines that match a tree of nodes which an index over terms answers. Blocks as long as it does.
    """
    query = normalise(query)
    parts = operands(query) if query.WhichOneof("node") == "and" else [query]
    found = [(_rank(part), _step(part, estimate)) for part in parts]
    # Where the number is not known every line may match: last of its rank.
    found.sort(key=lambda item: (item[0], item[1].estimate < 0, item[1].estimate, item[1].part))
    return [step for _, step in found]


def _rank(part: Query) -> int:
    """0: known of the split. 1: the index answers. 2: lines that an index leaves are read. 3: every line is."""
    narrowed = narrow(part)
    if narrowed.exact:
        return 0 if part.WhichOneof("node") in _METADATA or part == NOTHING else 1
    return 2 if narrowed.query != EVERYTHING or required(part) else 3


def _step(part: Query, estimate: Callable[[Query], int]) -> Step:
    narrowed = narrow(part)
    text = render(part) or "every line"
    if part == NOTHING:
        return Step(text, "nothing can match", 0)
    if narrowed.exact:
        method = {
            "all": "no condition",
            "time": "index of times" if not bounds_of(part).empty else "nothing can match",
            "level": "index of levels",
            "source": "names of the sources",
            "source_ids": "list of the sources",
            "wildcard": "index: all terms of this form",
            "fuzzy": "index: all terms that are near",
        }.get(part.WhichOneof("node") or "all", "index")
        return Step(text, method, estimate(narrowed.query))
    ways = []
    if narrowed.query != EVERYTHING:
        ways.append(f"index for {render(narrowed.query)}")
    if required(part):
        ways.append("block index")
    known = estimate(narrowed.query) if narrowed.query != EVERYTHING else -1
    return Step(text, f"{', '.join(ways)}, then reading" if ways else "reading every line", known)
