"""Clients that are known by the certificate of their connection."""

from __future__ import annotations

from typing import Any

import pytest

from kit.auth import PeerCertificate, Principal
from kit.errors import ConfigurationError
from kit.server.auth._peer import NOBODY, Peer, Peers
from tests.unit.server.auth.tokens import FakeConnection, call_with

SEARCH = "spiffe://shop.example/ns/a/sa/search"
RULES: dict[str, Any] = {
    "spiffe://shop.example/ns/*/sa/search": ("orders.read",),
    "*.ops.example": Principal("ops", {"orders.write"}, {"admin"}),
}


async def known(*uris: str, dns: tuple[str, ...] = ()) -> Principal | None:
    return await PeerCertificate(RULES).authenticate(call_with(connection=FakeConnection(uris, dns)))


async def test_a_name_is_worth_scopes_or_a_principal() -> None:
    assert await known(SEARCH) == Principal(SEARCH, {"orders.read"}, method="certificate")
    ops = Principal("ops", {"orders.write"}, {"admin"}, method="certificate")
    assert await known(dns=("x.example", "a.ops.example")) == ops


async def test_the_first_rule_that_matches_holds() -> None:
    who = await known(SEARCH, dns=("a.ops.example",))
    assert who is not None
    assert who.name == SEARCH


async def test_whoever_no_rule_is_about_is_left_to_others() -> None:
    assert await known() is None
    assert await known("spiffe://shop.example/ns/a/sa/billing", dns=("ops.example",)) is None


async def test_a_connection_is_judged_by_its_own_certificate() -> None:
    certificates = PeerCertificate(RULES)
    for uri, name in ((SEARCH, SEARCH), ("spiffe://x.example/y", None), (SEARCH, SEARCH)):
        who = await certificates.authenticate(call_with(connection=FakeConnection((uri,))))
        assert (who and who.name) == name


async def test_as_many_peers_are_kept_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.server.auth._peer._MAX_KEPT", 2)
    monkeypatch.setattr("kit.server.auth._peer_certificate._MAX_KEPT", 2)
    certificates = PeerCertificate(RULES)
    for number in range(9):
        await certificates.authenticate(call_with(connection=FakeConnection((f"spiffe://shop.example/{number}",))))
    assert len(certificates._known) <= 2
    assert len(certificates._peers._known) <= 2


def test_names_are_read_once_for_each_certificate() -> None:
    peers = Peers()
    assert peers.of(FakeConnection()) is NOBODY
    first = peers.of(FakeConnection((SEARCH,), ("a.example", "b.example")))
    assert first == Peer((SEARCH,), ("a.example", "b.example"))
    assert str(first) == f"{SEARCH}, a.example, b.example"
    assert peers.of(FakeConnection((SEARCH,), ("a.example", "b.example"))) is first


def test_a_name_that_is_no_ascii_is_no_name() -> None:
    connection = FakeConnection((SEARCH, "spiffe://shop.\u00e9xample/x"), pem=b"p")
    assert Peers().of(connection).uris == (SEARCH,)
    assert str(Peers().of(FakeConnection(pem=b"p"))) == "nobody"


@pytest.mark.parametrize(
    "rules", [{}, [SEARCH], None, {"*": ()}, {SEARCH: "orders.read"}, {SEARCH: [7]}, {SEARCH: None}, {7: ()}]
)
def test_rules_that_cannot_be_meant_are_refused(rules: Any) -> None:
    with pytest.raises(ConfigurationError):
        PeerCertificate(rules)
