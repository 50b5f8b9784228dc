"""Tokens: whom they are taken from, and what is refused. The clock stands at NOW."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kit.errors import ConfigurationError, Unauthenticated, Unavailable
from kit.server.auth import JwtAuthenticator, Principal
from kit.testing import VirtualClock
from tests.unit.server.auth.tokens import AUDIENCE, ISSUER, NOW, Issuer, bearing, call_with


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("rsa1", "ec1", "ed1")


class Served:
    """Gives out keys, and counts how often. It may be away, and wait until it is told to answer."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.asked = 0
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self) -> Mapping[str, Any]:
        self.asked += 1
        await self.answers.wait()
        if self.away:
            raise OSError("nobody answers")
        return self.issuer.jwks()


def authenticator(jwks: Any, clock: VirtualClock | None = None, **options: Any) -> JwtAuthenticator:
    return JwtAuthenticator(ISSUER, AUDIENCE, jwks=jwks, clock=clock or VirtualClock(), **options)


async def refused(authenticator: JwtAuthenticator, token: str) -> Unauthenticated:
    """The refusal of a token; the same whatever is wrong with it."""
    with pytest.raises(Unauthenticated) as refusal:
        await authenticator.authenticate(bearing(token))
    assert refusal.value.domain == "kit"
    assert len(token) < 8 or token not in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize("kid", ["rsa1", "ec1", "ed1"])
async def test_a_token_of_the_issuer_is_taken(issuer: Issuer, kid: str) -> None:
    who = await authenticator(issuer.jwks()).authenticate(bearing(issuer.token(kid, roles=["admin"], email="a@b")))
    assert who == Principal("ann", {"orders.read"}, {"admin"}, method="jwt")
    assert who is not None
    assert who.claims["email"] == "a@b"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_read_in_any_case(issuer: Issuer, scheme: str) -> None:
    call = call_with(("authorization", f"{scheme} {issuer.token('ec1')}"))
    assert await authenticator(issuer.jwks()).authenticate(call) is not None


@pytest.mark.parametrize("metadata", [(), (("authorization", "Basic abc"),), (("authorization-bin", b"Bearer x"),)])
async def test_a_call_without_a_token_is_left_to_others(issuer: Issuer, metadata: Any) -> None:
    assert await authenticator(issuer.jwks()).authenticate(call_with(*metadata)) is None


async def test_two_tokens_are_refused(issuer: Issuer) -> None:
    good = ("authorization", f"Bearer {issuer.token('ec1')}")
    with pytest.raises(Unauthenticated):
        await authenticator(issuer.jwks()).authenticate(call_with(good, good))


async def test_a_token_of_another_issuer_is_left_to_others(issuer: Issuer) -> None:
    other = Issuer("ec1", name="https://other.example")
    for token in (other.token("ec1"), forged({}, {}), forged({"alg": "none"}, {"iss": 7})):
        assert await authenticator(issuer.jwks()).authenticate(bearing(token)) is None


@pytest.mark.parametrize(
    "claims",
    [{"aud": "billing"}, {"exp": None}, {"exp": "soon"}, {"nbf": NOW + 31}, {"sub": None}, {"aud": None}],
    ids=str,
)
async def test_a_token_that_does_not_fit_is_refused_without_a_word_why(issuer: Issuer, claims: dict[str, Any]) -> None:
    refusal = await refused(authenticator(issuer.jwks()), issuer.token("ec1", **claims))
    assert (refusal.message, refusal.reason) == ("the credentials are not valid", "CREDENTIALS_INVALID")


async def test_an_expired_token_is_told_so(issuer: Issuer) -> None:
    refusal = await refused(authenticator(issuer.jwks()), issuer.token("ec1", exp=NOW - 30))
    assert refusal.reason == "ACCESS_TOKEN_EXPIRED"


async def test_an_expired_token_that_the_issuer_did_not_sign_is_told_nothing(issuer: Issuer) -> None:
    refusal = await refused(authenticator(issuer.jwks()), Issuer("ec1").token("ec1", exp=NOW - 30))
    assert refusal.reason == "CREDENTIALS_INVALID"


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


GOOD = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 600}


@pytest.mark.parametrize(
    "token",
    [
        forged({"alg": "none"}, GOOD),
        forged({"alg": "none", "kid": "rsa1"}, GOOD),
        forged({"alg": "None", "kid": "rsa1"}, GOOD),
        forged({"alg": "RS256", "kid": "rsa1"}, GOOD),
        forged({"alg": "RS256", "kid": "rsa1"}, GOOD, b"x" * 256),
        forged({"alg": ["RS256"], "kid": "rsa1"}, GOOD),
        forged({"alg": "RS256", "kid": ["rsa1"]}, GOOD),
        forged({"alg": "RS256", "kid": "nobody's"}, GOOD),
        forged({"alg": "ES256", "kid": "ec1"}, GOOD, b"\0" * 64),
        forged({"kid": "rsa1"}, GOOD),
        "", "a", "a.b", "a.b.c", "a.b.c.d", "..", "\u00e9.\u00e9.\u00e9",
        "W10.W10.", "MTI.MTI.", "ew.ew.ew",
        forged({"alg": "RS256"}, GOOD) + ".x",
        "[" * 10000 + ".x.y",
    ],
    ids=range(22),
)  # fmt: skip
async def test_a_forged_token_is_refused(issuer: Issuer, token: str) -> None:
    await refused(authenticator(issuer.jwks()), token)


async def test_a_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    public = issuer.private["rsa1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signed = forged({"alg": "HS256", "kid": "rsa1"}, GOOD).rpartition(".")[0]
    signature = base64.urlsafe_b64encode(secret.sign(signed.encode(), public)).rstrip(b"=").decode()
    await refused(authenticator(issuer.jwks()), f"{signed}.{signature}")


async def test_an_algorithm_that_is_not_listed_is_refused_though_the_key_could(issuer: Issuer) -> None:
    token = issuer.token("rsa1", algorithm="PS256")
    await refused(authenticator(issuer.jwks()), token)
    assert await authenticator(issuer.jwks(), algorithms=["PS256"]).authenticate(bearing(token)) is not None


async def test_a_key_that_is_for_another_algorithm_is_refused(issuer: Issuer) -> None:
    jwks = {"keys": [key | {"alg": "PS256"} for key in issuer.jwks()["keys"] if key["kid"] == "rsa1"]}
    await refused(authenticator(jwks, algorithms=["RS256", "PS256"]), issuer.token("rsa1"))


async def test_a_token_that_asks_for_something_unknown_is_refused(issuer: Issuer) -> None:
    parts = forged({"alg": "ES256", "kid": "ec1", "crit": ["b64"], "b64": True}, GOOD).rpartition(".")[0]
    elliptic = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    signature = elliptic.sign(parts.encode(), issuer.private["ec1"])
    token = f"{parts}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    await refused(authenticator(issuer.jwks()), token)


async def test_a_short_rsa_key_is_refused() -> None:
    weak = Issuer()
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "rsa1"}
    weak.private["rsa1"] = key
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = weak.token("rsa1")
    await refused(authenticator({"keys": [public]}), token)


async def test_a_key_set_that_shows_private_keys_is_read_as_a_public_one(issuer: Issuer) -> None:
    private = jwt.algorithms.ECAlgorithm.to_jwk(issuer.private["ec1"], as_dict=True) | {"kid": "ec1"}
    assert await authenticator({"keys": [private]}).authenticate(bearing(issuer.token("ec1"))) is not None


async def test_a_verified_token_is_known_again_until_it_expires(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    tokens = authenticator(issuer.jwks(), clock)
    token = issuer.token("ec1", exp=NOW + 100)
    first = await tokens.authenticate(bearing(token))
    monkeypatch.setattr(tokens, "_verify", None)
    assert await tokens.authenticate(bearing(token)) is first
    await clock.advance(129)
    assert await tokens.authenticate(bearing(token)) is first
    await clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        await tokens.authenticate(bearing(token))


async def test_as_many_tokens_are_remembered_as_it_says(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.server.auth._jwt._MAX_KEPT", 2)
    tokens = authenticator(issuer.jwks())
    for name in ("ann", "bob", "cid"):
        await tokens.authenticate(bearing(issuer.token("ec1", sub=name)))
    assert [who.name for who, _ in tokens._known.values()] == ["bob", "cid"]


async def test_calls_at_the_same_time_wait_for_one_fetch(issuer: Issuer) -> None:
    served = Served(issuer)
    served.answers.clear()
    tokens = authenticator(served)
    calls = [asyncio.create_task(tokens.authenticate(bearing(issuer.token("ec1")))) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calls[0].cancel()  # whoever gives up takes nothing from the others
    served.answers.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(who, Principal) for who in found[1:])
    assert served.asked == 1


async def test_a_key_that_is_new_is_fetched_but_made_up_ones_cost_one_fetch_an_interval() -> None:
    issuer, clock = Issuer("ec1"), VirtualClock()
    served = Served(issuer)
    tokens = authenticator(served, clock)
    assert await tokens.authenticate(bearing(issuer.token("ec1"))) is not None
    issuer.add("ec2")
    for _ in range(10):
        await refused(tokens, issuer.token("ec2"))
    assert served.asked == 1
    await clock.advance(10)
    assert await tokens.authenticate(bearing(issuer.token("ec2"))) is not None
    assert served.asked == 2


async def test_an_outage_of_the_issuer_keeps_the_old_keys(caplog: pytest.LogCaptureFixture) -> None:
    issuer, clock = Issuer("ec1"), VirtualClock()
    served = Served(issuer)
    tokens = authenticator(served, clock)
    await tokens.authenticate(bearing(issuer.token("ec1")))
    served.away = True
    await clock.advance(301)
    with caplog.at_level(logging.WARNING):
        assert await tokens.authenticate(bearing(issuer.token("ec1", sub="bob"))) is not None
        await asyncio.sleep(0)
        assert await tokens.authenticate(bearing(issuer.token("ec1", sub="cid"))) is not None
    assert served.asked == 2
    assert "nobody answers" in caplog.text
    issuer.add("ec2")
    with pytest.raises(Unavailable, match="cannot be had now"):
        await tokens.authenticate(bearing(issuer.token("ec2")))


async def test_before_the_first_keys_a_call_is_told_to_come_back() -> None:
    issuer, clock = Issuer("ec1"), VirtualClock()
    served = Served(issuer)
    served.away = True
    tokens = authenticator(served, clock)
    for _ in range(3):
        with pytest.raises(Unavailable) as refusal:
            await tokens.authenticate(bearing(issuer.token("ec1")))
        assert refusal.value.reason == "KEYS_UNAVAILABLE"
    assert served.asked == 1
    served.away = False
    await clock.advance(10)
    assert await tokens.authenticate(bearing(issuer.token("ec1"))) is not None


async def test_old_keys_are_fetched_beside_the_calls() -> None:
    issuer, clock = Issuer("ec1"), VirtualClock()
    served = Served(issuer)
    tokens = authenticator(served, clock)
    await tokens.authenticate(bearing(issuer.token("ec1")))
    await clock.advance(301)
    served.answers.clear()
    assert await tokens.authenticate(bearing(issuer.token("ec1", sub="bob"))) is not None
    served.answers.set()


async def test_a_key_that_was_taken_back_takes_its_tokens_with_it() -> None:
    issuer, clock = Issuer("ec1", "ec2"), VirtualClock()
    served = Served(issuer)
    tokens = authenticator(served, clock)
    stolen = issuer.token("ec1")
    assert await tokens.authenticate(bearing(stolen)) is not None
    issuer.remove("ec1")
    await clock.advance(301)
    await tokens.authenticate(bearing(issuer.token("ec2")))  # whose keys are old by now
    for _ in range(5):
        await asyncio.sleep(0)
    await refused(tokens, stolen)


async def test_keys_come_from_a_file(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    assert await authenticator(file).authenticate(bearing(issuer.token("ed1"))) is not None
    with pytest.raises(Unavailable):
        await authenticator(tmp_path / "none").authenticate(bearing(issuer.token("ed1")))


async def test_no_token_is_in_the_log(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for token in (issuer.token("ec1", aud="x"), Issuer("ec1").token("ec1"), "secret.secret.secret"):
            await refused(authenticator(issuer.jwks()), token)
            assert caplog.records
            assert not any(part in caplog.text for part in token.split("."))


@pytest.mark.parametrize(
    ("jwks", "words"),
    [
        ("http://issuer.example/keys", "keys come over https"),
        ("http://127.0.0.1.evil.example/keys", "keys come over https"),
        ({"keys": []}, "no public key"),
        ({}, "no JWK set"),
        ("", "give a URL"),
        (None, "give a URL"),
        (7, "give a URL"),
    ],
)
def test_what_can_give_no_keys_is_refused(jwks: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        authenticator(jwks)


@pytest.mark.parametrize("wrong", [{"max_age": -1}, {"min_interval": "x"}, {"algorithms": ["HS256"]}, {"leeway": 1e9}])
def test_what_cannot_be_meant_is_refused(issuer: Issuer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="jwt: "):
        authenticator(issuer.jwks(), **wrong)


def test_without_the_library_it_says_what_to_install(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jwt", None)
    with pytest.raises(ConfigurationError, match=r"grpc-service-kit\[auth\]"):
        authenticator(issuer.jwks())


async def test_a_token_of_which_one_character_is_another_is_no_token(issuer: Issuer) -> None:
    tokens, token = authenticator(issuer.jwks()), issuer.token("ec1")
    assert await tokens.authenticate(bearing(token)) is not None
    for place, was in enumerate(token):
        for other in {"A", "-", "."} - {was}:
            try:
                who = await tokens.authenticate(bearing(token[:place] + other + token[place + 1 :]))
            except Unauthenticated:
                who = None
            assert who is None, place
