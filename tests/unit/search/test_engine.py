"""The engine and the scanner that reads every line give the same answers."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.index import NO_TIME, SUPPORTED, grams
from services.search.index.engine import TantivySplit
from services.search.index.scanner import ScannedSplit
from services.search.index.split import After, Order, SplitReader
from services.search.query import normalise, parse, tree
from tests.datafiles import require_shared_data
from tests.unit.search.queries import WORDS, trees
from tests.unit.search.splits import EPOCH, Row, Source, frame_cache, lines, write_split

_raw = (
    st.lists(st.sampled_from([*WORDS, "_", "beta gamma", "\u0301", "\x00"]), max_size=5).map(" ".join).map(str.encode)
)
_times = st.integers(min_value=0, max_value=12).map(lambda step: EPOCH + step * 500_000)
_levels = st.integers(min_value=0, max_value=8)
_dated = st.builds(Row, _raw | st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")), _times, _levels)
_undated = st.builds(Row, _raw, st.just(NO_TIME), _levels, st.booleans())
_rows = st.lists(_dated, max_size=30) | st.lists(_undated, max_size=20) | st.lists(_dated | _undated, max_size=30)
_segment = st.none() | st.integers(min_value=1, max_value=10)


_pieces = st.sampled_from(
    ["eta", "k", "S", "ß", "É", "İ", "i", "beta gam", "\u212a", "\u017f", "zzz", "10", ".", " ", "本"]
)
_patterns = st.sampled_from(
    [
        "^[a-z]+",
        "a$",
        r"\d",
        "x*",
        "^$",
        r"(?i)straße|k",
        r"a\s+b",
        r"\A.",
        r".\z",
        r"[^a]",
        r"\bk\b",
        r"(?s).+",
        r"\x00",
        "z{150}",
    ]
)
_operators = st.sampled_from([query_pb2.FieldMatch.EQUAL, query_pb2.FieldMatch.EXISTS, query_pb2.FieldMatch.GREATER])
_read = st.one_of(
    st.builds(tree.substring, _pieces, case_sensitive=st.booleans()),
    st.builds(tree.regex, _patterns, ignore_case=st.booleans()),
    st.sampled_from(["?", "*a", "b*", "z*z", "?*?", "É*", "1?"]).map(tree.wildcard),
    st.builds(tree.fuzzy, st.sampled_from(["alpa", "gama", "k", "school", "école"]), st.sampled_from([1, 2])),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(tree.cased),
    st.builds(tree.field, st.sampled_from(["alpha", "k"]), _operators, st.sampled_from(["10", "beta"])),
    st.lists(st.sampled_from(["aa", "bb", "zz"]), min_size=1, max_size=2).map(tree.source_ids),
)
_several = st.lists(_read | trees, min_size=1, max_size=3)
_any = _read | _several.map(tree.all_of) | _several.map(tree.any_of) | _several.map(tree.all_of).map(tree.inverse)


def both(root: Path) -> tuple[SplitReader, SplitReader]:
    folder, frames = root / "default" / "s1", frame_cache()
    return TantivySplit(folder, frames), ScannedSplit(folder, frames)


def agree(engine: SplitReader, oracle: SplitReader, query: query_pb2.Query, *, page: int = 4) -> None:
    """Asserts the same count, hits in both orders, pages, and histogram."""
    count = oracle.count(query)
    assert engine.count(query) == count
    for order in Order:
        every = oracle.top(query, order, max(count, 1)).hits
        first = engine.top(query, order, page)
        assert first.hits == every[:page]
        assert first.count in (None, count)
        paged, after = list(first.hits), None
        while len(first.hits) == page:
            after = After(first.hits[-1].time, first.hits[-1].row)
            first = engine.top(query, order, page, after)
            paged += first.hits
        assert paged == every
        assert [hit for batch in engine.walk(query, order) for hit in batch.hits] == every
    bars = (query, EPOCH, 1_000_000, 4)
    assert engine.histogram(*bars) == oracle.histogram(*bars)


@given(first=_rows, second=_rows, segment=_segment, queries=st.lists(trees, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_engine_and_scanner_agree_on_generated_lines_and_queries(
    first: list[Row], second: list[Row], segment: int | None, queries: list[query_pb2.Query]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sources = [Source(first), Source([], "ee", "empty.log"), Source(second, "bb", "b.log")]
        write_split(Path(folder), sources, segment_rows=segment)
        engine, oracle = both(Path(folder))
        for query in queries:
            agree(engine, oracle, normalise(query))


@given(
    first=_rows,
    second=_rows,
    queries=st.lists(_any, min_size=1, max_size=8),
    version=st.sampled_from(SUPPORTED),
    indexed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_engine_and_scanner_agree_where_lines_have_to_be_read(
    first: list[Row], second: list[Row], queries: list[query_pb2.Query], version: int, indexed: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_split(Path(folder), [Source(first), Source(second, "bb", "b.log")], version=version)
        if indexed:
            grams.build(Path(folder) / "default" / "s1")
        engine, oracle = both(Path(folder))
        for query in queries:
            agree(engine, oracle, normalise(query))


def test_a_tie_that_a_page_ends_in_is_broken_by_row(tmp_path: Path) -> None:
    rows = [Row(b"same", EPOCH) for _ in range(50)] + [Row(b"same", EPOCH + 1)] + [Row(b"same") for _ in range(20)]
    random.Random(7).shuffle(rows)
    write_split(tmp_path, [Source(rows)], segment_rows=9)
    agree(*both(tmp_path), normalise(parse("same")), page=7)


def test_a_line_of_five_megabytes_and_many_terms_is_searched_exactly(tmp_path: Path) -> None:
    # Far more than 65,535 terms.
    long = b" ".join(b"w%d" % number for number in range(700_000))
    assert len(long) > 5_000_000
    write_split(tmp_path, [Source([*lines("before"), Row(long, EPOCH), *lines("after w1")])])
    engine, oracle = both(tmp_path)
    for text, rows in [("w699999", [1]), ('"w699998 w699999"', [1]), ('"w699999 w699998"', []), ("w1", [1, 2])]:
        query = normalise(parse(text))
        assert [hit.row for hit in engine.top(query, Order.OLDEST, 10).hits] == rows
    assert engine.line(1).raw == oracle.line(1).raw == long


@pytest.mark.parametrize("length", [126, 127, 128, 129, 255, 256, 70_000])
def test_terms_of_any_length_are_found_and_told_apart(tmp_path: Path, length: int) -> None:
    one, other = "Q" * length, "q" * (length - 1) + "r"
    write_split(tmp_path, [Source(lines(one, f"x {other} y", f"x {one} y", one + "q"))])
    engine, oracle = both(tmp_path)
    for text in (one, other, f"x {one} y", "x y", one + "Q", one[:-1]):
        agree(engine, oracle, normalise(tree.words(text.split())))


def test_an_empty_split_answers_like_any_other(tmp_path: Path) -> None:
    write_split(tmp_path, [Source([])])
    agree(*both(tmp_path), normalise(parse("")))


def test_lines_outside_of_ordinary_times_are_ordered_too(tmp_path: Path) -> None:
    extremes = [-(2**63) + 1, -1, 0, 1, 2**63 - 1, NO_TIME]
    write_split(tmp_path, [Source([Row(b"x", when) for when in extremes])])
    agree(*both(tmp_path), normalise(parse("x")), page=2)


QUERIES = [
    "",
    "error",
    "GET",
    "failed password",
    '"failed password"',
    "session opened OR closed",
    "NOT GET",
    "(chrome OR firefox) NOT windows",
    "kafka controller",
    "java.lang.NullPointerException",
    "66.249.73.135",
    "level:error",
    "level:>=warn NOT kafka",
    "time:>=2001-09-09T01:50:00Z time:<2001-09-09T02:10:00Z the",
    "nosuchwordanywhere",
    "日本",
    "source:auth root",
]


@pytest.mark.data
def test_engine_and_scanner_agree_on_real_lines(tmp_path: Path) -> None:
    data = require_shared_data()
    files = [data / "elastic" / "auth.log", data / "elastic" / "apache_access.log", *(data / "formats").iterdir()]
    sources = []
    for number, file in enumerate(sorted(files)):
        raw = file.read_bytes().split(b"\n")
        rows = [
            Row(line, NO_TIME if at % 13 == 0 else EPOCH + at // 3 * 1_000_000, at % 9)
            for at, line in enumerate(raw[:400])
        ]
        sources.append(Source(rows, f"s{number}", file.name))
    write_split(tmp_path, sources)
    engine, oracle = both(tmp_path)
    for text in QUERIES:
        agree(engine, oracle, normalise(parse(text)), page=2_000)
