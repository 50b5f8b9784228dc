"""Mutual TLS: who is let in, and that all others are denied, whatever they call and by which client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import details_of
from tests.integration.server.certificates import DAY, Ca, Pair
from tests.integration.server.echo import METHODS, Echo, add_echo, call

SEARCH = "spiffe://shop.example/ns/a/sa/search"
ALLOWED = ("spiffe://shop.example/ns/*/sa/search", "billing.default.svc", "*.ops.example")
CHECK = "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

#: Certificates that are good, by what they are called here: their names.
GOOD: dict[str, tuple[str, ...]] = {
    "a URI by a pattern": (SEARCH,),
    "a DNS name": ("billing.default.svc",),
    "a DNS name in capitals": ("BILLING.Default.Svc",),
    "a DNS name by a pattern": ("a.ops.example",),
    "one name of several": ("spiffe://shop.example/other", "x.example", "a.ops.example"),
}
#: Names that the authority signed for and the server does not take.
WRONG_NAMES: dict[str, tuple[str, ...]] = {
    "another URI": ("spiffe://shop.example/ns/a/sa/billing",),
    "another trust domain": ("spiffe://shop.example.evil/ns/a/sa/search",),
    "a URI with more behind it": (f"{SEARCH}/x",),
    "a URI with a slash for the star": ("spiffe://shop.example/ns/a/b/sa/search",),
    "the URI as an address": ("mail:search@shop.example",),
    "another DNS name": ("search.default.svc",),
    "the DNS name with more in front": ("x.billing.default.svc",),
    "the domain of the pattern": ("ops.example",),
    "two labels for the star": ("a.b.ops.example",),
    "an IP address": ("127.0.0.1",),
    "no names": (),
}

#: Certificates that no connection comes of.
STRANGERS = (
    "none",
    "expired",
    "not valid yet",
    "another authority",
    "another authority and the right CN",
    "signed by a client",
)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    """Whom the server trusts."""
    return Ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    """An authority with the same name, whom it does not trust."""
    return Ca(tmp_path_factory.mktemp("foreign"), "ca")


@pytest.fixture(scope="module")
def strangers(ca: Ca, foreign: Ca) -> dict[str, Pair | None]:
    """Clients that have no certificate which the server would look at."""
    good = ca.issue("good", SEARCH)
    shown = (
        None,
        ca.issue("expired", SEARCH, starts=-2 * DAY, ends=-timedelta(minutes=1)),
        ca.issue("early", SEARCH, starts=timedelta(hours=1)),
        foreign.issue("client", SEARCH),
        foreign.issue("cn", SEARCH, common_name="billing.default.svc"),
        ca.issue("child", SEARCH, signer=good),
    )
    return dict(zip(STRANGERS, shown, strict=True))


@pytest.fixture(scope="module")
async def echo(ca: Ca) -> AsyncIterator[tuple[Echo, str]]:
    """The server, and what has reached a handler of it."""
    served = Echo()
    pair = ca.issue("server", "localhost", "127.0.0.1")
    tls = kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key, client_ca=ca.root, allowed_names=ALLOWED)
    async with kit.Server("echo", tls=tls, listen="127.0.0.1:0", register=False, grace=0.0).add(served, add_echo) as it:
        yield served, it.address


#: Opens a channel of grpc's or the kit's.
Dial = Callable[[Pair | None], Any]


@pytest.fixture(params=["stock", "kit"])
def dial(request: pytest.FixtureRequest, echo: tuple[Echo, str], ca: Ca) -> Dial:
    """Opens a channel with a client's certificate, or none."""
    address = echo[1]

    def stock(pair: Pair | None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(ca.root.read_bytes(), *([] if pair is None else pair.read()))
        return grpc.aio.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])

    def ours(pair: Pair | None) -> grpc.aio.Channel:
        key, chain = (None, None) if pair is None else (pair.key, pair.chain)
        files = kit.TlsFiles(root_certificates=ca.root, private_key=key, certificate_chain=chain)
        return kit.channel(address, credentials=files, warm_up=False)

    return stock if request.param == "stock" else ours


async def refusals(channel: Any) -> list[grpc.aio.AioRpcError]:
    """The errors of a call to every method, health and reflection included."""
    found: list[grpc.aio.AioRpcError] = []
    async with channel:
        for name in METHODS:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call(channel, name)
            found.append(refusal.value)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await channel.unary_unary(CHECK)(b"")
        found.append(refusal.value)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await anext(aiter(channel.stream_stream(REFLECT)([b"\x3a\x00"])))
        found.append(refusal.value)
    return found


def lost_its_status(error: grpc.aio.AioRpcError) -> bool:
    """Whether it is what grpc.aio makes of a stream whose write is in flight when the server ends the call."""
    return error.code() is grpc.StatusCode.INTERNAL and "SendMessageOperation" in (error.debug_error_string() or "")


@pytest.mark.parametrize("kind", GOOD)
async def test_whoever_has_one_of_the_names_is_let_in(dial: Dial, ca: Ca, kind: str) -> None:
    async with dial(ca.issue(f"good/{kind}", *GOOD[kind])) as channel:
        for name in METHODS:
            assert await call(channel, name, "x")
        assert await channel.unary_unary(CHECK)(b"") == b"\x08\x01"


@pytest.mark.parametrize("kind", WRONG_NAMES)
async def test_whoever_has_none_of_the_names_is_denied(dial: Dial, echo: tuple[Echo, str], ca: Ca, kind: str) -> None:
    served = len(echo[0].ended)
    pair = ca.issue(f"wrong/{kind}", *WRONG_NAMES[kind], common_name="billing.default.svc")
    for error in await refusals(dial(pair)):
        if lost_its_status(error):
            continue
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert details_of(error).reason == "PEER_NOT_ALLOWED"
    assert len(echo[0].ended) == served


@pytest.mark.parametrize(
    "kind",
    [
        "none",
        "expired",
        "not valid yet",
        "another authority",
        "another authority and the right CN",
        "signed by a client",
    ],
)
async def test_whoever_shows_nothing_that_is_good_gets_no_connection(
    dial: Dial, echo: tuple[Echo, str], strangers: dict[str, Pair | None], kind: str
) -> None:
    served = len(echo[0].ended)
    for error in await refusals(dial(strangers[kind])):
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert len(echo[0].ended) == served


async def test_a_client_without_tls_gets_no_connection(echo: tuple[Echo, str]) -> None:
    served = len(echo[0].ended)
    for channel in (grpc.aio.insecure_channel(echo[1]), kit.channel(echo[1], warm_up=False)):
        for error in await refusals(channel):
            assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert len(echo[0].ended) == served
