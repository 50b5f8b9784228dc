"""The short cut for plain queries says what the parser says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.search.query import key_of, normalise, parse
from services.search.quick import plain_query

WORDS = st.one_of(
    st.text("abzABZ019", min_size=1, max_size=34),
    st.sampled_from(
        [
            "and",
            "or",
            "And",
            "Or",
            "nOT",
            "ERROR",
            "True",
            "not",
            "last",
            "level",
            "error",
            "time",
            "source",
            "true",
            "null",
            "1e5",
            "007",
        ]
    ),
)


@given(st.lists(WORDS, min_size=1, max_size=9).map(" ".join))
def test_plain_words_have_the_normal_form_that_the_parser_gives(text: str) -> None:
    quick = plain_query(text)
    if quick is None:
        assert len(text.split()) > 8 or max(map(len, text.split())) > 32
    else:
        assert key_of(quick) == key_of(normalise(parse(text)))


@given(
    st.text("aB1 \"'()*:/~-.\u00e9\n", max_size=12) | st.sampled_from(["a AND b", "a OR b", "NOT a", "", "a  b", "a\n"])
)
def test_anything_else_is_left_to_the_parser(text: str) -> None:
    quick = plain_query(text)
    if quick is not None:
        assert key_of(quick) == key_of(normalise(parse(text)))


def test_it_knows_plain_queries_and_no_others() -> None:
    assert plain_query("disk full") is not None
    for text in ("", " ", "a AND b", "NOT a", "a OR b", "a  b", "user:x", "disk\n", "dis*", "é"):
        assert plain_query(text) is None
