"""TLS of a server: who may connect, and certificates that change while calls are made."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.errors import ConfigurationError
from tests.integration.client.caring import eventually
from tests.integration.server.certificates import Ca, Pair
from tests.integration.server.echo import SERVICE, Echo, add_echo, call

SERVER = ("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pair(ca: Ca, tmp_path: Path) -> Pair:
    """The server's, in a folder of the test's own."""
    return placed(ca.issue("server", *SERVER), tmp_path / "server")


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at more often than each second."""
    monkeypatch.setattr("kit.server._tls.INTERVAL", 0.01)


def placed(pair: Pair, folder: Path) -> Pair:
    folder.mkdir()
    return Pair(*(Path(shutil.copy(file, folder)) for file in (pair.key, pair.chain)))


def server(tls: kit.ServerTls, **options: Any) -> kit.Server:
    made = kit.Server("echo", tls=tls, listen="127.0.0.1:0", register=False, grace=0.0, **options)
    return made.add(Echo(), add_echo)


def of(pair: Pair, **options: Any) -> kit.ServerTls:
    return kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key, **options)


def dial(address: str, root: bytes, pair: Pair | None = None) -> grpc.aio.Channel:
    """A stock channel with a connection of its own."""
    credentials = grpc.ssl_channel_credentials(root, *(() if pair is None else pair.read()))
    return grpc.aio.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])


async def shown(address: str, client: Pair | None = None) -> int:
    """The serial number of the certificate that the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if client is not None:
        context.load_cert_chain(client.chain, client.key)
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(der).serial_number


def serial(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.chain.read_bytes()).serial_number


async def until_shown(address: str, wanted: int, client: Pair | None = None) -> None:
    async with asyncio.timeout(30):
        while await shown(address, client) != wanted:
            pass


async def is_taken(address: str, ca: Ca, client: Pair) -> bool:
    """Whether a new connection stands."""
    async with dial(address, ca.root.read_bytes(), client) as channel:
        try:
            return await call(channel, "UnaryUnary", "x") == ["x"]
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


async def test_a_client_that_trusts_the_authority_is_served(ca: Ca, pair: Pair) -> None:
    async with server(of(pair)) as served:
        async with dial(served.address, ca.root.read_bytes()) as channel:
            assert await call(channel, "UnaryUnary", "x") == ["x"]
        async with kit.channel(served.address, credentials=kit.TlsFiles(root_certificates=ca.root)) as channel:
            assert await call(channel, "UnaryUnary", "x") == ["x"]


async def test_a_client_is_asked_for_a_certificate_where_an_authority_is_given(ca: Ca, pair: Pair) -> None:
    client = ca.issue("client", "anybody.example")
    async with server(of(pair, client_ca=ca.root)) as served:
        async with dial(served.address, ca.root.read_bytes(), client) as channel:
            assert await call(channel, "UnaryUnary", "x") == ["x"]
        async with dial(served.address, ca.root.read_bytes()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call(channel, "UnaryUnary")
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


class Load:
    """Calls without a pause: over one connection that stays, and each over a connection of its own."""

    def __init__(self, address: str, root: bytes, client: Pair | None) -> None:
        self._dial: Callable[[], grpc.aio.Channel] = lambda: dial(address, root, client)
        self._ends = asyncio.Event()
        #: How many were answered, over the old connection and over new ones.
        self.old = self.new = 0
        self.failed: list[BaseException] = []

    async def over_one(self) -> None:
        async with self._dial() as channel:
            while not self._ends.is_set():
                answered = await self._call(channel)
                self.old += answered

    async def over_new(self) -> None:
        while not self._ends.is_set():
            async with self._dial() as channel:
                answered = await self._call(channel)
            self.new += answered

    async def _call(self, channel: grpc.aio.Channel) -> bool:
        try:
            return await call(channel, "UnaryUnary", "x", timeout=30) == ["x"]
        except grpc.aio.AioRpcError as error:
            self.failed.append(error)
            return False

    async def more(self, count: int) -> None:
        """Returns after so many more of each."""
        old, new = self.old + count, self.new + count
        await eventually(lambda: bool(self.failed) or (self.old >= old and self.new >= new))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(self.over_one())
                group.create_task(self.over_new())
            try:
                yield
            finally:
                self._ends.set()


@pytest.mark.parametrize("swap", ["in place", "by a link"])
async def test_certificates_are_exchanged_under_load_without_a_failed_call(ca: Ca, tmp_path: Path, swap: str) -> None:
    client = ca.issue("client", "anybody.example")
    pairs = [placed(ca.issue("server", *SERVER), tmp_path / str(number)) for number in range(4)]
    data = tmp_path / "data"
    if swap == "by a link":
        data.symlink_to(pairs[0].key.parent)
    else:
        placed(pairs[0], data)
    tls = of(Pair(data / "tls.key", data / "tls.crt"), client_ca=ca.root)
    async with server(tls) as served, dial(served.address, ca.root.read_bytes(), client) as channel:
        stream = channel.stream_stream(
            f"/{SERVICE}/StreamStream", StringValue.SerializeToString, StringValue.FromString
        )()
        await stream.write(StringValue(value="before"))
        assert await stream.read() == StringValue(value="before")
        load = Load(served.address, ca.root.read_bytes(), client)
        async with load.run():
            for following in pairs[1:]:
                await load.more(10)
                if swap == "by a link":
                    (tmp_path / "new").symlink_to(following.key.parent)
                    (tmp_path / "new").rename(data)
                else:
                    for file in (following.key, following.chain):
                        shutil.copy(file, data)
                await until_shown(served.address, serial(following), client)
            await load.more(10)
        assert load.failed == []
        assert await shown(served.address, client) == serial(pairs[-1])
        await stream.write(StringValue(value="after"))
        assert await stream.read() == StringValue(value="after")
        stream.cancel()


async def test_who_signs_for_clients_is_exchanged_as_well(ca: Ca, pair: Pair, tmp_path: Path) -> None:
    other = Ca(tmp_path / "other", "other")
    roots = tmp_path / "roots.pem"
    roots.write_bytes(ca.root.read_bytes())
    old, new = ca.issue("old", "a.example"), other.issue("new", "b.example")
    async with server(of(pair, client_ca=roots)) as served, dial(served.address, ca.root.read_bytes(), old) as before:
        assert await call(before, "UnaryUnary", "x") == ["x"]
        roots.write_bytes(other.root.read_bytes())
        async with asyncio.timeout(30):
            while not await is_taken(served.address, ca, new):
                pass
        assert not await is_taken(served.address, ca, old)
        assert await call(before, "UnaryUnary", "y") == ["y"]  # a connection that stands goes on


@pytest.mark.parametrize("kind", ["mismatch", "garbage", "missing"])
async def test_new_files_that_are_no_good_leave_the_former_certificate(
    ca: Ca, pair: Pair, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = serial(pair)
    async with server(of(pair)) as served:
        if kind == "mismatch":
            shutil.copy(ca.issue("other", *SERVER).key, pair.key)
        elif kind == "garbage":
            pair.chain.write_text("no certificate")
        else:
            pair.chain.unlink()
        await eventually(lambda: "the former ones stay" in caplog.text)
        assert await shown(served.address) == first
        assert "PRIVATE KEY" not in caplog.text
        again = ca.issue("again", *SERVER)
        for file in (again.key, again.chain):
            shutil.copy(file, pair.key.parent)
        await until_shown(served.address, serial(again))


def test_files_that_are_no_good_are_refused_with_the_server(ca: Ca, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="do not belong together"):
        server(of(Pair(ca.issue("other", *SERVER).key, pair.chain)))
    with pytest.raises(ConfigurationError, match=r"tls: private_key: .* cannot be read"):
        server(of(Pair(tmp_path / "none", pair.chain)))
    with pytest.raises(ConfigurationError, match=r"tls: client_ca: .* holds no certificates"):
        server(of(pair, client_ca=pair.key))
    with pytest.raises(ConfigurationError, match="tls is of type dict; give a kit"):
        server({"private_key": pair.key})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"certificate_chain": None}, "certificate_chain is None; a server shows a certificate"),
        ({"private_key": ""}, "private_key is empty"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----"}, "private_key is a PEM text"),
        ({"client_ca": 7}, "client_ca is of type int"),
        ({"client_ca": None}, "allowed_names without client_ca"),
        ({"allowed_names": []}, "allowed_names is empty: nobody could call"),
        ({"allowed_names": "a.example"}, "allowed_names: give a list"),
        ({"allowed_names": ["*"]}, "is no pattern"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "certificate_chain": "tls.crt",
        "private_key": "tls.key",
        "client_ca": "ca.pem",
        "allowed_names": ["a.example"],
    }
    with pytest.raises(ConfigurationError, match=words):
        kit.ServerTls(**(given | wrong))
