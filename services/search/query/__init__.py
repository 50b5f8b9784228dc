"""The query language: text to tree (`parse`), to normal form and its bytes (`normalise`, `key_of`), to text (`render`).

The grammar stands in `parser`.
"""

from services.search.query.normal import key_of, normalise
from services.search.query.parser import QuerySyntaxError, parse
from services.search.query.render import render
from services.search.query.tree import Bounds, bounds_of, with_times

__all__ = ["Bounds", "QuerySyntaxError", "bounds_of", "key_of", "normalise", "parse", "render", "with_times"]
