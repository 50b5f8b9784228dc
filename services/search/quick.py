"""A short cut for the plainest queries, words with spaces between: a few microseconds instead of some forty.

What it gives is byte for byte what the parser and the normal form give; a test holds it to that.
"""

from __future__ import annotations

import re

from loganalyzer.search.v1 import query_pb2

__all__ = ["plain_query"]

_PLAIN = re.compile(r"[0-9A-Za-z]{1,32}(?: [0-9A-Za-z]{1,32}){0,7}")
_OPERATORS = frozenset({"AND", "OR", "NOT"})


def plain_query(text: str) -> query_pb2.Query | None:
    """The normal form of the query, if it is but words of letters and digits of ASCII."""
    if _PLAIN.fullmatch(text) is None:
        return None
    written = text.split(" ")
    if not _OPERATORS.isdisjoint(written):
        return None
    words = {word.lower() for word in written}
    if len(words) == 1:
        return query_pb2.Query(term=query_pb2.Term(text=words.pop()))
    terms = [query_pb2.Query(term=query_pb2.Term(text=word)) for word in words]
    # By their bytes, which begin with their lengths.
    terms.sort(key=lambda each: (len(each.term.text), each.term.text))
    query = query_pb2.Query()
    getattr(query, "and").operands.extend(terms)
    return query
