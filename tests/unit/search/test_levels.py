"""Queries for levels: what a split knows of its levels decides what the engine is asked, never what is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import tantivy

from services.search.index.engine import TantivySplit
from services.search.index.nodes import EVERYTHING, NOTHING, SplitFacts, level_node
from services.search.index.split import FrameCache, Order
from services.search.query import normalise, parse
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, write_split

#: Lines of each level, of 1 to 7: some are rare, 2 and 8 are nowhere.
COMMON, RARE = (1, 3, 4, 5), (6, 7)


def _split(root: Path, levels: Sequence[int]) -> TantivySplit:
    rows = [Row(f"line {'odd' * (at % 2)} {at}".encode(), EPOCH + at, level) for at, level in enumerate(levels)]
    write_split(root, [Source(rows)], segment_rows=50)
    return TantivySplit(root / WORKSPACE / "s1", FrameCache(10))


def _levels() -> list[int]:
    return [0] + [COMMON[at % 4] for at in range(200)] + [*RARE]


def _facts(levels: dict[int, int]) -> SplitFacts:
    lines = sum(levels.values())
    nothing = lambda *_: NOTHING  # noqa: E731
    return SplitFacts(
        line_count=lines,
        dated_count=0,
        min_time=0,
        max_time=0,
        levels=levels,
        runs_where=lambda _: [],
        terms_with=lambda _: None,
        long=nothing,
        wide=False,
    )


@pytest.mark.parametrize("wanted", ["level:>=trace", "level:>=error", "level:warn", "level:<=info", "level:debug", ""])
@pytest.mark.parametrize("beside", ["", "odd", "NOT odd", "nowhere"])
def test_finds_the_lines_of_a_range(tmp_path: Path, wanted: str, beside: str) -> None:
    levels = _levels()
    split = _split(tmp_path, levels)
    query = normalise(parse(f"{beside} {wanted}"))
    bounds = {"level:>=trace": (1, 8), "level:>=error": (6, 8), "level:warn": (5, 5), "level:<=info": (1, 3)}
    bounds |= {"level:debug": (2, 2), "": (0, 8)}
    low, high = bounds[wanted]
    matching = [at for at, level in enumerate(levels) if low <= level <= high]
    odd = {"": (0, 1), "odd": (1,), "NOT odd": (0,), "nowhere": ()}[beside]
    matching = [at for at in matching if at % 2 in odd]
    assert split.count(query) == len(matching)
    assert [hit.row for hit in split.top(query, Order.OLDEST, 300).hits] == matching


def test_asks_the_engine_for_no_more_than_is_open() -> None:
    facts = _facts({1: 100, 3: 900})
    assert level_node(2, 2, facts) is NOTHING
    assert level_node(4, 8, facts) is NOTHING
    assert level_node(1, 8, facts) is EVERYTHING
    assert isinstance(level_node(3, 8, facts), tantivy.Query)
    assert level_node(1, 8, _facts({0: 1, 1: 100})) is not EVERYTHING


def test_does_not_remember_what_costs_nothing_to_ask(tmp_path: Path) -> None:
    split = _split(tmp_path, _levels())
    for text in ("odd", "nowhere", "nowhere odd"):
        split.count(normalise(parse(text)))
        split.top(normalise(parse(text)), Order.NEWEST, 1)
    assert len(split._counts) == 0
    split.count(normalise(parse("odd line")))
    assert len(split._counts) == 1
