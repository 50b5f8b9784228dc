"""Patterns of names in certificates."""

from __future__ import annotations

from typing import Any

import pytest

from kit.errors import ConfigurationError
from kit.server.auth._names import NamePattern, first_match, patterns

SEARCH = "spiffe://shop.example/ns/a/sa/search"


@pytest.mark.parametrize(
    ("pattern", "uri"),
    [
        (SEARCH, SEARCH),
        ("spiffe://shop.example/ns/*/sa/search", SEARCH),
        ("spiffe://shop.example/ns/a/sa/s*", SEARCH),
        ("spiffe://shop.example/**", SEARCH),
        ("spiffe://shop.example/ns/a/**", SEARCH),
    ],
)
def test_a_uri_matches(pattern: str, uri: str) -> None:
    assert NamePattern.of(pattern).matches(uri, True)


@pytest.mark.parametrize(
    ("pattern", "uri"),
    [
        (SEARCH, f"{SEARCH}/x"),
        (SEARCH, f"x{SEARCH}"),
        (SEARCH, SEARCH.upper()),
        (SEARCH, f"{SEARCH}\n"),
        ("spiffe://shop.example/ns/*/sa/search", "spiffe://shop.example/ns/a/b/sa/search"),
        ("spiffe://shop.example/ns/*/sa/search", "spiffe://shop.example/ns//sa/search"),
        ("spiffe://shop.example/**", "spiffe://shop.example.evil/x"),
        ("spiffe://shop.example/**", "spiffe://shop.example"),
        ("spiffe://shop.example/**", "spiffe://shop.example/"),
        ("spiffe://shop.example/a.b", "spiffe://shop.example/aXb"),
    ],
)
def test_another_uri_does_not(pattern: str, uri: str) -> None:
    assert not NamePattern.of(pattern).matches(uri, True)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("search.default.svc", "search.default.svc", True),
        ("dns:search.default.svc", "Search.Default.SVC", True),
        ("client-a", "client-a", True),
        ("*.default.svc", "search.default.svc", True),
        ("*.default.svc", "a.search.default.svc", False),
        ("*.default.svc", "default.svc", False),
        ("*.default.svc", ".default.svc", False),
        ("search.default.svc", "search.default.svc.evil", False),
        ("search.default.svc", "searchXdefault.svc", False),
        ("client-a", "client-a\n", False),
    ],
)
def test_a_dns_name_matches_label_by_label(pattern: str, name: str, matches: bool) -> None:
    assert NamePattern.of(pattern).matches(name, False) is matches


def test_a_name_of_one_kind_is_none_of_the_other() -> None:
    assert not NamePattern.of(SEARCH).matches(SEARCH, False)
    assert not NamePattern.of("client-a").matches("client-a", True)
    assert first_match(patterns(["client-a"], "x"), ("client-a",), ()) is None


def test_the_first_pattern_that_matches_holds() -> None:
    allowed = patterns(["client-b", "*.svc", "a.svc"], "x")
    found = first_match(allowed, (), ("a.svc", "client-b"))
    assert found == (allowed[0], "client-b")


@pytest.mark.parametrize(
    "text",
    [
        "", " client", None, 7, "*", "*.*", "a..b", "-a", "a b", "http:/x", "spiffe://", "spiffe:///x", "*://shop/x",
        "spiffe://*/ns/a", "spiffe://shop.example/**/x", "spiffe://shop.example/***", "spiffe://shop.example**",
        "cn:a/b",
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="names: "):
        NamePattern.of(text)


@pytest.mark.parametrize("texts", ["client-a", 7])
def test_one_text_is_no_list_of_patterns(texts: Any) -> None:
    with pytest.raises(ConfigurationError, match="tls: allowed_names: give a list"):
        patterns(texts, "tls: allowed_names")
