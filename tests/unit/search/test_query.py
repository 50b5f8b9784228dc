"""The query language: what is accepted, what it means, and where an error is said to be."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.query import QuerySyntaxError, bounds_of, key_of, normalise, parse, render, tree
from services.search.query.parser import MAX_DEPTH, MAX_LENGTH, MAX_PATTERNS
from services.search.query.times import parse_time, render_time
from tests.unit.search.queries import trees
from tests.unit.search.splits import EPOCH

T, F = tree.term, query_pb2.FieldMatch
SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND


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


@pytest.mark.parametrize(
    ("text", "name", "operator", "value"),
    [
        ("user:bob", "user", F.EQUAL, "bob"),
        ("user.id:42", "user.id", F.EQUAL, "42"),
        ("@timestamp:x", "@timestamp", F.EQUAL, "x"),
        ("_x-y:a:b", "_x-y", F.EQUAL, "a:b"),
        ('user:"a \\"b\\" (c)"', "user", F.EQUAL, 'a "b" (c)'),
        ('user:""', "user", F.EQUAL, ""),
        ('"a b":c', "a b", F.EQUAL, "c"),
        ('"level":info', "level", F.EQUAL, "info"),
        ("size:>5", "size", F.GREATER, "5"),
        ("size:>=5", "size", F.GREATER_OR_EQUAL, "5"),
        ("size:<5", "size", F.LESS, "5"),
        ('size:<="5 6"', "size", F.LESS_OR_EQUAL, "5 6"),
        ("size:10..", "size", F.GREATER_OR_EQUAL, "10"),
        ("size:..-1", "size", F.LESS_OR_EQUAL, "-1"),
        ("user:*", "user", F.EXISTS, ""),
        ("user:b*b", "user", F.LIKE, "b*b"),
        ("user:b?b", "user", F.LIKE, "b?b"),
        ('user:"b*b"', "user", F.EQUAL, "b*b"),
        ('user:~"b *"', "user", F.LIKE, "b *"),
        ("file:../etc", "file", F.EQUAL, "../etc"),
        ("a:b...c", "a", F.EQUAL, "b...c"),
        ('path:"/etc"', "path", F.EQUAL, "/etc"),
    ],
)
def test_a_name_and_a_value_are_a_field(
    text: str, name: str, operator: query_pb2.FieldMatch.Operator.ValueType, value: str
) -> None:
    assert parse(text) == tree.field(name, operator, value)


def test_a_range_of_a_field_is_two_comparisons() -> None:
    both = [tree.field("size", F.GREATER_OR_EQUAL, "10"), tree.field("size", F.LESS_OR_EQUAL, "20")]
    assert parse("size:10..20") == tree.all_of(both)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10:30:00", "10 30 00"),
        ("http://x/y", "http x y"),
        ("C:\\tmp", "c tmp"),
        ("std::sort", "std sort"),
        ("error:", "error"),
        ("/var/log/a b/c", None),
        ("1a:b", "1a b"),
        ("~joe", "joe"),
        ("a~b", "a b"),
        ("a/~1", "a 1"),
    ],
)
def test_what_only_looks_like_another_form_is_words(text: str, words: str | None) -> None:
    if words is None:
        assert parse(text) == tree.all_of([tree.words(["var", "log", "a"]), tree.words(["b", "c"])])
    else:
        assert parse(text) == tree.words(words.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cod*", tree.wildcard("cod*")),
        ("*Edi*", tree.wildcard("*edi*")),
        ("a?b", tree.wildcard("a?b")),
        ("*", tree.EVERYTHING),
        ("**", tree.EVERYTHING),
        ("colour~", tree.fuzzy("colour", 1)),
        ("Colour~1", tree.fuzzy("colour", 1)),
        ("colour~2", tree.fuzzy("colour", 2)),
        ("/a b(c|d)/", tree.regex("a b(c|d)")),
        ("/Err/i", tree.regex("Err", ignore_case=True)),
        (r"/a\/b\\/", tree.regex(r"a/b\\")),
        ("(/a/)", tree.regex("a")),
        ("contains:om-se", tree.substring("om-se")),
        ('contains:"om se"', tree.substring("om se")),
        ("contains:>x", tree.substring(">x")),
        ("contains_case:Om", tree.substring("Om", case_sensitive=True)),
        ("case:Error", tree.cased(["Error"])),
        ('case:"An Error"', tree.cased(["An", "Error"])),
        ("source_id:ab12", tree.source_ids(["ab12"])),
        ("source:/var/log", tree.source("/var/log")),
        ('"/a/"', T("a")),
        ('"a*"', T("a")),
    ],
)
def test_each_form_has_its_node(text: str, expected: query_pb2.Query) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("last:15m", NOW - 900 * SECOND, NOW + SECOND),
        ("last:1h30s", NOW - 3630 * SECOND, NOW + SECOND),
        ("last:2w", NOW - 14 * 86_400 * SECOND, NOW + SECOND),
        ("time:>=-1h", NOW - 3600 * SECOND, None),
        ("time:<-1h", None, NOW - 3600 * SECOND),
        ("time:-2d..-1d", NOW - 2 * 86_400 * SECOND, NOW - 86_400 * SECOND + 1),
        ("time:[-1m TO now]", NOW - 60 * SECOND, NOW + 1),
        ("time:>now-1s", NOW - SECOND + 1, None),
    ],
)
def test_relative_times_count_from_now(text: str, low: int | None, high: int | None) -> None:
    assert parse(text, now=NOW) == tree.time_range(low, high)


def test_the_last_minutes_end_with_the_second_in_which_the_query_is_read() -> None:
    at = NOW + 700_000
    assert parse("last:1m", now=at) == tree.time_range(at - 60 * SECOND, NOW + SECOND)


@pytest.mark.parametrize(
    ("text", "low"),
    [
        *[(f"time:{end}", None) for end in ("..9999", "..9999-12", "<=9999-12-31", "<=9999-12-31T23:59")],
        *[
            (f"time:{end}", None)
            for end in ("[* TO 9999-12-31]", "<=9999-12-31T23:59:59.999999", "<9999-12-31T23-01:00")
        ],
        *[(f"time:{day}", day) for day in ("9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59.999999")],
        *[(f"time:{day}..", None) for day in ("0001-01-01T00:00+01:00",)],
    ],
)
def test_an_end_that_no_time_reaches_is_open(text: str, low: str | None) -> None:
    """A day may begin before the year 1 or end after 9999 by its zone alone."""
    expected = tree.time_range(None if low is None else parse_time(low)[0], None)
    query = parse(text)
    assert query == normalise(query) == expected
    assert parse(render(query)) == query


@pytest.mark.parametrize(
    "text", ["time:>9999", "time:>=9999-12-31T23-01:00", "time:<0001", "time:<=0001-01-01T00+02:00"]
)
def test_what_begins_behind_all_times_or_ends_before_them_is_nothing(text: str) -> None:
    assert parse(text) == tree.NOTHING


def test_without_a_given_now_the_clock_is_taken() -> None:
    before = int(time.time())
    low = tree.time_bounds(parse("last:1s").time)[0]
    assert low is not None
    assert low % SECOND == 0
    assert before <= low // SECOND + 1 <= time.time()


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
        ("(a b", 4, "expected ')'"),
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
        ("time:2016..2016-99-99", 11, "expected a time"),
        ("time:[2016 2017]", 5, "expected [start TO end]"),
        ("time:[2016 TO", 5, "expected [start TO end]"),
        ("source:", 7, "part of the source's name"),
        ("NOT", 3, "found the end"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), MAX_DEPTH, "inside one another"),
        ("a" * (MAX_LENGTH + 1), MAX_LENGTH, "at most"),
        ("x /a(b/", 3, "expected a regular expression (missing ): a(b)"),
        (r"/\C/", 1, "invalid escape sequence: \\C"),
        (r"/(?=a)/", 1, "invalid perl operator: (?="),
        (r"/\pL{100}/", 1, "pattern too large"),
        ("/((a{100}){100}){100}/", 1, "invalid repetition size"),
        ("foo-b*", 3, "letters and digits beside * and ?"),
        ("?" * 50, 0, "40 ?"),
        ("*a" + "?" * 15, 0, "few ? behind a *"),
        ("a" * 128 + "*", 0, "at most 127 characters"),
        ("colour~3", 7, "a distance of 1 or 2"),
        ("colour~0", 7, "a distance of 1 or 2"),
        ("foo-bar~", 0, "one word of letters and digits"),
        ("a" * 126 + "~", 0, "at most 125"),
        ("last:15x", 7, "a unit: s, m, h, d or w"),
        ("last:15", 7, "a unit"),
        ("last:m", 5, "a duration such as 15m"),
        ("last:", 5, "a duration such as 15m"),
        ("time:>=-1h5", 11, "a unit"),
        ("time:-1h", 5, "a comparison or a range"),
        ("time:>=-999999999w", 7, "a time that exists"),
        ("a:>", 3, "expected a value"),
        ('a:>"x', 5, "to end the phrase"),
        ("case:--", 5, "a letter or a digit"),
        ("contains:", 9, "expected a text"),
        ('contains:>"x"', 9, "expected a text"),
        ('a:~"' + "?" * 600 + '"', 3, "a shorter pattern"),
        ("b" * 257 + ":x", 0, "a name of at most 256"),
        ("a* " * (MAX_PATTERNS + 1), 3 * MAX_PATTERNS, f"at most {MAX_PATTERNS} patterns"),
        ("a \ud800", 2, "half of one"),
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


def test_a_parenthesis_that_is_not_closed_is_named_behind_the_place() -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse("level:error AND (a OR b")
    message = str(caught.value).split("\n")[0]
    assert message == "expected ')' at character 24, for the '(' at character 17"


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("contains:ABC", "contains:abc"),
        ("/abc/", "contains_case:abc"),
        ("/ABC/i", "contains:abc"),
        ("*?a**", "?*A*"),
        ("user:Bob", "user:bob"),
        ('user:~"bob"', "user:bob"),
        ("user:a**", "user:a*"),
        ("case:12", "12"),
        ("a NOT a", "level:>fatal"),
        (r"/\Qa.b\E+/", r"/a\.b+/"),
        (r"/\Qa\/b\E/", "contains_case:a/b"),
        ("a OR NOT a", ""),
        ("source_id:b OR source_id:a OR source_id:b", "source_id:a OR source_id:b"),
        ("(source_id:a OR source_id:b) source_id:a", "source_id:a"),
        ("source_id:a source_id:b", "level:>fatal"),
    ],
)
def test_what_means_the_same_has_the_same_normal_form(one: str, other: str) -> None:
    assert normalise(parse(one)) == normalise(parse(other))


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


_DOCUMENT = Path(__file__).parents[3] / "docs" / "query-language.md"
_EXAMPLES = re.findall(r"^\| `(.+?)` \|", _DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("text", _EXAMPLES)
def test_every_example_of_the_documentation_is_a_query(text: str) -> None:
    normal = normalise(parse(text))
    assert normalise(parse(render(normal))) == normal
    assert len(_EXAMPLES) > 30
