"""TLS and mutual TLS from files, and files that change while calls are made."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.client.events import CertificatesReloaded, ChannelEvent
from kit.errors import CallFailed, CallRefused, ConfigurationError, NoEndpoint
from kit.policy import BalanceKind
from kit.testing import VirtualClock
from tests.integration.client.authority import Authority, openssl
from tests.integration.client.echo import Context, Echo, EchoStub, add_echo, text

#: One attempt, so that nothing hides a failed one.
ONCE = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1), balance=kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN))


class Secure:
    """An echo server that wants certificates, and whose callers' names it counts."""

    def __init__(self) -> None:
        self.callers: Counter[str] = Counter()
        self.connections: set[str] = set()
        self.address = ""

    async def note(self, _: str, context: Context) -> None:
        for name in context.auth_context().get("x509_common_name", [b""]):
            self.callers[name.decode()] += 1
        self.connections.add(context.peer())


Start = Callable[..., Awaitable[Secure]]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who is trusted by everybody."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who is trusted by nobody, unless a test says so."""
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign")


@pytest.fixture(scope="session")
def server_pair(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority.issue(tmp_path_factory.mktemp("server"), "search.example")


@pytest.fixture
async def start(authority: Authority, server_pair: Path) -> AsyncIterator[Start]:
    """Starts a server; `trusts` are those whose clients it takes, None where it asks for no certificate."""
    async with AsyncExitStack() as stack:

        async def go(*trusts: Authority, mutual: bool = True) -> Secure:
            secure = Secure()
            server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
            add_echo(Echo(secure.note), server)
            roots = b"".join(trusted.root.read_bytes() for trusted in trusts or (authority,))
            pair = [((server_pair / "tls.key").read_bytes(), (server_pair / "tls.crt").read_bytes())]
            credentials = grpc.ssl_server_credentials(pair, roots if mutual else None, mutual)
            secure.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
            await server.start()
            stack.push_async_callback(server.stop, 0)
            return secure

        yield go


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Path:
    """The client's."""
    return authority.issue(tmp_path / "client", "first")


def files(authority: Authority, pair: Path | None, server_name: str | None = None) -> kit.TlsFiles:
    """How the client finds its own."""
    if pair is None:
        return kit.TlsFiles(root_certificates=authority.root, server_name=server_name)
    return kit.TlsFiles(
        root_certificates=authority.root,
        private_key=pair / "tls.key",
        certificate_chain=pair / "tls.crt",
        server_name=server_name,
    )


class Told:
    """The reloads that the channel told of."""

    def __init__(self) -> None:
        self.reloads: list[CertificatesReloaded] = []
        self._news = asyncio.Event()

    def __call__(self, event: ChannelEvent) -> None:
        if isinstance(event, CertificatesReloaded):
            self.reloads.append(event)
            self._news.set()

    async def next(self, clock: VirtualClock) -> CertificatesReloaded:
        """The next one. Two looks are enough for it, but the one that is under way may be about something else."""
        self._news.clear()
        async with asyncio.timeout(30):
            while not self._news.is_set():
                await clock.advance(1.0)
        return self.reloads[-1]


class Answered:
    """How many calls were."""

    def __init__(self) -> None:
        self._count = 0
        self._more = asyncio.Event()

    def one(self) -> None:
        """One more was."""
        self._count += 1
        self._more.set()

    async def more(self, count: int = 200) -> None:
        """Returns after so many more."""
        until = self._count + count
        async with asyncio.timeout(30):
            while self._count < until:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def load(channel: grpc.aio.Channel) -> AsyncIterator[Answered]:
    """Calls without a pause, by eight at a time; any that fails fails the test. Yields how many were answered."""
    answered, ends = Answered(), asyncio.Event()
    stub = EchoStub(channel)

    async def call() -> None:
        while not ends.is_set():
            await stub.Unary(text())
            answered.one()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(call())
        try:
            yield answered
        finally:
            ends.set()


async def test_a_server_is_trusted_by_the_root_certificates(start: Start, authority: Authority) -> None:
    server = await start(mutual=False)
    async with kit.channel(server.address, credentials=files(authority, None)) as channel:
        assert (await EchoStub(channel).Unary(text())).value == "hello"


async def test_a_server_of_another_authority_is_not_trusted(start: Start, foreign: Authority) -> None:
    server = await start(mutual=False)
    async with kit.channel(server.address, credentials=files(foreign, None)) as channel:
        with pytest.raises(CallRefused, match="CERTIFICATE_VERIFY_FAILED"):
            await EchoStub(channel).Unsafe(text())
    assert not server.callers


async def test_a_name_in_dns_is_what_the_certificate_is_checked_for(start: Start, authority: Authority) -> None:
    server = await start(mutual=False)

    async def answer(host: str, port: int) -> list[str]:
        return [server.address]

    credentials = files(authority, None)
    async with Channel("dns:///search.example:50051", credentials=credentials, resolver=answer) as channel:
        assert (await EchoStub(channel).Unary(text())).value == "hello"
    async with Channel("dns:///other.example:50051", credentials=credentials, resolver=answer) as channel:
        with pytest.raises(NoEndpoint, match=r"(?i)hostname|peer name"):
            await EchoStub(channel).Unsafe(text())
    named = files(authority, None, "search.example")
    async with Channel("dns:///other.example:50051", credentials=named, resolver=answer) as channel:
        assert (await EchoStub(channel).Unary(text())).value == "hello"


async def test_an_option_of_the_users_wins_over_the_kits(start: Start, authority: Authority) -> None:
    server = await start(mutual=False)

    async def answer(host: str, port: int) -> list[str]:
        return [server.address]

    options = [("grpc.default_authority", "search.example")]
    credentials = grpc.ssl_channel_credentials(authority.root.read_bytes())
    async with Channel("dns:///other.example:1", credentials=credentials, resolver=answer, options=options) as channel:
        assert (await EchoStub(channel).Unary(text())).value == "hello"


async def test_a_server_name_is_what_the_certificate_is_checked_for(start: Start, authority: Authority) -> None:
    server = await start(mutual=False)
    async with kit.channel(server.address, credentials=files(authority, None, "search.example")) as channel:
        assert (await EchoStub(channel).Unary(text())).value == "hello"
    async with kit.channel(server.address, credentials=files(authority, None, "other.example")) as channel:
        with pytest.raises(NoEndpoint):
            await EchoStub(channel).Unsafe(text())


async def test_a_server_knows_its_client_by_the_certificate(start: Start, authority: Authority, pair: Path) -> None:
    server = await start()
    async with kit.channel(server.address, credentials=files(authority, pair)) as channel:
        await EchoStub(channel).Unary(text())
    assert server.callers == {"first": 1}


@pytest.mark.parametrize("kind", ["none", "foreign", "expired"])
async def test_a_client_that_the_server_does_not_take_is_told_so(
    start: Start, authority: Authority, foreign: Authority, tmp_path: Path, kind: str
) -> None:
    server = await start()
    offered: Path | None = None
    if kind != "none":
        signer, days = (foreign, 2) if kind == "foreign" else (authority, -1)
        offered = signer.issue(tmp_path / "offered", "stranger", days=days)
    async with kit.channel(server.address, credentials=files(authority, offered)) as channel:
        hint = "if it asks clients for a certificate, give private_key" if offered is None else "may not trust.*tls.crt"
        with pytest.raises(NoEndpoint, match=f"the server hung up: .*{hint}.*nothing was sent"):
            await EchoStub(channel).Unsafe(text())
        with pytest.raises(CallFailed, match=f"the server hung up: .*{hint}"):
            await EchoStub(channel).Unary(text())
    assert not server.callers


@pytest.mark.parametrize("swap", ["in place", "by a link"])
async def test_new_certificates_are_taken_into_use_without_a_failed_call(
    start: Start, authority: Authority, tmp_path: Path, swap: str
) -> None:
    servers = [await start(), await start()]
    authority.issue(tmp_path / "one", "first")
    authority.issue(tmp_path / "two", "second")
    if swap == "by a link":
        (tmp_path / "data").symlink_to(tmp_path / "one")
    else:
        shutil.copytree(tmp_path / "one", tmp_path / "data")
    clock, told = VirtualClock(), Told()
    credentials = files(authority, tmp_path / "data")
    addresses = [server.address for server in servers]
    async with Channel(addresses, credentials=credentials, clock=clock, policy=ONCE, on_event=told) as channel:
        stub = EchoStub(channel)
        async with load(channel) as answered:
            await answered.more()
            stream = stub.Both()
            await stream.write(text("before"))
            assert (await stream.read()).value == "before"
            for server in servers:
                assert set(server.callers) == {"first"}
            if swap == "by a link":
                (tmp_path / "new").symlink_to(tmp_path / "two")
                (tmp_path / "new").rename(tmp_path / "data")
            else:
                for name in ("tls.key", "tls.crt"):
                    shutil.copy(tmp_path / "two" / name, tmp_path / "data" / name)
            reload = await told.next(clock)
            assert reload.accepted
            assert str(reload) == f"{addresses[0]} and {len(addresses) - 1} more: new certificates are in use"
            await answered.more(20)  # those that were on their way
            before = [server.callers["first"] for server in servers]
            await answered.more()
            await stream.write(text("after"))
            assert (await stream.read()).value == "after"
            await stream.done_writing()
    assert [server.callers["first"] for server in servers] == before
    assert all(server.callers["second"] > 0 and len(server.connections) == 2 for server in servers)
    assert len(told.reloads) == 1


async def test_a_pair_that_is_half_written_is_left_until_it_is_whole(
    start: Start, authority: Authority, pair: Path, tmp_path: Path
) -> None:
    server = await start()
    second = authority.issue(tmp_path / "second", "second")
    clock, told = VirtualClock(), Told()
    async with Channel(server.address, credentials=files(authority, pair), clock=clock, on_event=told) as channel:
        await EchoStub(channel).Unary(text())
        await clock.advance(0.5)
        shutil.copy(second / "tls.key", pair / "tls.key")
        await clock.advance(1.0)
        shutil.copy(second / "tls.crt", pair / "tls.crt")
        assert (await told.next(clock)).accepted
        await EchoStub(channel).Unary(text())
    assert server.callers == {"first": 1, "second": 1}
    assert len(told.reloads) == 1


@pytest.mark.parametrize("kind", ["mismatch", "garbage", "missing", "foreign"])
async def test_new_certificates_that_are_no_good_are_refused_and_the_former_ones_stay(
    start: Start, authority: Authority, foreign: Authority, pair: Path, tmp_path: Path, kind: str
) -> None:
    server = await start()
    clock, told = VirtualClock(), Told()
    async with Channel(
        server.address, credentials=files(authority, pair), clock=clock, policy=ONCE, on_event=told
    ) as channel:
        async with load(channel) as answered:
            await answered.more(20)
            if kind == "garbage":
                (pair / "tls.crt").write_text("no certificate")
            elif kind == "missing":
                (pair / "tls.crt").unlink()
            else:
                other = foreign.issue(tmp_path / "other", "stranger")
                for name in ("tls.key", "tls.crt") if kind == "foreign" else ("tls.key",):
                    shutil.copy(other / name, pair / name)
            reload = await told.next(clock)
            await answered.more(50)
            await clock.advance(60.0)
        assert not reload.accepted
        expected = {
            "mismatch": "do not belong together",
            "garbage": "holds none in PEM",
            "missing": "cannot be read: No such file",
            "foreign": server.address,
        }[kind]
        assert expected in reload.reason
        assert "the former ones stay" in str(reload)
        assert told.reloads == [reload]
        again = authority.issue(tmp_path / "again", "second")
        for name in ("tls.key", "tls.crt"):
            shutil.copy(again / name, pair / name)
        assert (await told.next(clock)).accepted
        assert set(server.callers) == {"first"}
        await EchoStub(channel).Unary(text())
    assert server.callers["second"] == 1


async def test_an_endpoint_that_does_not_take_what_others_took_keeps_its_connection(
    start: Start, authority: Authority, foreign: Authority, pair: Path, tmp_path: Path
) -> None:
    ahead, behind = await start(authority, foreign), await start(authority)
    clock, told = VirtualClock(), Told()
    async with (
        Channel(
            [ahead.address, behind.address], credentials=files(authority, pair), clock=clock, policy=ONCE, on_event=told
        ) as channel,
        load(channel) as answered,
    ):
        await answered.more(50)
        other = foreign.issue(tmp_path / "other", "second")
        for name in ("tls.key", "tls.crt"):
            shutil.copy(other / name, pair / name)
        assert (await told.next(clock)).accepted
        await answered.more(50)
        await clock.advance(60.0)
        await answered.more(50)
    assert set(ahead.callers) == {"first", "second"}
    assert set(behind.callers) == {"first"}


async def test_files_that_changed_before_the_first_call_are_what_it_is_made_with(
    start: Start, authority: Authority, pair: Path, tmp_path: Path
) -> None:
    server = await start()
    async with kit.channel(server.address, credentials=files(authority, pair)) as channel:
        second = authority.issue(tmp_path / "second", "second")
        for name in ("tls.key", "tls.crt"):
            shutil.copy(second / name, pair / name)
        await EchoStub(channel).Unary(text())
    assert server.callers == {"second": 1}


async def test_a_closed_channel_looks_at_no_files_any_more(start: Start, authority: Authority, pair: Path) -> None:
    server = await start()

    def followers() -> int:
        return sum("Certificates" in getattr(t.get_coro(), "__qualname__", "") for t in asyncio.all_tasks())

    async with kit.channel(server.address, credentials=files(authority, pair)) as channel:
        assert followers() == 0
        await EchoStub(channel).Unary(text())
        assert followers() == 1
    assert followers() == 0


@pytest.mark.parametrize(
    ("field", "content", "reason"),
    [
        ("root_certificates", None, "cannot be read"),
        ("root_certificates", "no certificate", "holds no certificates in PEM"),
        ("root_certificates", "", "holds no certificates in PEM"),
        ("private_key", None, "cannot be read"),
        ("private_key", "no key", "holds none in PEM"),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is damaged"),
        ("certificate_chain", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged"),
    ],
)
async def test_a_file_that_is_no_good_is_refused_when_the_channel_is_opened(
    authority: Authority, pair: Path, tmp_path: Path, field: str, content: str | None, reason: str
) -> None:
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_text(content)
    given: dict[str, Any] = {
        "root_certificates": authority.root,
        "private_key": pair / "tls.key",
        "certificate_chain": pair / "tls.crt",
    } | {field: bad}
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        kit.channel("h:1", credentials=kit.TlsFiles(**given))
    assert str(bad) in str(refusal.value)


async def test_a_key_that_is_encrypted_is_refused_and_asks_nobody_for_a_password(pair: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    openssl("pkcs8", "-topk8", "-in", pair / "tls.key", "-out", locked, "-passout", "pass:secret")
    with pytest.raises(ConfigurationError, match=r"locked\.key is encrypted"):
        kit.channel("h:1", credentials=kit.TlsFiles(private_key=locked, certificate_chain=pair / "tls.crt"))


def test_a_key_without_a_certificate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="private_key is given without certificate_chain"):
        kit.TlsFiles(private_key="k")
    with pytest.raises(ConfigurationError, match="certificate_chain is given without private_key"):
        kit.TlsFiles(certificate_chain="c")
