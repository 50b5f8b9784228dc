"""What is marked in a line."""

from __future__ import annotations

import pytest

from services.search.query import normalise, parse
from services.search.query.highlight import MAX_HIGHLIGHTS, Highlighter


def marked(query: str, text: str) -> list[str]:
    return [text[mark.start : mark.end] for mark in Highlighter(normalise(parse(query))).mark(text)]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("foo", "Foo foobar É foo", ["Foo", "foo"]),
        ('foo OR "foo bar"', "foo-bar foo", ["foo-bar", "foo"]),
        ("NOT foo", "foo", []),
        ("cod*", "Code, xcode É codé", ["Code", "codé"]),
        ("cod*", "x cod" + "e" * 300, ["cod" + "e" * 300]),
        ("colour~", "É Color colours col", ["Color", "colours"]),
        ("/o+/", "É foo bo", ["oo", "o"]),
        ("/x*/", "axxb", ["xx"]),
        ("/É/i", "日é", ["é"]),
        ('contains:"é f"', "日É FÉ f", ["É F", "É f"]),
        ("contains_case:ab", "Abab", ["ab"]),
        ('case:"Foo bar"', "foo bar Foo_bar", ["Foo_bar"]),
        ("contains:foob foo", "foobar foo", ["foob", "foo"]),
        ("contains:foobar foo*", "foobarbaz", ["foobarbaz"]),
        ("user:bob", "x user=Bob bob", ["Bob"]),
        ('user:"bob smith"', 'user="Bob Smith"', ["Bob Smith"]),
        ('user:"bob smith"', "user: Bob Smith x", ["Bob Smith"]),
        ("size:>5", "size=3 size=9", ["9"]),
        ("user.id:42", '{"user":{"id": 42},"id":43}', ["42"]),
        ("tags:b", '{"tags":["a","b",["B"]],"x":"b"}', ["b", "B"]),
        ("user:*", '{"user":null}', ["null"]),
        ("user:x", "user=y", []),
    ],
)
def test_it_marks(query: str, text: str, expected: list[str]) -> None:
    assert marked(query, text) == expected


@pytest.mark.parametrize("query", ["a", "a*", "a~", "/a/", "contains:a", "case:a", "k:a"])
def test_there_are_at_most_a_hundred_marks(query: str) -> None:
    assert len(marked(query, "k=a a " * 500)) == MAX_HIGHLIGHTS
