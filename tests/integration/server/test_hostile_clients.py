"""Clients that are slow or hostile: what they can do, and that it costs others nothing."""

from __future__ import annotations

import asyncio
import math
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.errors import ConfigurationError
from tests.integration.client.caring import eventually
from tests.integration.server.certificates import Ca
from tests.integration.server.conftest import Serve
from tests.integration.server.echo import Context, Echo, add_echo, call, failure, start_call

PREFACE, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\x04\0\0\0\0\0"
GOAWAY, PING, STREAMS = 7, 6, 3
COUNT = 1000


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Both ends of the connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Raw:
    """A connection without gRPC."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def rest(self) -> bytes:
        """What comes until the server closes the connection."""
        received = b""
        async with asyncio.timeout(30):
            try:
                while got := await self._reader.read(65536):
                    received += got
            except ConnectionError:
                pass
        return received

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of HTTP/2: its kind and what is in it."""
        async with asyncio.timeout(30):
            head = await self._reader.readexactly(9)
            return head[3], await self._reader.readexactly(int.from_bytes(head[:3]))

    async def until(self, kind: int) -> bytes:
        """The next frame of that kind."""
        while True:
            found, content = await self.frame()
            if found == kind:
                return content


@asynccontextmanager
async def raw(address: str, *sent: bytes) -> AsyncIterator[Raw]:
    host, _, port = address.rpartition(":")
    made = Raw(*await asyncio.open_connection(host, int(port)))
    made.writer.writelines(sent)
    try:
        yield made
    finally:
        made.writer.transport.abort()


@pytest.mark.usefixtures("_many_files")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_thousand_silent_connections_harm_nobody_and_are_closed(secure: bool, tmp_path: Path) -> None:
    tls = credentials = None
    if secure:
        ca = Ca(tmp_path)
        pair = ca.issue("server", "127.0.0.1")
        tls = kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key)
        credentials = grpc.ssl_channel_credentials(ca.root.read_bytes())
    limits = kit.ConnectionLimits(handshake_timeout=1.0)
    server = kit.Server("echo", tls=tls, limits=limits, listen="127.0.0.1:0", register=False, grace=0.0)
    async with server.add(Echo(), add_echo):
        host, _, port = server.address.rpartition(":")
        silent = [Raw(*await asyncio.open_connection(host, int(port))) for _ in range(COUNT)]
        for number, one in enumerate(silent):
            one.writer.write(PREFACE[: number % len(PREFACE)])  # some begin, and go no further
        address = server.address
        channel = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
        async with channel:
            for _ in range(100):
                assert await call(channel, "UnaryUnary", "x", timeout=20) == ["x"]
        ends = await asyncio.gather(*(one.rest() for one in silent))
        for one in silent:
            one.writer.transport.abort()
    assert len(ends) == COUNT
    if not secure:
        assert sum(b"before handshake timeout" in end for end in ends) > COUNT / 2


async def test_a_connection_that_makes_no_call_is_closed_when_it_has_been_idle(serve: Serve) -> None:
    served = await serve(limits=kit.ConnectionLimits(idle_timeout=0.2))
    async with raw(served.server.address, PREFACE, SETTINGS) as one:
        assert b"connection idle" in await one.until(GOAWAY)
        await one.rest()
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]


async def test_a_flood_of_pings_ends_its_connection_and_no_other(serve: Serve) -> None:
    served = await serve()
    ping = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]
    async with raw(served.server.address, PREFACE, SETTINGS) as one:
        one.writer.writelines([ping] * 5)
        farewell = await one.until(GOAWAY)
        await one.rest()
    assert farewell[4:] == (11).to_bytes(4) + b"too_many_pings"  # ENHANCE_YOUR_CALM
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]


@pytest.mark.parametrize("name", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"])
async def test_a_message_of_one_byte_too_many_is_refused_unread(serve: Serve, name: str) -> None:
    served = await serve(limits=kit.ConnectionLimits(max_request_bytes=1000))
    most = "x" * 997
    assert StringValue(value=most).ByteSize() == 1000
    assert (await call(served.channel, name, most))[0] == most
    handled = len(served.echo.ended)
    error = await failure(served.channel, name, most + "x")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(served.echo.ended) == handled + (name.startswith("Stream"))


def metadata_of(size: int, channel_adds: int) -> tuple[tuple[str, str], ...]:
    """A pair with which all of a call's metadata is of that size."""
    return (("k", "v" * (size - channel_adds - 33)),)


async def test_metadata_of_one_byte_too_many_is_refused_every_time(serve: Serve) -> None:
    limit = 2048
    served = await serve(limits=kit.ConnectionLimits(max_metadata_bytes=limit))
    error = await failure(served.channel, "UnaryUnary", metadata=(("k", "v" * limit),))
    # grpc says what it counted: "(2556 vs. 2049)".
    counted = int(str(error.details()).partition("(")[2].partition(" ")[0])
    adds = counted - limit - 33
    for _ in range(10):
        assert await call(served.channel, "UnaryUnary", "x", metadata=metadata_of(limit, adds)) == ["x"]
    for _ in range(10):
        error = await failure(served.channel, "UnaryUnary", metadata=metadata_of(limit + 1, adds))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await call(served.channel, "UnaryUnary", "x") == ["x"]


async def test_calls_over_one_connection_wait_for_their_turn(serve: Serve) -> None:
    running, goes_on = 0, asyncio.Event()

    async def act(_text: str, _context: Context) -> None:
        nonlocal running
        running += 1
        await goes_on.wait()

    served = await serve(act, limits=kit.ConnectionLimits(max_streams=2))
    async with raw(served.server.address) as one:
        kind, settings = await one.frame()
    pairs = [settings[at : at + 6] for at in range(0, len(settings), 6)]
    assert (kind, {int.from_bytes(pair[:2]): int.from_bytes(pair[2:]) for pair in pairs}[STREAMS]) == (4, 2)

    calls = [start_call(served.channel, "UnaryUnary", "x") for _ in range(3)]
    await eventually(lambda: running == 2)
    async with grpc.aio.insecure_channel(
        served.server.address, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as other:
        fourth = start_call(other, "UnaryUnary", "x")  # which another connection does not
        await eventually(lambda: running == 3)
        goes_on.set()
        await asyncio.gather(*calls, fourth)
    assert running == 4


async def test_connections_beyond_the_limit_are_closed_until_others_go(serve: Serve) -> None:
    served = await serve(limits=kit.ConnectionLimits(max_connections=2))
    address = served.server.address
    async with raw(address, PREFACE, SETTINGS) as one, raw(address, PREFACE, SETTINGS) as two:
        assert (await one.frame())[0] == (await two.frame())[0] == 4
        async with raw(address, PREFACE, SETTINGS) as three:
            assert await three.rest() == b""

    async def again() -> bool:
        async with raw(address, PREFACE, SETTINGS) as four:
            return bool(await four._reader.read(9))

    async with asyncio.timeout(30):
        while not await again():
            pass


async def test_an_option_of_grpcs_wins_over_the_limits(serve: Serve) -> None:
    served = await serve(options=[("grpc.max_receive_message_length", 10)])
    assert (await failure(served.channel, "UnaryUnary", "x" * 100)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_usual_limits_are_those_that_the_guide_names() -> None:
    usual = dict(kit.ConnectionLimits().options())
    assert usual == {
        "grpc.max_receive_message_length": 4_194_304,
        "grpc.max_metadata_size": 16_385,
        "grpc.absolute_max_metadata_size": 16_385,
        "grpc.max_concurrent_streams": 4096,
        "grpc.server_handshake_timeout_ms": 20_000,
        "grpc.max_connection_idle_ms": 1_800_000,
        "grpc.http2.min_recv_ping_interval_without_data_ms": 10_000,
        "grpc.http2.max_ping_strikes": 2,
    }
    endless = dict(kit.ConnectionLimits(idle_timeout=math.inf, max_connections=5).options())
    assert endless["grpc.max_connection_idle_ms"] == 2**31 - 1
    assert endless["grpc.max_allowed_incoming_connections"] == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_request_bytes": 0}, {"max_request_bytes": 2**31}, {"max_request_bytes": 1.5}, {"max_streams": True},
        {"max_metadata_bytes": 1023}, {"max_connections": 0}, {"handshake_timeout": 0}, {"idle_timeout": -1},
        {"handshake_timeout": math.nan}, {"min_ping_interval": "1"}, {"idle_timeout": 1e9}, {"max_ping_strikes": 0},
    ],
)  # fmt: skip
def test_limits_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"limits: {next(iter(wrong))} is "):
        kit.ConnectionLimits(**wrong)
