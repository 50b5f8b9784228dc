"""Who may call what: the rules that follow from a policy, and the layers that keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import kit
from kit.auth import ApiKeys, Principal, digest_of
from kit.errors import ConfigurationError, PermissionDenied, Unauthenticated
from kit.pipeline import Shape
from kit.policy import policy_for
from kit.server._authenticate import AuthenticateLayer, PeerNamesLayer, authentication, check_guarded, is_ignored
from kit.server._authorise import AuthoriseLayer
from kit.server._call import Handler, ServerCall, ServerMethod, compose
from kit.server.auth._rules import Access, access_of
from tests.unit.server.auth.tokens import FakeConnection, call_with

GET, HEALTH = "/shop.v1.Orders/Get", "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def method(path: str = GET, auth: Mapping[str, kit.AuthPolicy] | kit.AuthPolicy | None = None) -> ServerMethod:
    table = auth if isinstance(auth, Mapping) else {} if auth is None else {GET: auth}
    policy = {key: kit.MethodPolicy(auth=value) for key, value in table.items()}
    return ServerMethod(path, Shape.UNARY_UNARY, policy_for(path, policy))


class Known:
    """Knows everybody by what they say."""

    def __init__(self, scopes: str = "", roles: str = "") -> None:
        self.scopes, self.roles = frozenset(scopes.split()), frozenset(roles.split())

    async def authenticate(self, call: ServerCall) -> Principal | None:
        said = dict(call.metadata).get("name")
        if said == "wrong":
            raise Unauthenticated("no")
        return Principal(str(said), self.scopes, self.roles) if said else None


async def served(call: ServerCall) -> str:
    who = kit.principal()
    assert call.principal == who
    return "nobody" if who is None else who.name


def handler(given: ServerMethod, *authenticators: Any) -> Handler:
    return compose([AuthenticateLayer(authenticators), AuthoriseLayer()], given, served)


NAMED = call_with(("name", "ann"))


@pytest.mark.parametrize(
    ("path", "auth", "access"),
    [
        (GET, None, Access()),
        (GET, kit.AuthPolicy(public=True), Access(public=True)),
        (GET, kit.AuthPolicy(public=False), Access(declared=True)),
        (GET, kit.AuthPolicy(scopes=("a",)), Access(scopes=frozenset("a"), declared=True)),
        (GET, kit.AuthPolicy(roles=("a", "b")), Access(roles=frozenset("ab"), declared=True)),
        (GET, {"*": kit.AuthPolicy(scopes=("a",))}, Access(scopes=frozenset("a"), declared=True)),
        (HEALTH, None, Access(public=True)),
        (REFLECT, None, Access(public=True)),
        (HEALTH, {"*": kit.AuthPolicy(scopes=("a",))}, Access(public=True)),
        (HEALTH, {HEALTH: kit.AuthPolicy(public=False)}, Access(declared=True)),
        (
            REFLECT,
            {"*": kit.AuthPolicy(roles=("b",)), REFLECT.rpartition("/")[0] + "/*": kit.AuthPolicy(scopes=("a",))},
            Access(scopes=frozenset("a"), roles=frozenset("b"), declared=True),
        ),
        ("/grpc.health.v1.Healthy/Check", None, Access()),
    ],
)
def test_what_a_method_asks_follows_from_its_policy(path: str, auth: Any, access: Access) -> None:
    assert access_of(method(path, auth)) == access


async def test_a_method_without_rules_needs_somebody() -> None:
    handle = handler(method(), Known())
    assert await handle(NAMED) == "ann"
    with pytest.raises(Unauthenticated) as refusal:
        await handle(call_with())
    assert (refusal.value.reason, refusal.value.domain) == ("CREDENTIALS_MISSING", "kit")


@pytest.mark.parametrize("given", [method(auth=kit.AuthPolicy(public=True)), method(HEALTH), method(REFLECT)])
def test_a_public_method_goes_without_the_layers(given: ServerMethod) -> None:
    assert handler(given, Known()) is served


async def test_the_first_that_knows_the_caller_decides() -> None:
    class Later:
        async def authenticate(self, call: ServerCall) -> Principal | None:
            raise AssertionError("it was asked")

    assert await handler(method(), Known(), Later())(NAMED) == "ann"
    with pytest.raises(Unauthenticated, match="no"):
        await handler(method(), Known(), Later())(call_with(("name", "wrong")))
    with pytest.raises(AssertionError, match="it was asked"):
        await handler(method(), Known(), Later())(call_with())


async def test_all_scopes_are_needed_and_those_that_are_missing_are_named() -> None:
    given = method(auth=kit.AuthPolicy(scopes=("orders.write", "orders.read", "a")))
    assert await handler(given, Known("a orders.read orders.write more"))(NAMED) == "ann"
    with pytest.raises(PermissionDenied, match=r"needs the scope orders\.read orders\.write, which") as refusal:
        await handler(given, Known("a orders"))(NAMED)
    assert (refusal.value.reason, refusal.value.metadata) == ("SCOPE_MISSING", {"scopes": "orders.read orders.write"})


async def test_one_role_is_enough_beside_all_scopes() -> None:
    given = method(auth=kit.AuthPolicy(scopes=("a",), roles=("admin", "clerk")))
    assert await handler(given, Known("a", "clerk"))(NAMED) == "ann"
    with pytest.raises(PermissionDenied, match="one of the roles admin clerk") as refusal:
        await handler(given, Known("a", "guest"))(NAMED)
    assert (refusal.value.reason, refusal.value.metadata) == ("ROLE_MISSING", {"roles": "admin clerk"})
    with pytest.raises(PermissionDenied, match="needs the scope a"):
        await handler(given, Known("", "admin"))(NAMED)


async def test_without_authenticators_a_method_that_asks_for_somebody_is_refused() -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await handler(method(auth=kit.AuthPolicy(scopes=("a",))))(NAMED)
    assert refusal.value.reason == "AUTHENTICATION_NOT_CONFIGURED"
    assert handler(method()) is served


async def test_a_handler_outside_of_a_call_knows_nobody() -> None:
    assert kit.principal() is None


async def test_a_client_whose_certificate_has_none_of_the_names_is_denied() -> None:
    handle = PeerNamesLayer(["search.svc", "spiffe://shop.example/**"]).wrap(method(HEALTH), served)
    for _ in range(2):
        assert await handle(call_with(connection=FakeConnection(dns=("search.svc",)))) == "nobody"
        for connection, name in (
            (FakeConnection(dns=("billing.svc",)), r"billing\.svc"),
            (FakeConnection(pem=b"x"), "a certificate without names"),
        ):
            with pytest.raises(PermissionDenied, match=f"from {name}") as refusal:
                await handle(call_with(connection=connection))
            assert refusal.value.reason == "PEER_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("argument", "environ", "loopback", "ignored"),
    [
        (None, {}, False, False),
        (None, {"KIT_AUTH": "on"}, True, False),
        (None, {"KIT_AUTH": "OFF"}, True, True),
        (True, {}, False, True),
        (True, {"KIT_AUTH": "on"}, True, True),
        (False, {"KIT_AUTH": "off"}, False, False),
    ],
)
def test_callers_are_ignored_when_it_is_said(argument: Any, environ: Any, loopback: bool, ignored: bool) -> None:
    assert is_ignored(argument, loopback=loopback, environ=environ) is ignored


@pytest.mark.parametrize(
    ("said", "loopback", "words"), [("off", False, "does not listen on loopback"), ("no", True, "on or off is needed")]
)
def test_the_environment_cannot_ignore_callers_from_elsewhere(said: str, loopback: bool, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        is_ignored(None, loopback=loopback, environ={"KIT_AUTH": said})


def test_a_server_without_authenticators_does_not_serve_what_asks_for_somebody() -> None:
    check_guarded([method(), method(HEALTH), method(auth=kit.AuthPolicy(public=True))])
    asking = [method(auth=kit.AuthPolicy(scopes=("a",))), method("/a.B/C", {"/a.B/*": kit.AuthPolicy(public=False)})]
    with pytest.raises(ConfigurationError, match=r"auth is declared for /a\.B/C, /shop\.v1\.Orders/Get, and"):
        check_guarded(asking)


@pytest.mark.parametrize("wrong", ["x", 7, {"a": 1}, [None], [ApiKeys], [lambda call: None]])
def test_what_is_no_authenticator_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="authenticators: "):
        authentication(wrong, None)


def test_the_layers_are_those_that_are_needed() -> None:
    keys = ApiKeys({digest_of("k"): Principal("x")})
    assert [layer.name for layer in authentication([keys], ["a"])] == ["peer names", "authenticate"]
    assert [layer.name for layer in authentication([keys], ["a"], ignored=True)] == ["peer names"]
    assert [layer.name for layer in authentication([], None)] == ["authenticate"]
