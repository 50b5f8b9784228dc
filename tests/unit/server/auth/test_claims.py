"""What a verified token says, held against what is expected."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kit.errors import ConfigurationError
from kit.server.auth._claims import Claims, Refused, claims_of

RULES = claims_of(("orders", "all"), issuer="https://issuer.example", leeway=30.0)
GOOD = {"iss": "https://issuer.example", "aud": "orders", "sub": "ann", "exp": 1000}


def test_a_token_is_good_until_it_expires_and_clocks_may_differ() -> None:
    assert RULES.check(GOOD, 900) == 1030
    assert RULES.check(GOOD, 1029.9) == 1030
    with pytest.raises(Refused) as refusal:
        RULES.check(GOOD, 1030)
    assert refusal.value.expired


@pytest.mark.parametrize("audience", ["orders", "all", ["x", "orders"], ["all"]])
def test_one_of_the_audiences_is_enough(audience: object) -> None:
    assert RULES.check(GOOD | {"aud": audience}, 0)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://issuer.example/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"iss": ["https://issuer.example"]}, "another issuer"),
        ({"aud": "order"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": [7, ["orders"]]}, "another audience"),
        ({"aud": {"orders": 1}}, "another audience"),
        ({"exp": None}, "exp is no time"),
        ({"exp": "2000"}, "exp is no time"),
        ({"exp": math.nan}, "exp is no time"),
        ({"exp": math.inf}, "exp is no time"),
        ({"exp": 10**400}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"nbf": 931}, "nbf is in the future"),
        ({"nbf": math.nan}, "nbf is no time"),
        ({"iat": 931}, "iat is in the future"),
    ],
)
def test_what_does_not_fit_is_refused(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as refusal:
        RULES.check(GOOD | claims, 900)
    assert (refusal.value.why, refusal.value.expired) == (why, False)


def test_what_is_not_there_is_refused() -> None:
    for name in ("iss", "aud", "exp"):
        with pytest.raises(Refused):
            RULES.check({key: value for key, value in GOOD.items() if key != name}, 900)


def test_a_time_in_the_future_is_taken_within_the_leeway() -> None:
    assert RULES.check(GOOD | {"nbf": 930, "iat": 930}, 900)


def test_scopes_and_roles_are_words_or_lists() -> None:
    who = RULES.principal(GOOD | {"scope": "a b", "scp": ["c", 7, ""], "roles": ["admin"]})
    assert (who.name, who.method) == ("ann", "jwt")
    assert who.scopes == {"a", "b", "c"}
    assert who.roles == {"admin"}
    assert RULES.principal(GOOD | {"scope": 7, "roles": {"a": 1}}).scopes == frozenset()


def test_a_claim_may_be_a_path_or_have_dots_in_its_name() -> None:
    nested = Claims(issuer="i", audience=frozenset("a"), leeway=0, roles="realm_access.roles", name="client_id")
    said = {"client_id": "search", "realm_access": {"roles": ["admin"]}}
    assert nested.principal(said).roles == {"admin"}
    dotted = Claims(issuer="i", audience=frozenset("a"), leeway=0, roles="https://shop.example/roles")
    assert dotted.principal({"sub": "x", "https://shop.example/roles": ["admin"]}).roles == {"admin"}
    assert nested.principal({"client_id": "x", "realm_access": "admin"}).roles == frozenset()


@pytest.mark.parametrize("sub", [None, "", 7, ["ann"]])
def test_a_token_about_nobody_is_refused(sub: object) -> None:
    with pytest.raises(Refused, match="no sub"):
        RULES.principal(GOOD | {"sub": sub})


def test_what_a_token_says_is_not_shown_with_the_principal() -> None:
    assert "secret" not in repr(RULES.principal(GOOD | {"email": "secret"}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""}, {"issuer": None}, {"audience": ""}, {"audience": ()}, {"audience": (7,)}, {"leeway": -1},
        {"leeway": 301}, {"leeway": math.nan}, {"leeway": "1"},
    ],
)  # fmt: skip
def test_what_cannot_be_expected_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="jwt: "):
        claims_of(**({"audience": "a", "issuer": "i", "leeway": 1.0} | wrong))  # type: ignore[arg-type]
