"""Keys that programs are given, and the file that has their digests."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from kit.auth import ApiKeys, Principal, digest_of
from kit.errors import ConfigurationError, Unauthenticated
from kit.testing import VirtualClock
from tests.unit.server.auth.tokens import call_with

BILLING = Principal("billing", {"orders.read"}, {"machine"})


def bringing(key: str, header: str = "x-api-key") -> Any:
    return call_with(("user-agent", "grpc"), (header, key))


def entry(name: str, *keys: str, scopes: str = "[]") -> str:
    digests = [digest_of(key) for key in keys]
    return f"[{name}]\nsha256 = {digests if len(digests) != 1 else repr(digests[0])}\nscopes = {scopes}\n"


async def test_whoever_brings_a_key_is_its_principal() -> None:
    keys = ApiKeys({digest_of("k1"): BILLING, digest_of("k2").upper(): Principal("ops")})
    who = await keys.authenticate(bringing("k1"))
    assert who == Principal("billing", {"orders.read"}, {"machine"}, method="api_key")
    assert (await keys.authenticate(bringing("k2"))) == Principal("ops", method="api_key")


async def test_a_call_without_a_key_is_left_to_others() -> None:
    assert await ApiKeys({digest_of("k1"): BILLING}).authenticate(bringing("k1", "authorization")) is None


async def test_the_key_may_come_by_another_name() -> None:
    keys = ApiKeys({digest_of("k1"): BILLING}, header="x-shop-key")
    assert await keys.authenticate(bringing("k1", "x-shop-key")) is not None
    assert await keys.authenticate(bringing("k1")) is None


@pytest.mark.parametrize("key", ["", "k", "k10", "K1", "k1 ", "\udcff", digest_of("k1"), "x" * 10_000])
async def test_a_key_that_is_not_known_is_refused_with_one_text(key: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await ApiKeys({digest_of("k1"): BILLING}).authenticate(bringing(key))
    assert (refusal.value.message, refusal.value.reason) == ("the credentials are not valid", "CREDENTIALS_INVALID")


async def test_two_keys_are_refused() -> None:
    keys = ApiKeys({digest_of("k1"): BILLING})
    with pytest.raises(Unauthenticated):
        await keys.authenticate(call_with(("x-api-key", "k1"), ("x-api-key", "k1")))


async def test_digests_are_compared_in_full_whether_or_not_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("kit.server.auth._api_keys.hmac.compare_digest", compare)
    keys = ApiKeys({digest_of("k1"): BILLING})
    await keys.authenticate(bringing("k1"))
    with pytest.raises(Unauthenticated):
        await keys.authenticate(bringing("k2"))
    assert compared == [(32, 32), (32, 32)]


async def test_no_key_is_as_good_as_the_digest_that_stands_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.server.auth._api_keys._NOBODYS", bytes.fromhex(digest_of("lucky")))
    with pytest.raises(Unauthenticated):
        await ApiKeys({digest_of("k1"): BILLING}).authenticate(bringing("lucky"))


async def test_keys_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(entry("billing", "k1", scopes='["orders.read"]') + entry("ops", "k2", "k3") + 'roles = ["admin"]\n')
    keys = ApiKeys(file)
    assert (await keys.authenticate(bringing("k1"))) == Principal("billing", {"orders.read"}, method="api_key")
    for key in ("k2", "k3"):
        assert (await keys.authenticate(bringing(key))) == Principal("ops", roles={"admin"}, method="api_key")


async def test_a_key_that_is_taken_out_of_the_file_is_refused_a_second_later(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys.toml", VirtualClock()
    file.write_text(entry("billing", "k1"))
    keys = ApiKeys(file, clock=clock)
    await clock.advance(1)
    assert await keys.authenticate(bringing("k1")) is not None
    file.write_text(entry("billing", "k2-is-longer"))
    assert await keys.authenticate(bringing("k1")) is not None
    await clock.advance(1)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(bringing("k1"))
    assert await keys.authenticate(bringing("k2-is-longer")) is not None


async def test_a_file_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys.toml", VirtualClock()
    file.write_text(entry("billing", "k1"))
    keys = ApiKeys(file, clock=clock)
    file.write_text(entry("billing", "k1") + entry("ops", "k2"))
    clock.shift_wall(file.stat().st_mtime - clock.wall() - 0.5)
    await clock.advance(1)  # half a second after it was written
    with pytest.raises(Unauthenticated):
        await keys.authenticate(bringing("k2"))
    await clock.advance(1)
    assert await keys.authenticate(bringing("k2")) is not None


@pytest.mark.parametrize("content", ["nonsense", "", None])
async def test_a_file_that_is_no_good_leaves_the_former_keys(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "keys.toml", VirtualClock()
    file.write_text(entry("billing", "k1"))
    keys = ApiKeys(file, clock=clock)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    await clock.advance(1)
    with caplog.at_level(logging.ERROR):
        assert await keys.authenticate(bringing("k1")) is not None
    assert "the former ones stay" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("nonsense", "no TOML"),
        ("", "no keys"),
        ("billing = 1", "has sha256"),
        ("[billing]\nscopes = []", "has sha256"),
        ("[billing]\nsha256 = 'k1'", "64 hexadecimal digits"),
        ("[billing]\nsha256 = ['k1']", "64 hexadecimal digits"),
        ("[billing]\nsha256 = 7", "64 hexadecimal digits"),
        (f"[billing]\nsha256 = '{'0 ' * 32}'", "64 hexadecimal digits"),
        (f"[billing]\nsha256 = '{'g' * 64}'", "64 hexadecimal digits"),
        (entry("billing", "k1") + "key = 'k1'", "has sha256"),
        (entry("billing", "k1", scopes="'orders'"), "scopes is a list"),
        (entry("billing", "k1", scopes="['']"), "scopes is a list"),
        (entry("billing", "k1") + entry("ops", "k1"), "has a key that another one has"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=words) as refusal:
        ApiKeys(file)
    assert "k1" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        ApiKeys(tmp_path / "none")


@pytest.mark.parametrize("header", ["", "X-Api-Key", "x-key-bin"])
def test_a_header_that_cannot_come_is_refused(header: str) -> None:
    with pytest.raises(ConfigurationError, match="in lower case"):
        ApiKeys({digest_of("k1"): BILLING}, header=header)


@pytest.mark.parametrize("keys", [{digest_of("k1"): "billing"}, {"k1": BILLING}, {}, 7])
def test_keys_that_cannot_be_meant_are_refused(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match="api keys: "):
        ApiKeys(keys)


@pytest.mark.parametrize("wrong", [("",), (None,), ("a", "scope"), ("a", {""}), ("a", {7}), ("a", {"s"}, "role")])
def test_a_principal_that_cannot_be_meant_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="principal"):
        Principal(*wrong)
