"""What CheckLogs says of a split whose lines are damaged."""

from __future__ import annotations

from loganalyzer.search.v1 import search_pb2
from services.search.care.check import Part, Problem
from services.search.care.work import _messages
from services.search.library import named
from services.search.view import Published


def split(*names: str) -> search_pb2.Split:
    runs = [search_pb2.SplitSource(name=name, line_count=1) for name in names]
    return search_pb2.Split(id="s1", sources=runs)


def test_the_sources_of_damaged_lines_are_named_once() -> None:
    published = Published(1, "default", split("a.log", "b.log", "a.log"))
    lines = Problem(Part.LINES, "raw.zst is damaged", repairable=False)
    terms = Problem(Part.INDEX, "the terms are damaged")
    told = [problem.message for problem in _messages(published, [lines, terms])]
    assert told == ["raw.zst is damaged; it holds lines of a.log, b.log", "the terms are damaged"]
    assert [problem.message for problem in _messages(published, [terms])] == ["the terms are damaged"]


def test_an_error_names_a_few_sources_and_no_long_names() -> None:
    assert named(split("a", "b"), 3, 60) == "a, b"
    assert named(split(*"abcde"), 3, 60) == "a, b, c and 2 more"
    assert named(split("/x" * 100 + "/a.log"), 3, 6) == ".../a.log"
