"""JSON bodies: what is no JSON, what is no message, and where."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transcode.body import parse
from gateway.transcode.codec import JsonFormat
from kit.errors import InvalidArgument
from tests.unit.gateway.shelf import bound, message


def _refusal(raw: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        parse(raw)
    return caught.value.message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{not json", "line 1, column 2"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"", "line 1, column 1"),
        (b'{"a": NaN}', '"NaN"'),
        (b'{"a": 1, "a": 2}', '"a" stands twice'),
        (b'{"a": "\xff"}', "byte 8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "not JSON"),
    ],
)
def test_a_body_that_is_not_json_is_refused_with_the_place(raw: bytes, words: str) -> None:
    assert words in _refusal(raw)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def _violation(document: Any) -> tuple[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        bound("POST", "/v1/shelves/a/books", "", document)
    if not caught.value.violations[0].field:
        return "", caught.value.message
    (violation,) = caught.value.violations
    return violation.field, violation.description


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"colour": 1}, "book.colour", "is not a field"),
        ({"author": {"age": 1}}, "book.author.age", "is not a field"),
        ({"pages": "many"}, "book.pages", "whole number"),
        ({"title": 5}, "book.title", "a string"),
        ({"tags": "x"}, "book.tags", "list"),
        ({"printTime": "now"}, "book.printTime", "Timestamp"),
        ([], "", "JSON object"),
        ("x", "", "JSON object"),
        (None, "", "JSON object"),
    ],
)
def test_a_body_that_is_not_the_message_is_refused_with_the_field(document: Any, field: str, words: str) -> None:
    found, description = _violation(document)
    assert words in description
    assert found == field


def test_both_spellings_of_a_name_are_read() -> None:
    request = bound("POST", "/v1/shelves/a/books", "bookId=b", {"print_time": "2024-01-01T00:00:00Z", "pages": "7"})
    assert request.book.print_time.seconds == 1704067200
    assert request.book.pages == 7
    assert (request.parent, request.book_id) == ("shelves/a", "b")


def test_a_body_of_everything_must_be_an_object() -> None:
    with pytest.raises(InvalidArgument, match="must be a JSON object"):
        bound("POST", "/v1/everything", "", [1])


def test_an_empty_body_field_is_there() -> None:
    assert bound("POST", "/v1/shelves/a/books", "", {}).HasField("book")


def test_json_is_protobufs_with_empty_fields_written() -> None:
    book = message("Book", name="b", pages=2**60, edition=0)
    encoded = json.loads(JsonFormat().encoder(type(book))(book.SerializeToString()))
    assert encoded == {"name": "b", "title": "", "pages": str(2**60), "tags": [], "edition": 0}


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "title", "pages", "author", "tags", "print_time", "edition", "@type", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(documents)
def test_any_document_is_bound_or_refused(document: Any) -> None:
    with contextlib.suppress(InvalidArgument):
        bound("POST", "/v1/everything", "", document)
        bound("POST", "/v1/shelves/a/books", "", document)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_refused(raw: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        parse(raw)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("&=%+.abc019_:TZ-"), max_size=40), st.sampled_from(["word", "maybe", "startTime"]))
def test_any_query_is_bound_or_refused(query: str, name: str) -> None:
    with contextlib.suppress(InvalidArgument):
        bound("GET", "/v1/everything", f"{name}={query}")
