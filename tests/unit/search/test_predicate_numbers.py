"""Numbers of fields that a reader of JSON rounds."""

from __future__ import annotations

import pytest

from tests.unit.search.test_predicate import matches

_LARGE, _LONG = '{"a":18446744073709551616}', '{"a":52.520006599999998123}'


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("a:18446744073709551616", _LARGE),
        ("a:18446744073709551616.0", _LARGE),
        ("a:1.8446744073709552e19", _LARGE),
        ("a:18446744073709551616..18446744073709551616", _LARGE),
        ("a:>18446744073709551615", '{"a":18446744073709555712}'),
        ("a:-9223372036854775809", '{"a":-9223372036854775809}'),
        ("a:52.520006599999998123", _LONG),
        ("a:52.520006599999998123..52.520006599999998123", _LONG),
        ("a:52.520006599999995", _LONG),
        ("a:52.520006599999998123", '{"a":52.520006599999995}'),
        ("a:0.1000000000000000000001", '{"a":[0,0.1000000000000000000001]}'),
        ("a:9007199254740993.0", '{"a":9007199254740993.0}'),
        (f"a:0.{'1' * 500}", f'{{"a":0.{"1" * 500}}}'),
        ("a:<1e400", _LARGE),
        # These are not rounded.
        ("a:18446744073709551616", '{"a":"18446744073709551616"}'),
        ("a:52.520006599999998123", "a=52.520006599999998123"),
        ("a:<9007199254740993", '{"a":9007199254740992}'),
        ("a:<52.520006599999998123", "a=52.520006599999995"),
    ],
)
def test_numbers_that_json_rounds_are_rounded_in_the_query_too(query: str, line: str) -> None:
    assert matches(query, line)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("a:18446744073709555712", _LARGE),
        ("a:>18446744073709551616", _LARGE),
        ("a:<18446744073709551616", _LARGE),
        ("a:9007199254740993", '{"a":9007199254740992}'),
        ("a:52.52000660000001", _LONG),
        ("a:1e400", _LARGE),
        ("a:>1e400", _LARGE),
    ],
)
def test_other_numbers_than_those_that_json_rounds_are_not_found(query: str, line: str) -> None:
    assert not matches(query, line)
