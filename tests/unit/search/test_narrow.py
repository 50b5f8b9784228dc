"""What an index over terms is asked of a query."""

from __future__ import annotations

import pytest

from services.search.query import normalise, parse, render
from services.search.query.explain import Step, steps
from services.search.query.narrow import narrow
from services.search.query.tree import EVERYTHING, Query


@pytest.mark.parametrize(
    ("query", "narrowed"),
    [
        ("contains:edi", ""),
        ('contains:"x failed password y"', '"failed password"'),
        ('contains:" failed "', "failed"),
        ('contains:" ι a "', "a"),
        ('contains_case:" ι a "', '"ι a"'),
        ("/error/", ""),
        ("/^x failed .* for root .* y/", 'failed AND "for root"'),
        ("/ (failed|closed) .* root /", "root AND (closed OR failed)"),
        ("/ (failed|.*) /", ""),
        ("/( failed )?/", ""),
        ("case:Failed", "failed"),
        ('case:"Failed Password"', '"failed password"'),
        ("user:bob", "bob AND user"),
        ("user.id:42", "42 AND id AND user"),
        ("user.id:5e1", "id AND user"),
        ("user.id:>42", "id AND user"),
        ("user:*", "user"),
        ("user:bo*", "user AND bo*"),
        ("user:*ob", "user"),
        ("user:é*", "user"),
        ('user:"école b"', "b AND user"),
        ("a NOT contains:b", "a"),
        ("a OR contains:b", ""),
        ("NOT (a OR contains:b)", "NOT a"),
        ("NOT (a contains:b)", ""),
        ("NOT NOT user:bob", "bob AND user"),
    ],
)
def test_what_asks_for_more_becomes_the_terms_that_every_line_holds(query: str, narrowed: str) -> None:
    found = narrow(normalise(parse(query)))
    assert (render(found.query), found.exact) == (render(normalise(parse(narrowed))), False)


@pytest.mark.parametrize("query", ["a", '"a b"', "cod*", "a~2", "NOT a level:info", "source_id:x OR time:2016", ""])
def test_what_an_index_answers_stays_as_it_is(query: str) -> None:
    normal = normalise(parse(query))
    found = narrow(normal)
    assert (found.query, found.exact) == (normal, True)


def test_a_word_behind_what_may_be_an_escape_is_also_looked_for_with_it() -> None:
    found = render(narrow(parse('msg:"a\nfoo"')).query)
    assert "(foo OR bfoo OR ffoo OR nfoo OR rfoo OR tfoo OR u????foo)" in found


def test_steps_go_from_cheap_and_rare_to_what_reads_every_line() -> None:
    counts = {"common": 1000, "rare": 3, "level:>=warn": 50, "bob AND user": 7}

    def estimate(part: Query) -> int:
        return counts[render(part)]

    found = steps(parse("/x/i common contains:password rare user:bob level:>=warn"), estimate)
    assert found == [
        Step("level:>=warn", "index of levels", 50),
        Step("rare", "index", 3),
        Step("common", "index", 1000),
        Step("user:bob", "index for bob AND user, block index, then reading", 7),
        Step('contains:"password"', "block index, then reading", -1),
        Step('contains:"x"', "reading every line", -1),
    ]


def test_a_query_of_one_part_has_one_step() -> None:
    assert steps(EVERYTHING, lambda part: 12) == [Step("every line", "no condition", 12)]
    assert steps(parse("a NOT a"), lambda part: 12) == [Step("level:>fatal", "nothing can match", 0)]
