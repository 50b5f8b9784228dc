"""Byte strings that every matching line contains."""

from __future__ import annotations

import pytest

from loganalyzer.search.v1 import query_pb2
from services.search.query import normalise, parse, tree
from services.search.query.literals import required
from services.search.query.predicate import SubjectLine, compile_predicate
from services.search.query.regex_literals import GAP, clauses_of


@pytest.mark.parametrize(
    ("query", "clauses"),
    [
        ("Error", [["error"]]),
        ("ab", []),
        ('"foo barbaz"', [["foo"], ["barbaz"]]),
        ("écoles", [["coles"]]),
        ('contains:"a-B c"', [["a-b c"]]),
        ('contains_case:"Écoles"', [["Écoles"]]),
        ('case:"Écoles Foo"', [["Écoles"], ["foo"]]),
        ("Error OR warning", [["error", "warning"]]),
        ("Error OR ab", []),
        ("(Error x) OR (warn warning)", [["error", "warning"]]),
        ("Error NOT warning", [["error"]]),
        ("cod* level:info", [["cod"]]),
        ("*code*", []),
        ("*omsedit*", [["omsedit"]]),
        ("*xyz1f", [["xyz"]]),
        ("wifi*", [["wif"]]),
        ("wifix*", [["wifix"]]),
        ("abcdef~", [["abc", "def"]]),
        ("abcde~", []),
        ("user:Bob", [["bob"], ["user"]]),
        ('msg:"Connection lost" ', [["connection lost"], ["msg"]]),
        ("size:1024", [["1024"], ["size"]]),
        ("size:>1024", [["size"]]),
        ("msg:conn*lost", [["conn"], ["lost"], ["msg"]]),
        ("NOT Error", []),
        ("time:2016", []),
    ],
)
def test_literals_of_each_node(query: str, clauses: list[list[str]]) -> None:
    found = required(normalise(parse(query)))
    assert sorted(sorted(clause) for clause in found) == sorted(
        sorted(text.encode() for text in clause) for clause in clauses
    )


@pytest.mark.parametrize(
    ("pattern", "clauses"),
    [
        ("error", [{"error"}]),
        ("error|warn", [{"error", "warn"}]),
        ("(?i)error|warn", [{"error", "warn"}]),
        ("foo.*bar", [{"foo"}, {"bar"}]),
        ("foo(bar|baz)qux", [{"foobarqux", "foobazqux"}]),
        ("foo(bar|.)qux", [{"foo"}, {"qux"}]),
        ("(foo.|bar+)x", [{"foo", "ba"}, {"x"}]),
        ("fo?o", [{"foo", "fo"}]),
        ("fo*bar", [{"f"}, {"bar"}]),
        ("(ab)+cd", [{"ab"}, {"cd"}]),
        ("(ab){3}", [{"ab"}]),
        ("(ab){0,1}c", [{"c", "abc"}]),
        ("[Ee]rror", [{"Error", "error"}]),
        ("[^e]rror", [{"rror"}]),
        ("[a-z]rror", [{"rror"}]),
        (r"\berror\b", [{"error"}]),
        (r"\x41\x{42}\103\.", [{"ABC."}]),
        (r"\Qa.b\E*c", [{"a."}, {"c"}]),
        (r"a\d+b", [{"a"}, {"b"}]),
        ("a{,3}b", [{"a{,3}b"}]),
        ("(?P<n>ab)(?:cd)(?i:e)", [{"abcde"}]),
        ("é", [{"é"}]),
        ("(?i)aé", [{"a" + GAP}]),
        ("a|", []),
        (".*", []),
        ("^$", []),
        ("(" * 60 + "a" + ")" * 60, []),
        (r"\8", []),
    ],
)
def test_literals_of_a_pattern(pattern: str, clauses: list[set[str]]) -> None:
    assert [set(clause) for clause in clauses_of(pattern, False)] == clauses


@pytest.mark.parametrize(
    ("query", "line", "clauses"),
    [
        (query_pb2.Query(cased=query_pb2.Cased(terms=["<   \u0130"])), " <   i\u0307\u0130", []),
        (query_pb2.Query(cased=query_pb2.Cased(terms=["Foo, Bar"])), "Foo/Bar", ["foo", "bar"]),
        (query_pb2.Query(term=query_pb2.Term(text="foo, BAR")), "Foo/Bar", ["foo", "bar"]),
        (query_pb2.Query(phrase=query_pb2.Phrase(terms=["-foo", "b-\u212aar", "x"])), "foo.b.Kar.x", ["foo", "kar"]),
        (tree.fuzzy("Foo, Bar", 0), "foo/bar", ["foo", "bar"]),
        (tree.fuzzy("Foo, Bar", -1), "foo/bar", ["foo", "bar"]),
        (tree.fuzzy("colourful", 2_000_000_000), "colorfuls", ["col|our|ful"]),
    ],
)
def test_literals_of_trees_that_no_text_is_parsed_to(query: query_pb2.Query, line: str, clauses: list[str]) -> None:
    """Terms of a tree may hold separators: the finding of the fuzzer with seed 614595090."""
    assert compile_predicate(query)(SubjectLine(line.encode()))
    wanted = [tuple(text.encode() for text in clause.split("|")) for clause in clauses]
    assert list(required(query)) == list(required(normalise(query))) == wanted


def test_a_clause_with_too_many_literals_is_left_out() -> None:
    words = [tree.term(f"word{number}") for number in range(100)]
    assert len(required(tree.any_of(words[:60]))[0]) == 60
    assert required(tree.any_of(words)) == ()
