"""Generates query trees."""

from __future__ import annotations

from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.query import tree
from tests.unit.search.splits import EPOCH

WORDS = ["alpha", "Beta", "gamma", "delta", "ÉCOLE", "straße", "k", "10", "İx", "日本", "z" * 200]
_words = st.sampled_from(WORDS)
_levels = st.integers(min_value=0, max_value=tree.HIGHEST_LEVEL)
_ends = st.none() | st.integers(min_value=-2, max_value=30).map(lambda step: EPOCH + step * 500_000)

_leaves = st.one_of(
    st.just(tree.EVERYTHING),
    _words.map(tree.term),
    st.lists(_words, min_size=2, max_size=3).map(tree.words),
    st.builds(tree.level_range, _levels, _levels),
    st.builds(tree.time_range, _ends, _ends),
    st.sampled_from(["app", ".log", "b.log", "nowhere"]).map(tree.source),
)


def _compound(parts: st.SearchStrategy[query_pb2.Query]) -> st.SearchStrategy[query_pb2.Query]:
    several = st.lists(parts, min_size=1, max_size=3)
    return several.map(tree.all_of) | several.map(tree.any_of) | parts.map(tree.inverse)


#: Any query tree, not in normal form.
trees = st.recursive(_leaves, _compound, max_leaves=6)
