"""Messages as text."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli import gateway, render, times

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
