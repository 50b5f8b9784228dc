"""The query language: what is accepted, what it means, and where an error is said to be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.query import QuerySyntaxError, bounds_of, key_of, normalise, parse, render, tree
from services.search.query.parser import MAX_DEPTH, MAX_LENGTH
from services.search.query.times import parse_time, render_time
from tests.unit.search.queries import trees
from tests.unit.search.splits import EPOCH

T = tree.term


def test_nothing_or_white_space_means_every_line() -> None:
    assert parse("") == parse(" \n\t") == tree.EVERYTHING


def test_terms_side_by_side_must_all_match_and_and_may_be_written() -> None:
    assert parse("a b") == parse("a AND b") == tree.all_of([T("a"), T("b")])


def test_or_binds_less_than_and_and_not_binds_most() -> None:
    assert parse("a b OR NOT c d") == tree.any_of(
        [tree.all_of([T("a"), T("b")]), tree.all_of([tree.inverse(T("c")), T("d")])]
    )


def test_parentheses_group() -> None:
    assert parse("a (b OR c)") == tree.all_of([T("a"), tree.any_of([T("b"), T("c")])])


def test_keywords_are_upper_case_only() -> None:
    assert parse("and or not") == tree.all_of([T("and"), T("or"), T("not")])


@pytest.mark.parametrize("text", ["foo_bar", '"foo bar"', "foo-bar", '"foo ... bar"', "FOO.Bar", '"foo" ', "/foo/bar"])
def test_a_word_or_phrase_means_its_terms_in_a_row(text: str) -> None:
    assert parse(text) == (T("foo") if text == '"foo" ' else tree.words(["foo", "bar"]))


def test_an_unknown_field_is_part_of_the_word() -> None:
    assert parse("user:bob") == tree.words(["user", "bob"])
    assert parse("10:30:00") == tree.words(["10", "30", "00"])


def test_quotes_and_backslashes_can_be_written_in_a_phrase() -> None:
    assert parse(r'"say \"hi\" \\ there"') == tree.words(["say", "hi", "there"])
    assert parse(r'source:"a \"b\" (c).log"') == tree.source('a "b" (c).log')


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("level:error", query_pb2.ERROR, query_pb2.ERROR),
        ("level:WARNING", query_pb2.WARN, query_pb2.WARN),
        ("level:>=warn", query_pb2.WARN, 0),
        ("level:>warn", query_pb2.ERROR, 0),
        ("level:<=info", 0, query_pb2.INFO),
        ("level:<info", 0, query_pb2.DEBUG),
        ("level:warn..error", query_pb2.WARN, query_pb2.ERROR),
        ("level:..error", 0, query_pb2.ERROR),
        ("level:error..", query_pb2.ERROR, 0),
    ],
)
def test_levels_can_be_named_compared_and_spanned(text: str, low: int, high: int) -> None:
    assert parse(text) == tree.level_range(low, high)


def test_a_range_without_ends_means_lines_that_have_one_at_all() -> None:
    assert parse("time:..") == tree.time_range(None, None)
    assert parse("level:..") == tree.level_range(0, 0)


def test_a_level_beyond_the_last_one_is_nothing() -> None:
    assert parse("level:>fatal") == parse("level:<trace") == tree.NOTHING


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("time:>=2016-12-19T16:00:00Z", "2016-12-19T16:00:00Z", None),
        ("time:>2016-12-19", "2016-12-20", None),
        ("time:<2016-12-19", None, "2016-12-19"),
        ("time:<=2016-12-19", None, "2016-12-20"),
        ("time:2016", "2016-01-01", "2017-01-01"),
        ("time:2016-12", "2016-12-01", "2017-01-01"),
        ("time:2016-12-19T16:05", "2016-12-19T16:05:00", "2016-12-19T16:06:00"),
        ("time:2016-12-19..2016-12-20", "2016-12-19", "2016-12-21"),
        ("time:2016-12-19..", "2016-12-19", None),
        ("time:..2016-12-19", None, "2016-12-20"),
        ("time:[2016-12-19 TO 2016-12-20]", "2016-12-19", "2016-12-21"),
        ("time:[2016-12-19 16:00 TO *]", "2016-12-19T16:00", None),
        ('time:"2016-12-19 16:00:00.250"', "2016-12-19T16:00:00.250", "2016-12-19T16:00:00.251"),
        ('time:>="2016-12-19 16:00:00"', "2016-12-19T16:00:00", None),
        ("time:>=2016-12-19T16:00:00+02:00", "2016-12-19T14:00:00", None),
        ("time:>=2016-12-19T16:00:00-0130", "2016-12-19T17:30:00", None),
    ],
)
def test_times_stand_for_the_unit_that_they_name(text: str, low: str | None, high: str | None) -> None:
    ends = (None if end is None else parse_time(end)[0] for end in (low, high))
    assert parse(text) == tree.time_range(*ends)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("a AND", 5, "found the end"),
        ("a OR OR b", 5, "found 'OR'"),
        ("(a b", 4, "expected ')' for the '(' at character 1"),
        ("a) b", 1, "found ')' without '('"),
        ("()", 1, "found ')'"),
        ('a "b c', 6, "to end the phrase"),
        ('"a\\', 3, "to end the phrase"),
        ("a => b", 2, "a letter or a digit"),
        ("level:loud", 6, "expected a level (trace, debug"),
        ("level:>=", 8, "expected a level"),
        ("x time:>=yesterday", 9, "expected a time such as"),
        ("time:2016-13-01", 5, "expected a time that exists"),
        ("time:0000", 5, "expected a time that exists"),
        ("time:9999", 5, "expected a time that exists"),
        ("time:2016..2016-99-99", 11, "expected a time"),
        ("time:[2016 2017]", 5, "expected [start TO end]"),
        ("time:[2016 TO", 5, "expected [start TO end]"),
        ("source:", 7, "part of the source's name"),
        ("NOT", 3, "found the end"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), MAX_DEPTH, "inside one another"),
        ("a" * (MAX_LENGTH + 1), MAX_LENGTH, "at most"),
    ],
)
def test_an_error_says_what_was_expected_and_where(text: str, position: int, expected: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text)
    assert (caught.value.position, expected in caught.value.expected) == (position, True), str(caught.value)


def test_an_error_shows_the_place_with_a_caret() -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse("level:error AND (time:>=never)")
    message, shown, caret = str(caught.value).split("\n")
    assert message.endswith("at character 25")
    assert shown[caret.index("^") :] == "never)"


def test_an_error_in_a_long_query_shows_only_what_is_around_it() -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse("word " * 500 + "\n&& " + "word " * 100)
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) <= 80
    assert shown[caret.index("^") :].startswith("&&")


@given(st.text(max_size=80) | st.text(alphabet='ab"()\\[]:.<>=NOTANDR *level:timesource2016-', max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_query_or_a_syntax_error_within_it(text: str) -> None:
    error = None
    try:
        normalise(parse(text))
    except QuerySyntaxError as caught:
        error = caught
    assert error is None or 0 <= error.position <= len(text)


@given(trees)
@settings(max_examples=300, deadline=None)
def test_a_rendered_query_parses_to_the_same_query(query: query_pb2.Query) -> None:
    normal = normalise(query)
    assert normalise(parse(render(normal))) == normal


@given(trees)
@settings(max_examples=300, deadline=None)
def test_the_normal_form_is_its_own_normal_form(query: query_pb2.Query) -> None:
    normal = normalise(query)
    assert normalise(normal) == normal


def test_queries_that_mean_the_same_have_one_key() -> None:
    texts = ["a b (c OR d)", "(d OR c OR c) b AND a a", "b a NOT NOT (c OR d)", "(A (b (c OR d)))"]
    keys = {key_of(normalise(parse(text))) for text in texts}
    assert len(keys) == 1


def test_time_ranges_that_must_all_hold_become_one() -> None:
    assert normalise(parse("time:>=2016 a time:<2017 time:>=2015")) == normalise(parse("a time:2016"))
    assert normalise(parse("time:<2016 time:>2016")) == tree.NOTHING


def test_the_deepest_query_can_be_packed() -> None:
    text = "x"
    for _ in range(MAX_DEPTH):
        text = f"(a OR b {text})" if len(text) % 2 else f"NOT {text}"
    assert key_of(normalise(parse(text)))


@pytest.mark.parametrize(
    ("text", "low", "high", "undated"),
    [
        ("a", None, None, True),
        ("a time:2001-09-09T01:46:40", EPOCH, EPOCH + 1_000_000, False),
        ("time:2001-09-09T01:46:40 OR time:2001-09-09T01:46:42", EPOCH, EPOCH + 3_000_000, False),
        ("a OR time:2001", None, None, True),
        ("NOT time:2001", None, None, True),
        ("time:>=2001-09-09T01:46:40", EPOCH, None, False),
        ("level:>fatal", 0, 0, False),
    ],
)
def test_bounds_hold_every_match(text: str, low: int | None, high: int | None, undated: bool) -> None:
    bounds = bounds_of(normalise(parse(text)))
    assert (bounds.low, bounds.high, bounds.undated) == (low, high, undated)


@given(st.integers(min_value=-62_135_596_800_000_000, max_value=253_402_300_799_999_999))
def test_a_rendered_time_is_read_back(micros: int) -> None:
    assert parse_time(render_time(micros))[0] == micros
