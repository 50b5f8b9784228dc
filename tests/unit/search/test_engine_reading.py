"""Queries for which lines have to be read: what is read, in which order, how often, and who may stop it."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from loganalyzer.search.v1 import query_pb2
from services.search.index import NO_TIME, SCHEMA_VERSION, SUPPORTED, grams
from services.search.index.engine import TantivySplit
from services.search.index.frames import FrameReader
from services.search.index.scanner import ScannedSplit
from services.search.index.split import After, Order, RowHit, SplitReader
from services.search.index.vocabulary import Vocabulary
from services.search.query import normalise, tree
from tests.unit.search.splits import EPOCH, Row, Source, frame_cache, write_split

NEEDLE = 2_345
LINES = 4_000
FIELD = query_pb2.FieldMatch


def row(number: int) -> Row:
    text = f"line-{number} of {'a-needle' if number == NEEDLE else 'hay'} [status={number % 7}] {'.' * 100}"
    return Row(text.encode(), EPOCH + number * 1_000_000, number % 9)


@pytest.fixture(scope="module", params=[SCHEMA_VERSION, 1])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    root = tmp_path_factory.mktemp("splits")
    write_split(root, [Source([row(number) for number in range(LINES)])], version=request.param)
    return root / "default" / "s1"


def opened(folder: Path) -> TantivySplit:
    return TantivySplit(folder, frame_cache())


class StopError(Exception):
    """Nobody wants the answer any more."""


QUERIES = [
    tree.substring("-NEEDLE"),
    tree.regex(r"a-[a-z]{6} \["),
    tree.all_of([tree.term("of"), tree.regex(r"\Aline-2345\s")]),
    tree.inverse(tree.substring("hay", case_sensitive=True)),
    tree.all_of([tree.field("status", FIELD.EQUAL, "0"), tree.cased(["needle"])]),
]


@pytest.mark.parametrize("query", QUERIES)
def test_lines_that_have_to_be_read_are_found(folder: Path, query: query_pb2.Query) -> None:
    split, query = opened(folder), normalise(query)
    assert split.top(query, Order.NEWEST, 5).hits == [RowHit(EPOCH + NEEDLE * 1_000_000, NEEDLE)]
    assert [split.count(query), split.count(tree.inverse(query))] == [1, LINES - 1]
    assert split.histogram(query, EPOCH, 1_000_000 * 100, 100) == {NEEDLE // 100: {NEEDLE % 9: 1}}


def test_a_stream_hands_out_hits_before_the_rest_is_read_where_the_times_of_frames_are_known(folder: Path) -> None:
    for order, first in ((Order.NEWEST, LINES - 1), (Order.OLDEST, 0)):
        split, query = opened(folder), tree.regex("^line")
        batch = next(batch for batch in split.walk(query, order) if batch.hits)
        assert batch.hits[0].row == first
        known = FrameReader(folder).version > 1
        assert (batch.done < LINES / 5) == known
        rows = [hit.row for batch in split.walk(query, order) for hit in batch.hits]
        assert rows == sorted(range(LINES), reverse=order is Order.NEWEST)


def test_a_stream_goes_on_behind_any_place(folder: Path) -> None:
    query = tree.regex("e-[0-9]+ ")
    for order in Order:
        split = opened(folder)
        every = [hit for batch in split.walk(query, order) for hit in batch.hits]
        for at in (0, 1, 777, LINES - 1):
            after = After(every[at].time, every[at].row)
            for again in (split, opened(folder)):
                assert [hit for batch in again.walk(query, order, after) for hit in batch.hits] == every[at + 1 :]


def test_what_was_found_by_reading_is_kept_for_counts_pages_and_bars(folder: Path) -> None:
    split, query = opened(folder), tree.regex("need.e")
    split.count(query)

    def unwanted() -> None:
        raise StopError

    assert split.candidates(query, unwanted).reads == 0
    assert len(split.top(query, Order.NEWEST, 5, None, unwanted).hits) == 1
    assert split.histogram(query, EPOCH, 10**12, 1, unwanted) == {0: {NEEDLE % 9: 1}}
    assert sum(len(batch.hits) for batch in split.walk(query, Order.NEWEST, None, unwanted)) == 1


@pytest.mark.parametrize("ask", ["count", "top", "walk", "top_values"])
def test_work_that_nobody_waits_for_ends_at_once_and_leaves_nothing_behind(folder: Path, ask: str) -> None:
    split, query = opened(folder), tree.regex("l.ne-[0-9]")
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StopError

    work: dict[str, Callable[[], object]] = {
        "count": lambda: split.count(query, check),
        "top": lambda: split.top(query, Order.NEWEST, 5, None, check),
        "walk": lambda: list(split.walk(query, Order.NEWEST, None, check)),
        "top_values": lambda: split.top_values(query, "status", 100, check),
    }
    with pytest.raises(StopError):
        work[ask]()
    assert calls == 2
    assert split.count(query) == LINES


def test_threads_that_ask_the_same_at_once_get_the_same(folder: Path) -> None:
    split, query = opened(folder), tree.regex("line-[0-9]*7 ")
    barrier, answers = threading.Barrier(4), list[int]()

    def ask() -> None:
        barrier.wait()
        answers.append(split.count(query))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [LINES // 10] * 4


def test_a_block_index_is_used_as_soon_as_it_is_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    split, query = opened(copy), tree.substring("a-needle")
    monkeypatch.setattr("services.search.index.engine._LOOK_AGAIN", 0.0)
    assert split.candidates(query).reads == LINES
    grams.build(copy)
    assert 0 < split.candidates(query).reads < LINES / 4
    assert split.candidates(tree.substring("no-needle")).reads == 0
    assert split.count(query) == opened(folder).count(query) == 1


def test_frames_outside_of_the_times_that_are_asked_for_are_not_read(folder: Path) -> None:
    low = EPOCH + 3_900 * 1_000_000
    query = normalise(
        tree.all_of([tree.regex("line"), tree.inverse(tree.time_range(None, low)), tree.time_range(low, None)])
    )
    split = opened(folder)
    assert split.candidates(query).reads <= 100
    assert split.count(query) == 100


@pytest.mark.parametrize(("low", "high", "found"), [(100, 3_000, 2_900), (1_000, 1_010, 10), (3_990, 9_000, 10)])
def test_frames_that_hold_only_some_of_the_times_are_read(folder: Path, low: int, high: int, found: int) -> None:
    times = tree.time_range(EPOCH + low * 1_000_000, EPOCH + high * 1_000_000)
    split, query = opened(folder), normalise(tree.all_of([tree.regex("l[i]ne"), times]))
    assert split.count(query) == found
    assert [hit.row for batch in split.walk(query, Order.OLDEST) for hit in batch.hits] == list(
        range(low, min(high, LINES))
    )


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("falling", [False, True])
def test_hits_of_the_same_time_in_different_frames_come_in_order_of_rows(
    tmp_path: Path, version: int, falling: bool
) -> None:
    chosen = random.Random(3)
    rows = []
    for number in range(2_000):
        # Either any time in any frame, or later lines are older, and neighbouring frames share a time.
        near = EPOCH - number // 150 + chosen.randrange(2) if falling else EPOCH + chosen.randrange(12)
        rows.append(Row(b"%d %s" % (number, b"." * 300), NO_TIME if chosen.random() < 0.1 else near))
    write_split(tmp_path, [Source(rows)], version=version)
    engine, oracle = both(tmp_path / "default" / "s1")
    for query in (tree.EVERYTHING, tree.regex("[0-9]")):
        for order in Order:
            every = oracle.top(query, order, len(rows)).hits
            for after in (None, *(After(hit.time, hit.row) for hit in (every[700], every[1_900]))):
                expected = every if after is None else every[every.index(RowHit(after.time, after.row)) + 1 :]
                again = opened(tmp_path / "default" / "s1")
                assert [hit for batch in again.walk(query, order, after) for hit in batch.hits] == expected
            assert engine.top(query, order, 50).hits == every[:50]


def test_an_empty_line_is_found_and_what_stands_behind_the_last_line_feed_is_none(tmp_path: Path) -> None:
    write_split(tmp_path, [Source([Row(raw) for raw in (b"", b"a", b"", b"b")])])
    split = opened(tmp_path / "default" / "s1")
    assert [split.count(tree.regex(pattern)) for pattern in ("^$", "$", "^", "x*$", r"\b$")] == [2, 4, 4, 4, 2]


def both(folder: Path) -> tuple[SplitReader, SplitReader]:
    return opened(folder), ScannedSplit(folder, frame_cache())


@pytest.mark.parametrize("indexed", [False, True])
def test_parts_of_terms_are_found_also_within_those_that_are_kept_shortened(tmp_path: Path, indexed: bool) -> None:
    long = "q" * 60 + "Inside" + "r" * 70 + "needles"
    texts = [
        long,
        f"x {long} y",
        "needle",
        "a needles b",
        "NEEDLESS",
        "İx",
        "xi",
        "aİ",
        "\u212aelvin",
        "ſoft",
        "none",
        "",
    ]
    rows = [Row(text.encode(), EPOCH + number % 3, number % 9) for number, text in enumerate(texts * 3)]
    write_split(tmp_path, [Source(rows)])
    folder = tmp_path / "default" / "s1"
    if indexed:
        grams.build(folder)
    engine, oracle = both(folder)
    for text in ("needles", "inside", "rrrr", "i", "xi", "ix", "kelvin", "soft", "s", "k", "n", "zz", "qI", "0"):
        part = tree.substring(text)
        for query in (
            part,
            tree.inverse(part),
            tree.all_of([part, tree.inverse(tree.term("y"))]),
            tree.any_of([part, tree.term("none")]),
            tree.all_of([part, tree.regex("[A-Z]")]),
        ):
            query = normalise(query)
            for order in Order:
                every = oracle.top(query, order, len(rows)).hits
                assert engine.top(query, order, 7).hits == every[:7], (text, query)
                assert [hit for batch in engine.walk(query, order) for hit in batch.hits] == every, (text, query)
            assert engine.count(query) == len(every), (text, query)
            bars = (query, EPOCH // 3 * 3, 3, 4)
            assert engine.histogram(*bars) == oracle.histogram(*bars)
            for field in ("level", "source"):
                assert engine.top_values(query, field, 10) == oracle.top_values(query, field, 10)


def test_a_vocabulary_knows_which_terms_contain_a_text() -> None:
    vocabulary = Vocabulary(["alpha", "alps", "i\u0307x", "ix", "q" * 128, "pha"])
    assert vocabulary.long == ("q" * 128,)
    assert [vocabulary.containing(text) for text in ("alp", "pha", "i", "x", "q", "lphaa")] == [
        ["alpha", "alps"],
        ["alpha", "pha"],
        ["ix"],
        ["i\u0307x", "ix"],
        [],
        [],
    ]
    assert Vocabulary(f"t{number}" for number in range(5_000)).containing("t") is None


def test_values_of_a_field_are_those_of_the_newest_lines(folder: Path) -> None:
    split = opened(folder)
    found = split.top_values(tree.regex("line"), "status", 14)
    assert (found.counts, found.lines, found.read, found.matching) == ({str(n): 2 for n in range(7)}, 14, 14, LINES)
    levels = split.top_values(tree.EVERYTHING, "level", 1)
    assert (levels.counts["8"], "0" in levels.counts, levels.read) == (LINES // 9, False, LINES)
    assert split.top_values(tree.term("needle"), "source", 1).counts == {"app.log": 1}
