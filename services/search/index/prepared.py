"""A query made ready once for all splits: what does not depend on the split is worked out here, when first needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from loganalyzer.search.v1 import query_pb2
from services.search.index.compile import Part, Program, program
from services.search.index.nodes import Node
from services.search.index.verify import Test, compile_test
from services.search.lru import LruCache
from services.search.query.literals import required
from services.search.query.tree import Bounds, all_of, bounds_of, key_of, operand, operands

__all__ = ["THROUGH_TERMS", "Prepared", "prepare"]

_KEPT = 1024
#: Kinds of nodes for which terms are looked through: to read a few lines may be cheaper.
THROUGH_TERMS = frozenset({"substring", "wildcard", "fuzzy"})


class Prepared:
    """A query in normal form and what the engine makes of it. `key` is equal for equal queries, and for those alone."""

    def __init__(self, query: query_pb2.Query, key: bytes) -> None:
        self.query = query
        self.key = key
        #: For `services.search.index.compile`: what the inverted index answers, as far as it does.
        self.program: Program = program(query)
        #: What the inverted index alone answers exactly and best, if that is the same for every split.
        self.node: Node | None = None
        if isinstance(self.program, Part) and self.program.exact and not self.kinds & THROUGH_TERMS:
            self.node = self.program.node

    @cached_property
    def clauses(self) -> tuple[tuple[bytes, ...], ...]:
        """Strings that every matching line holds: one of each clause."""
        return required(self.query)

    @cached_property
    def bounds(self) -> Bounds:
        """Times outside of which nothing matches."""
        return bounds_of(self.query)

    @cached_property
    def test(self) -> Test:
        """Decides about the lines of a chunk."""
        return compile_test(self.query)

    @cached_property
    def rest(self) -> Test:
        """Decides about lines that the index has for `program`: what it answers exactly is not looked at again."""
        return compile_test(all_of(part for part in self._parts if not _exact(part)))

    @cached_property
    def partly_exact(self) -> bool:
        """A part that has to match is answered by the index alone."""
        return any(_exact(part) for part in self._parts)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of its nodes."""
        return frozenset(_kinds(self.query))

    @property
    def _parts(self) -> list[query_pb2.Query]:
        return operands(self.query) if self.query.WhichOneof("node") == "and" else [self.query]


def _exact(query: query_pb2.Query) -> bool:
    match query.WhichOneof("node"):
        case "level":
            return True
        case "and" | "or":
            return all(_exact(part) for part in operands(query))
        case "not":
            return _exact(operand(query))
        case _:
            found = program(query)
            return isinstance(found, Part) and found.exact


def _kinds(query: query_pb2.Query) -> Iterator[str]:
    kind = query.WhichOneof("node") or "all"
    yield kind
    for part in [getattr(query, "not").operand] if kind == "not" else operands(query):
        yield from _kinds(part)


_prepared: LruCache[bytes, Prepared] = LruCache(_KEPT)


def prepare(query: query_pb2.Query | Prepared, key: bytes | None = None) -> Prepared:
    """The query made ready; `key` is `key_of(query)`, where that is known already."""
    if isinstance(query, Prepared):
        return query
    key = key_of(query) if key is None else key
    found = _prepared.get(key)
    if found is None:
        found = Prepared(query, key)
        _prepared.put(key, found)
    return found
