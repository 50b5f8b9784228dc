"""The keys of an issuer, which of them a token may be signed with, and when they are fetched."""

from __future__ import annotations

from typing import Any

import pytest

from kit.errors import ConfigurationError
from kit.server.auth._freshness import Freshness
from kit.server.auth._keys import ALGORITHMS, KeySet, check_algorithms

RSA = {"kty": "RSA", "kid": "r", "n": "x", "e": "AQAB"}
P256, P384 = {"kty": "EC", "crv": "P-256", "kid": "e"}, {"kty": "EC", "crv": "P-384", "kid": "e384"}
ED = {"kty": "OKP", "crv": "Ed25519", "kid": "d"}


def keys(*documents: object) -> KeySet:
    return KeySet({"keys": list(documents)})


@pytest.mark.parametrize(
    ("document", "served"),
    [
        (RSA, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (RSA | {"alg": "RS256"}, {"RS256"}),
        (RSA | {"alg": "HS256"}, set()),
        (P256, {"ES256"}),
        (P384, {"ES384"}),
        (P256 | {"crv": None}, set()),
        (ED, {"EdDSA"}),
        (ED | {"crv": "X25519"}, set()),
    ],
)
def test_a_key_serves_the_algorithms_of_its_kind(document: dict[str, Any], served: set[str]) -> None:
    found = keys(document)
    assert {algorithm for algorithm in ALGORITHMS if found.find(document["kid"], algorithm) is not None} == served


def test_a_key_is_found_by_its_name() -> None:
    found = keys(RSA, RSA | {"kid": "r2"}, P256)
    assert [getattr(found.find(kid, "RS256"), "kid", None) for kid in ("r", "r2", "e", "z", "")] == [
        "r", "r2", None, None, None,
    ]  # fmt: skip


def test_a_token_that_names_no_key_gets_the_only_one_of_its_kind() -> None:
    found = keys(RSA, RSA | {"kid": "r2"}, P256)
    only = found.find(None, "ES256")
    assert only is not None
    assert only.kid == "e"
    assert found.find(None, "RS256") is None


@pytest.mark.parametrize(
    "document",
    [
        {"kty": "oct", "k": "c2VjcmV0"}, RSA | {"use": "enc"}, RSA | {"key_ops": ["sign"]}, {"kid": "r"}, "RSA", None,
        {"kty": ["RSA"]},
    ],
)  # fmt: skip
def test_what_signs_no_tokens_is_passed_over(document: object) -> None:
    assert len(keys(document, P256)) == 1
    with pytest.raises(ValueError, match="no public key"):
        keys(document)


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": "x"}, "x", 7])
def test_what_is_no_set_of_keys_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="no JWK set"):
        KeySet(document)


@pytest.mark.parametrize("algorithms", [["none"], ["HS256"], ["RS256", "hs512"], [], [7], "RS"])
def test_algorithms_without_a_public_key_are_refused(algorithms: Any) -> None:
    with pytest.raises(ConfigurationError, match="never with a shared secret or none"):
        check_algorithms(algorithms)


def test_one_algorithm_may_be_given_by_itself() -> None:
    assert check_algorithms("RS256") == {"RS256"}


def test_keys_are_fetched_when_one_is_missing_but_not_more_often_than_that() -> None:
    freshness = Freshness(max_age=300, min_interval=10)
    assert freshness.due(0, found=False)
    freshness.began(0)
    freshness.ended(1, good=True)
    assert not freshness.due(9.9, found=False)
    assert freshness.due(10, found=False)
    assert not freshness.failed


def test_keys_that_are_there_are_fetched_again_when_they_are_old() -> None:
    freshness = Freshness(max_age=300, min_interval=10)
    freshness.began(0)
    freshness.ended(1, good=True)
    assert not freshness.due(300.9, found=True)
    assert freshness.due(301, found=True)


def test_after_a_failure_the_next_fetch_waits_as_long_as_after_a_success() -> None:
    freshness = Freshness(max_age=0, min_interval=10)
    freshness.began(0)
    freshness.ended(1, good=False)
    assert freshness.failed
    assert not freshness.due(9.9, found=True)
    assert freshness.due(10, found=True)
    freshness.began(10)
    freshness.ended(10, good=True)
    assert not freshness.failed
