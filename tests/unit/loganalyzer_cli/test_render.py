"""Messages as text."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli import bars, blocks, gateway, quantities, render, times

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_highlights_are_coloured_by_code_point() -> None:
    message = {
        "source": "a",
        "lineNumber": "1",
        "text": "é error x error",
        "highlights": [{"start": 2, "end": 7}, {"start": 10, "end": 15}],
    }
    shown = render.hit(message, colour=True)
    assert shown.endswith("é \x1b[1;31merror\x1b[0m x \x1b[1;31merror\x1b[0m")


@pytest.mark.parametrize("colour", [False, True])
def test_a_text_that_is_only_the_beginning_of_its_line_says_so(colour: bool) -> None:
    message = {"source": "a", "lineNumber": "1", "text": "xä", "textTruncated": True}
    assert render.hit(message, colour=colour).endswith(" ... (cut: the first 3 bytes)")
    assert render.context_line(message, colour=colour).endswith(" ... (cut: the first 3 bytes)")
    assert render.hit(message | {"textTruncated": False}, colour=False) == "a:1:xä"


def test_a_log_line_cannot_speak_to_the_terminal() -> None:
    message = {"source": "a\x07", "lineNumber": "1", "text": "\x1b]0;owned\x07\tx\r", "highlights": []}
    shown = render.hit(message, colour=True)
    assert shown.endswith("\ufffd]0;owned\ufffd\tx")
    assert "\x07" not in shown


def test_without_a_terminal_the_text_is_left_as_it_is() -> None:
    message = {"source": "a", "lineNumber": "1", "text": "\x1b[31mred\r", "highlights": []}
    assert render.hit(message, colour=False) == "a:1:\x1b[31mred\r"


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(-3, 25), st.integers(-3, 25)), max_size=5))
def test_wrong_or_overlapping_highlights_never_lose_text(text: str, marks: list[tuple[int, int]]) -> None:
    shown = render._marked(text, [{"start": start, "end": end} for start, end in marks])
    assert shown.replace("\x1b[1;31m", "").replace("\x1b[0m", "") == render.printable(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (999_949, "999.9 KB"), (999_950, "1.0 MB"), (25 * 10**8, "2.5 GB")],
)
def test_sizes_are_shown_in_the_unit_that_suits_them(number: int, text: str) -> None:
    assert render.size(number) == text


def test_progress_says_what_is_known() -> None:
    message = {
        "state": "RUNNING",
        "lineCount": "5100000",
        "progress": {
            "totalFiles": "40",
            "processedFiles": "12",
            "totalBytes": "1200000000",
            "processedBytes": "340000000",
            "bytesPerSecond": 210e6,
            "eta": "4.2s",
        },
    }
    assert render.progress(message) == (
        "running  28 %  340.0 MB of 1.2 GB  12 of 40 files  5,100,000 lines  210.0 MB/s  4 s left"
    )


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-31", "2024-01-31T00:00:00Z"),
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
        ("2024-01-31 12:00:00.25+02:00", "2024-01-31T10:00:00.250000Z"),
        ("15m", "2024-03-01T11:45:00Z"),
        ("2d", "2024-02-28T12:00:00Z"),
        ("1w", "2024-02-23T12:00:00Z"),
    ],
)
def test_times_are_dates_or_how_long_ago(text: str, instant: str) -> None:
    assert times.parse(text, NOW) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "5", "1y", "-3d", "2024-13-01"])
def test_other_words_are_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        times.parse(text, NOW)


@given(st.lists(st.binary(max_size=6)), st.lists(st.integers(0, 40)))
def test_lines_come_whole_wherever_the_pieces_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"\n".join(parts)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]
    assert list(gateway.lines(pieces)) == [line for line in whole.split(b"\n") if line.strip()]


def test_a_problem_is_told_with_the_fields_that_are_wrong() -> None:
    problem = {"detail": "display_name must be set", "violations": [{"field": "a", "description": "is too long"}]}
    assert gateway.sentence(problem) == "display_name must be set; a is too long"
    assert gateway.sentence({"title": "Not Found"}) == "Not Found"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)]
)
def test_spans_are_read(text: str, seconds: int) -> None:
    assert quantities.seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("500MB", 500 * 10**6), ("1.5GB", 1_500_000_000), ("10GiB", 10 * 2**30), ("2 tb", 2 * 10**12)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert quantities.bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "x", "5x", "-1s", "1y", "5ib", "1e9"])
def test_other_words_are_neither(text: str) -> None:
    for reader in (quantities.seconds_of, quantities.bytes_of):
        with pytest.raises(ValueError, match=r"give"):
            reader(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (4.2, "4 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (30 * 86_400, "30 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans_are_shown_in_two_units(seconds: float, text: str) -> None:
    assert quantities.span(seconds) == text


def bucket(count: int, **levels: int) -> dict[str, object]:
    return {
        "startTime": "2024-05-01T10:00:00Z",
        "count": str(count),
        "levels": [{"level": level, "count": str(number)} for level, number in levels.items()],
    }


def test_bars_are_as_long_as_their_counts_and_none_is_lost() -> None:
    found = {"buckets": [bucket(1000), bucket(500), bucket(1), bucket(0)], "totalSize": "1511", "undatedCount": "10"}
    lines = bars.lines(found, colour=False, block="#")
    assert [line.count("#") for line in lines] == [60, 30, 1, 0, 0]
    assert lines[0].startswith("2024-05-01 10:00:00  1,000  #")
    assert lines[3] == "2024-05-01 10:00:00      0"
    assert lines[4] == "1,511 lines in all, 10 of them without a time"


def test_errors_and_warnings_have_their_share_of_a_bar() -> None:
    line = bars.lines({"buckets": [bucket(60, ERROR=30, WARN=15, INFO=10)]}, colour=True, block="#")[0]
    assert line.endswith(f"\x1b[31m{'#' * 30}\x1b[0m\x1b[33m{'#' * 15}\x1b[0m{'#' * 15}")


def line(number: int, source: str = "a") -> dict[str, object]:
    return {"source": source, "lineNumber": str(number), "text": f"t{number}", "highlights": []}


def around(number: int, reach: int, source: str = "a") -> dict[str, object]:
    return {
        "before": [line(n, source) for n in range(max(1, number - reach), number)],
        "hit": line(number, source),
        "after": [line(n, source) for n in range(number + 1, number + reach + 1)],
    }


@given(st.lists(st.integers(1, 60), unique=True, max_size=15), st.integers(0, 4), st.booleans())
def test_blocks_print_each_line_of_sorted_hits_once(numbers: list[int], reach: int, newest: bool) -> None:
    joined = blocks.Blocks()
    printed: list[str] = []
    for number in sorted(numbers, reverse=newest):
        printed += joined.add(around(number, reach), colour=False)
    printed += joined.end(colour=False)
    wanted = {n for number in numbers for n in range(max(1, number - reach), number + reach + 1)}
    expected = {f"a:{n}:t{n}" if n in numbers else f"a-{n}-t{n}" for n in wanted}
    assert sorted(line for line in printed if line != "--") == sorted(expected)
    gaps = sum(1 for n in wanted if n - 1 not in wanted) - bool(wanted)
    assert printed.count("--") == gaps


def test_blocks_of_different_sources_are_never_joined() -> None:
    joined = blocks.Blocks()
    printed = [*joined.add(around(1, 0), colour=False), *joined.add(around(2, 0, "b"), colour=False)]
    assert [*printed, *joined.end(colour=False)] == ["a:1:t1", "--", "b:2:t2"]


def test_an_import_of_what_is_there_already_says_so() -> None:
    message = {"name": "i1", "state": "SUCCEEDED", "progress": {"totalFiles": "10"}}
    assert render.result(message) == "i1: succeeded, nothing new in 10 files"
    assert render.result(message | {"progress": {}}) == "i1: succeeded, nothing new"
    assert "nothing new" not in render.result(message | {"fileCount": "1"})
    assert "nothing new" not in render.result(message | {"errorCount": "1"})
