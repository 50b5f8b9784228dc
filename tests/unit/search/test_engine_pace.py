"""Patterns that are slow whatever is done: they find what the oracle finds, and stop soon when nobody waits."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from loganalyzer.search.v1 import query_pb2
from services.search.index.engine import TantivySplit
from services.search.index.scanner import ScannedSplit
from services.search.index.split import Order
from services.search.query import normalise, tree
from services.search.query.regexes import MAX_PROGRAM, compile_regex
from tests.unit.search.splits import EPOCH, Row, Source, frame_cache, write_split

# No state of an automaton for this one comes twice, so RE2 simulates thousands of places at every byte.
_PARTS = [f"[ -~]*{one}[ -~]*{other}~" for one in string.ascii_lowercase for other in string.ascii_lowercase[:24]]
HOSTILE = "|".join(_PARTS)
FIELD = query_pb2.FieldMatch
TEXTS = [
    f"{'' if number % 3 else 'k=v '}{'x' * (number % 50)} {'ab~' if number % 100 == 3 else ''}" if number % 5 else ""
    for number in range(3_000)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("splits")
    rows = [Row(text.encode(), EPOCH + number) for number, text in enumerate(TEXTS)]
    write_split(root, [Source(rows)])
    return root / "default" / "s1"


@pytest.mark.parametrize("pattern", ["^$", "$", "^", "x*$", r"\b$", "x~|b~", r"\Ax", r"\z", "(?-m:^x)", "x{49} $"])
def test_lines_are_found_whatever_is_searched_at_once(folder: Path, pattern: str) -> None:
    """Of a large program only a few lines are searched at once."""
    query = tree.regex(f"(?:{pattern})|{'|'.join(_PARTS[:100])}#")
    assert compile_regex(query.regex.pattern).programsize > 500
    engine, oracle = TantivySplit(folder, frame_cache()), ScannedSplit(folder, frame_cache())
    for wanted in (query, tree.inverse(query), tree.all_of([tree.term("k"), query])):
        wanted = normalise(wanted)
        assert engine.top(wanted, Order.NEWEST, 5_000).hits == oracle.top(wanted, Order.NEWEST, 5_000).hits


def test_the_hostile_pattern_is_one_that_is_taken() -> None:
    assert MAX_PROGRAM - 500 < compile_regex(HOSTILE).programsize <= MAX_PROGRAM


class StopError(Exception):
    """Nobody wants the answer any more."""


@pytest.mark.parametrize(
    "query",
    [
        tree.regex(HOSTILE),
        tree.regex(r"\A(?:" + HOSTILE + ")"),
        tree.all_of([tree.term("v"), tree.regex(HOSTILE)]),
        tree.field("k", FIELD.LIKE, "*~"),
    ],
)
def test_nobody_waits_for_more_than_a_few_kilobytes(folder: Path, query: query_pb2.Query) -> None:
    split, query = TantivySplit(folder, frame_cache()), normalise(query)
    sizes = [len(text.encode()) for text in TEXTS]
    read = split.candidates(query).reads * sum(sizes) // len(sizes)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1

    found = split.count(query, check)
    assert found == ScannedSplit(folder, frame_cache()).count(query)
    assert read > 8_000
    assert calls > read // 4096


def test_a_search_that_is_given_up_stops_at_the_next_check(folder: Path) -> None:
    split = TantivySplit(folder, frame_cache())
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise StopError

    with pytest.raises(StopError):
        split.count(normalise(tree.regex(HOSTILE)), check)
    assert calls == 5
