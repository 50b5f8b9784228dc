"""Who calls, and whether they may: by tokens, keys and certificates over real connections."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.auth import ApiKeys, JwtAuthenticator, PeerCertificate, Principal, digest_of
from kit.errors import ConfigurationError, details_of
from kit.policy.followed import INTERVAL
from kit.server._interceptor import KitServerInterceptor
from kit.server._pipeline import ServerPipeline, server_pipeline
from kit.testing import VirtualClock
from tests.integration.server.certificates import Ca
from tests.integration.server.conftest import Serve
from tests.integration.server.echo import METHODS, SERVICE, Context, Echo, add_echo, call, failure
from tests.unit.server.auth.tokens import AUDIENCE, ISSUER, Issuer, seconds_from_now

CHECK = "/grpc.health.v1.Health/Check"
SCOPED = {f"/{SERVICE}/*": kit.MethodPolicy(auth=kit.AuthPolicy(scopes=("echo.call",)))}


class Seen:
    """What a handler is told of its caller."""

    def __init__(self) -> None:
        self.principals: list[Principal | None] = []

    async def __call__(self, _text: str, _context: Context) -> None:
        self.principals.append(kit.principal())


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("ec1")


@pytest.fixture
def tokens(issuer: Issuer) -> JwtAuthenticator:
    return JwtAuthenticator(ISSUER, AUDIENCE, jwks=issuer.jwks())


KEYS = ApiKeys({digest_of("k-caller"): Principal("caller", {"echo.call"}), digest_of("k-reader"): Principal("reader")})


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),)}


def key(value: str) -> dict[str, Any]:
    return {"metadata": (("x-api-key", value),)}


@pytest.mark.parametrize("name", METHODS)
async def test_a_method_of_any_shape_is_for_those_who_may(
    serve: Serve, issuer: Issuer, tokens: JwtAuthenticator, name: str
) -> None:
    seen = Seen()
    served = await serve(seen, authenticators=[tokens, KEYS], policy=SCOPED)
    good = issuer.token("ec1", exp=seconds_from_now(60), scope="echo.call more")
    for _ in range(2):
        assert await call(served.channel, name, "x", **bearer(good))
    assert {who and (who.name, who.method) for who in seen.principals} == {("ann", "jwt")}
    assert await call(served.channel, name, "x", **key("k-caller"))
    last = seen.principals[-1]
    assert last is not None
    assert (last.name, last.method) == ("caller", "api_key")

    handled = len(served.echo.ended)
    no_scope = issuer.token("ec1", exp=seconds_from_now(60), scope="echo echo.call.more")
    bad: list[tuple[dict[str, Any], str, str]] = [
        ({}, "UNAUTHENTICATED", "CREDENTIALS_MISSING"),
        (bearer(""), "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        (bearer(good[:-4] + "AAAA"), "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        (bearer(issuer.token("ec1", exp=seconds_from_now(-60))), "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED"),
        (bearer(no_scope), "PERMISSION_DENIED", "SCOPE_MISSING"),
        (key("k-nobody"), "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        (key("k-reader"), "PERMISSION_DENIED", "SCOPE_MISSING"),
        ({"metadata": (("authorization", "Bearer x"), ("x-api-key", "k-caller"))}, "UNAUTHENTICATED", ""),
    ]
    for options, code, reason in bad:
        error = await failure(served.channel, name, "x", **options)
        if METHODS[name][0] and error.code() is grpc.StatusCode.INTERNAL:
            continue  # grpc.aio's own, where the server ends the call while the client writes
        assert error.code().name == code
        assert details_of(error).reason == reason or not reason
    assert len(served.echo.ended) == handled


async def test_a_method_without_rules_needs_somebody_and_health_nobody(serve: Serve) -> None:
    served = await serve(authenticators=[KEYS])
    assert (await failure(served.channel, "UnaryUnary")).code() is grpc.StatusCode.UNAUTHENTICATED
    assert await call(served.channel, "UnaryUnary", "x", **key("k-reader")) == ["x"]
    anything: Any = served.channel
    assert await anything.unary_unary(CHECK)(b"") == b"\x08\x01"
    reflect = anything.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert await anext(aiter(reflect([b"\x3a\x00"])))


async def test_a_method_that_does_not_exist_says_so_to_everybody(serve: Serve) -> None:
    served = await serve(authenticators=[KEYS])
    anything: Any = served.channel
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await anything.unary_unary(f"/{SERVICE}/Nothing")(b"")
    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_public_method_knows_nobody(serve: Serve) -> None:
    seen = Seen()
    policy = {f"/{SERVICE}/UnaryUnary": kit.MethodPolicy(auth=kit.AuthPolicy(public=True))}
    served = await serve(seen, authenticators=[KEYS], policy=policy)
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]
    assert await call(served.channel, "UnaryUnary", "x", **key("k-caller")) == ["x"]
    assert seen.principals == [None, None]


async def test_a_handler_in_a_thread_knows_its_caller_as_well() -> None:
    seen: list[Principal | None] = []

    def get(request: bytes, _context: Any) -> bytes:
        seen.append(kit.principal())
        return request

    def add(_servicer: None, server: Any) -> None:
        handlers: dict[str, Any] = {"Get": grpc.unary_unary_rpc_method_handler(get)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Sync", handlers),))

    policy = {"/test.Sync/Get": SCOPED[f"/{SERVICE}/*"]}
    server = kit.Server("sync", policy=policy, authenticators=[KEYS], listen="127.0.0.1:0", register=False, grace=0.0)
    async with server.add(None, add), grpc.aio.insecure_channel(server.address) as channel:
        anything: Any = channel.unary_unary("/test.Sync/Get")
        assert await anything(b"x", **key("k-caller")) == b"x"
        for options, code in (({}, "UNAUTHENTICATED"), (key("k-reader"), "PERMISSION_DENIED")):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await anything(b"x", **options)
            assert refusal.value.code().name == code
    assert [who and who.name for who in seen] == ["caller"]


async def test_callers_at_the_same_time_are_not_mixed_up(serve: Serve) -> None:
    import asyncio

    arrived, names, both = [], {}, asyncio.Event()

    async def act(text: str, _context: Context) -> None:
        arrived.append(text)
        if len(arrived) == 2:
            both.set()
        await both.wait()
        who = kit.principal()
        names[text] = who and who.name

    served = await serve(act, authenticators=[KEYS])
    await asyncio.gather(
        *(call(served.channel, "UnaryUnary", name, **key(f"k-{name}")) for name in ("caller", "reader"))
    )
    assert names == {"caller": "caller", "reader": "reader"}
    assert kit.principal() is None


async def test_a_client_is_known_by_its_certificate(tmp_path: Path) -> None:
    ca, seen = Ca(tmp_path), Seen()
    pair = ca.issue("server", "localhost", "127.0.0.1")
    rules: dict[str, Any] = {"spiffe://shop.example/ns/*/sa/search": ("echo.call",), "reader.svc": ()}
    tls = kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key, client_ca=ca.root)
    server = kit.Server(
        "echo",
        tls=tls,
        listen="127.0.0.1:0",
        register=False,
        grace=0.0,
        policy=SCOPED,
        authenticators=[KEYS, PeerCertificate(rules)],
    )
    search = "spiffe://shop.example/ns/a/sa/search"
    async with server.add(Echo(seen), add_echo):
        for names, code in (
            ((search,), None),
            (("reader.svc",), grpc.StatusCode.PERMISSION_DENIED),
            (("x.svc",), grpc.StatusCode.UNAUTHENTICATED),
        ):
            client = ca.issue("client", *names)
            files = kit.TlsFiles(root_certificates=ca.root, private_key=client.key, certificate_chain=client.chain)
            async with kit.channel(server.address, credentials=files) as channel:
                if code is None:
                    assert await call(channel, "UnaryUnary", "x") == ["x"]
                else:
                    assert (await failure(channel, "UnaryUnary")).code() is code
                # Whoever brings a key is who the key says.
                assert await call(channel, "UnaryUnary", "x", **key("k-caller")) == ["x"]
    assert [who and who.name for who in seen.principals] == [search, "caller", "caller", "caller"]


async def test_a_stock_server_asks_as_well() -> None:
    server = grpc.aio.server(interceptors=kit.server_interceptors(authenticators=[KEYS], policy=SCOPED))
    add_echo(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert await call(channel, "UnaryUnary", "x", **key("k-caller")) == ["x"]
        assert (await failure(channel, "UnaryUnary")).code() is grpc.StatusCode.UNAUTHENTICATED
        assert (await failure(channel, "UnaryUnary", **key("k-reader"))).code() is grpc.StatusCode.PERMISSION_DENIED
    await server.stop(0)


async def test_a_stock_server_that_knows_nobody_refuses_what_asks_for_somebody() -> None:
    server = grpc.aio.server(interceptors=kit.server_interceptors(policy=SCOPED))
    add_echo(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        error = await failure(channel, "UnaryUnary", **key("k-caller"))
    await server.stop(0)
    assert (error.code(), details_of(error).reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "AUTHENTICATION_NOT_CONFIGURED",
    )


async def test_a_server_that_knows_nobody_does_not_start_with_what_asks_for_somebody(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError, match=rf"auth is declared for /{SERVICE}/ReadWrite, .*authenticators"):
        await serve(policy=SCOPED)
    with caplog.at_level(logging.WARNING):
        served = await serve(policy=SCOPED, insecure_ignore_auth=True)
    assert "nobody is asked who calls" in caplog.text
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]


async def test_the_environment_can_open_a_server_on_loopback(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_AUTH", "off")
    served = await serve(policy=SCOPED, authenticators=[KEYS])
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]
    with pytest.raises(ConfigurationError, match="does not listen on loopback"):
        kit.Server("echo", listen="0.0.0.0:0")


async def test_keys_over_a_plain_connection_from_elsewhere_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with kit.Server("echo", listen="0.0.0.0:0", register=False, grace=0.0, authenticators=[KEYS]):
            pass
    assert "over plain connections" in caplog.text


@pytest.mark.parametrize("authenticators", [[KEYS], []], ids=["known", "unknown"])
async def test_rights_that_are_declared_later_hold_from_the_next_call_on(
    tmp_path: Path, authenticators: list[ApiKeys]
) -> None:
    file, clock = tmp_path / "policy.toml", VirtualClock()
    file.write_text("")
    pipeline = ServerPipeline(server_pipeline(authenticators=authenticators).layers, file, clock=clock)
    server = grpc.aio.server(interceptors=[KitServerInterceptor(pipeline)])
    add_echo(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert await call(channel, "UnaryUnary", "x", **key("k-reader")) == ["x"]
        file.write_text(f'["/{SERVICE}/*"]\nauth.scopes = ["echo.call"]\n')
        await clock.advance(2 * INTERVAL)
        denied = (await failure(channel, "UnaryUnary", **key("k-reader"))).code()
        if authenticators:
            assert await call(channel, "UnaryUnary", "x", **key("k-caller")) == ["x"]
    await server.stop(0)
    assert denied is (grpc.StatusCode.PERMISSION_DENIED if authenticators else grpc.StatusCode.UNAUTHENTICATED)


async def test_nothing_that_is_secret_is_in_the_log(
    serve: Serve, issuer: Issuer, tokens: JwtAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(_text: str, _context: Context) -> None:
        raise kit.errors.FailedPrecondition("not now")

    served = await serve(act, authenticators=[tokens, KEYS], policy=SCOPED, audit=True)
    token = issuer.token("ec1", exp=seconds_from_now(60), email="ann@shop.example", scope="echo.call")
    with caplog.at_level(logging.DEBUG):
        for options in (bearer(token), bearer(token + "x"), key("k-caller"), key("k-nobody")):
            error = await failure(served.channel, "UnaryUnary", "x", **options)
            assert not any(part in str(error) for part in (token, "k-caller", "k-nobody", "ann@"))
            assert error.code() is not grpc.StatusCode.INTERNAL
    assert "kit.audit" in {record.name for record in caplog.records}
    for part in (token.rpartition(".")[2], token.split(".")[1], "k-caller", "k-nobody", "ann@"):
        assert part not in caplog.text


async def test_a_call_is_audited_where_callers_are_known(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    served = await serve(authenticators=[KEYS], policy=SCOPED)
    with caplog.at_level(logging.INFO, logger="kit.audit"):
        await call(served.channel, "UnaryUnary", "x", **key("k-caller"))
        await failure(served.channel, "UnaryUnary", "x", **key("k-reader"))
        await failure(served.channel, "UnaryUnary", "x")
        assert await call(served.channel, "UnaryStream", "x", **key("k-caller"))
    lines = [record.getMessage() for record in caplog.records if record.name == "kit.audit"]
    assert [("caller" in line, "reader" in line) for line in lines] == [(True, False), (False, True), (True, False)]
    assert "PERMISSION_DENIED" in lines[1]


async def test_nothing_is_audited_where_it_is_not_wanted(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kit.audit"):
        for options in ({}, {"authenticators": [KEYS], "audit": False}):
            served = await serve(**options)
            await call(served.channel, "UnaryUnary", "x", **key("k-caller"))
    assert not [record for record in caplog.records if record.name == "kit.audit"]


async def test_certificates_that_nobody_is_asked_for_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    known = [PeerCertificate({"a.example": ("read",)})]
    with caplog.at_level(logging.WARNING):
        async with kit.Server("echo", register=False, grace=0.0, authenticators=known):
            pass
    assert "PeerCertificate knows nobody" in caplog.text
