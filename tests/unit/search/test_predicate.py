"""What each node of a query means on a line."""

from __future__ import annotations

import json
import random

import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.index.terms import normalise_blob
from services.search.query import parse, tree
from services.search.query.patterns import wildcard_regex
from services.search.query.predicate import SubjectLine, compile_predicate
from tests.unit.search.queries import NAMES, field_line, numbers, values


def matches(query: str, line: str | bytes, **known: object) -> bool:
    raw = line if isinstance(line, bytes) else line.encode()
    return compile_predicate(parse(query))(SubjectLine(raw, **known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("foo", "a Foo-b"),
        ('"foo bar"', "foo, BAR"),
        ("k", "\u212a"),
        ("é", "É"),
        ("case:Foo", "x Foo_"),
        ('case:"Foo bar"', "Foo -- bar"),
        ("contains:m-se", "omSem-sEdi"),
        ("contains:k", "\u212a"),
        ("contains:é", "École É"),
        ("contains:ⓐ", "Ⓐ"),
        ("contains_case:Om", "zOmb"),
        ("/^a.c$/", "abc"),
        ("/É/i", "é"),
        (r"/\pL\d/", "é1"),
        ("/a$/", b"\xffa"),
        ("cod*", "x codes"),
        ("*edi*", "omsedi"),
        ("a?c", "aéc"),
        ("?*", "x"),
        ("cod*", "cod" + "x" * 500),
        ("colour~", "color"),
        ("colour~2", "colr"),
        ("NOT foo", "bar"),
        ("*", ""),
        ("level:..", "x"),
    ],
)
def test_it_matches(query: str, line: str | bytes) -> None:
    assert matches(query, line, level=3)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("foo", "foobar"),
        ("foo", "fooé"),
        ('"foo bar"', "foo x bar"),
        ("case:Foo", "foo"),
        ("case:Foo", "Fooé"),
        ("contains_case:Om", "om"),
        ("/a.c/", b"a\xffc"),
        ("/[^a]/", b"\xff"),
        (r"/\W/", b"\xff"),
        ("/a$/", "a\r"),
        (r"/a\nb/", "a\nb"),
        (r"/\d/", "x"),
        ("cod*", "xcodes"),
        ("a?c", "ac"),
        ("a?c", "a-c"),
        ("?*", "--"),
        ("*xyz", "a" * 500 + "xyz"),
        ("colour~", "colr"),
        ("ab~", "ba"),
        ("contains:\ufffd", b"\xff"),
    ],
)
def test_it_does_not_match(query: str, line: str | bytes) -> None:
    assert not matches(query, line)


JSON = '{"user":{"id":42,"name":"Bob\\tX","tags":["Red","blue",[7]]},"a.b":{"c":1.50},"n":null,"t":true,"e":{},"l":[]}'


@pytest.mark.parametrize(
    "query",
    [
        "user.id:42",
        "user.id:42.0",
        "user.id:>41",
        "user.id:<=42",
        "user.id:40..45",
        "user.id:4?",
        'user.name:"bob\tx"',
        "user.name:b*x",
        "user.tags:red",
        "user.tags:7",
        "a.b.c:1.5",
        "a.b.c:1.50",
        "n:null",
        "n:*",
        "t:TRUE",
        "e:*",
        "l:*",
        "user:*",
        "user.tags:>blue",
        "NOT user.nothing:*",
        "NOT id:42",
    ],
)
def test_fields_of_json_compare(query: str) -> None:
    assert matches(query, JSON)


_DIFFERENT = """
    user:42 id:42 User.id:42 user.id:4 user.id:>42 user.id:>a user.name:bob e:x l:x t:1 user.tags:red,blue nothing:*
    user.tags:8 e:{}
"""


@pytest.mark.parametrize("query", _DIFFERENT.split())
def test_fields_of_json_that_differ_do_not_match(query: str) -> None:
    assert not matches(query, JSON)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("a:2", '{"a":1,"a":2}'),
        ("a:1", ' {"a" : 1}\r'),
        ("a.b:5", '{"a":[{"b":4},{"b":5}]}'),
        ("a:12345678901234567890", '{"a":12345678901234567890}'),
        ("a:0.1", '{"a":0.10}'),
        ("a:5", '{"a":"5.0"}'),
        ("a:bar", '{"a":"foo"} a=bar'),
        ("a:foo", '{"a":"foo",}'),
        ("a:foo", 'x {"a":"Foo"}'),
        ("a:école", '{"a":"\\u00e9cole"}'),
        ('a:"x&y z"', '{"a":"x\\u0026y z"}'),
        ('a:"1\n22\n333"', '{"a":"1\\n22\\n333"}'),
        ("user:bob", "time=1 user=bob x"),
        ("user:bob", "for user: Bob."),
        ("user:bob", "user:bob"),
        ("user:bob", "--user=bob"),
        ("user:bob", "user = bob"),
        ("user:bob", "(user=<bob>)"),
        ("user:bob", "?a=b&user=bob&c"),
        ('user:"bob smith"', 'user="Bob Smith" x'),
        ('user:"bob smith"', "user='bob smith'"),
        ('user:"bob smith"', "user: bob smith, x"),
        ('user:"a \\"b\\""', r'user="a \"b\""'),
        ('user:""', "user= x=1"),
        ("user:*", "user= x=1"),
        ("size:>100", "size=250"),
        ("size:5", "size=5.0"),
        ("id:>5", "id=1 id=9"),
        ("msg:conn*", 'msg="connection lost"'),
        ("date:2024-01-01..2024-02-01", "date=2024-01-15"),
        ("k-x:1", "k-x=1"),
        ("a:xs", '{"a":"x\u017f"}'),
        ("a:xé", '{"a":"X\\u00c9"}'),
    ],
)
def test_fields_are_found_in_json_and_in_text(query: str, line: str) -> None:
    assert matches(query, line)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("a:1", '{"a":1,"a":2}'),
        ("a:bar", '{"b":"foo a=bar"}'),
        ("user:bob", "superuser=bob"),
        ("user:bob", "x.user=bob"),
        ("User:bob", "user=bob"),
        ("user:bob", "user=bobby"),
        ('user:"bob smith"', "user: bob smithers"),
        ("user:x", "user= x=1"),
        ("size:>100", "size=-"),
        ("size:>100", "size=unknown"),
        ("a:5", '{"a":5e0}'),
        ("a:5", "a=005"),
        ("abc:x", '{"\\u0061bc":"x"}'),
        ("user:b?b", "user=bb"),
        ('user:"bob é"', "user: bob été"),
        ("a:xs", '{"a":"x\\u017f"}'),
        ("a:x\u017f", '{"a":"x\\u017f"}'),
    ],
)
def test_what_is_no_such_field_is_not_found(query: str, line: str) -> None:
    assert not matches(query, line)


@given(
    st.sampled_from(NAMES[:-1]), values.filter(lambda text: "ſ" not in text) | numbers, st.booleans(), st.integers(0, 4)
)
@settings(max_examples=500, deadline=None)
def test_a_value_is_found_however_an_encoder_writes_it(name: str, value: object, nested: bool, style: int) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    query = tree.field(name, query_pb2.FieldMatch.EQUAL, text)
    line = SubjectLine(field_line(name, value, nested, style))
    assert compile_predicate(query)(line), line.raw


def test_levels_times_and_sources_are_of_the_line() -> None:
    known = {"level": 6, "time": 5, "source_id": "aa", "source": "x/app.log"}
    for query in ("level:error", "level:>=warn", "source:app", "source_id:aa", "time:1970", "NOT time:>=2000"):
        assert matches(query, "", **known), query
    for query in ("level:info", "source:App", "source_id:a", "time:>=2000"):
        assert not matches(query, "", **known), query
    assert not matches("time:..", "")
    assert not matches("level:..", "")
    assert matches("NOT time:1970", "")


def _index(words: list[str]) -> tuple[tantivy.Schema, tantivy.Searcher]:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body", tokenizer_name="terms")
    schema = builder.build()
    index = tantivy.Index(schema)
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase()).build()
    index.register_tokenizer("terms", analyzer)
    writer = index.writer(15 << 20)
    for word in words:
        writer.add_document(tantivy.Document(body=normalise_blob(word.encode())))
    writer.commit()
    index.reload()
    return schema, index.searcher()


def _count(searcher: tantivy.Searcher, query: tantivy.Query) -> int:
    count = getattr(searcher.search(query, 1), "count")  # noqa: B009  the stubs do not have it
    assert isinstance(count, int)
    return count


def test_wildcards_and_fuzzy_words_match_as_in_the_index() -> None:
    random_ = random.Random(11)
    words = ["".join(random_.choices("abicİé日", k=random_.randint(1, 6))) for _ in range(300)]
    words += ["a" * 127, "a" * 128, "ab" * 100, "b" + "a" * 126, "İ" * 127, "1f" * 100]
    schema, searcher = _index(words)
    for _ in range(200):
        pattern = "".join(random_.choices("abİé日?*", k=random_.randint(1, 5)))
        found = _count(searcher, tantivy.Query.regex_query(schema, "body", wildcard_regex(pattern)))
        test = compile_predicate(tree.wildcard(pattern))
        assert found == sum(test(SubjectLine(word.encode())) for word in words), pattern
    for _ in range(200):
        text, distance = "".join(random_.choices("abicİé日", k=random_.randint(1, 6))), random_.randint(1, 2)
        wanted = text.replace("İ", "i\u0307")
        query = tantivy.Query.fuzzy_term_query(
            schema, "body", wanted, distance=distance, transposition_cost_one=False, prefix=False
        )
        test = compile_predicate(tree.fuzzy(text, distance))
        assert _count(searcher, query) == sum(test(SubjectLine(word.encode())) for word in words), text


def test_any_wildcard_that_is_taken_fits_the_index() -> None:
    schema, searcher = _index(["x"])
    for pattern in ("?" * 40, "a" * 126 + "*", "*a*b*c*d*e*", "日" * 60 + "*", "*ab?c?d*", "日本" * 60 + "?*"):
        query = parse(pattern).wildcard.pattern
        assert _count(searcher, tantivy.Query.regex_query(schema, "body", wildcard_regex(query))) == 0
