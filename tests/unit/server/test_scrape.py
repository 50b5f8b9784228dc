"""The port that Prometheus reads, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from kit.errors import ConfigurationError
from kit.server._scrape import MetricsPort


async def text() -> bytes:
    return b"a_total 1\n# EOF\n"


@asynccontextmanager
async def opened(source: Callable[[], Awaitable[bytes]] = text) -> AsyncIterator[MetricsPort]:
    port = MetricsPort("127.0.0.1:0", source)
    await port.open()
    yield port
    await port.close()


async def asked(port: MetricsPort, question: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(question)
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_metrics_are_given_out_to_who_gets_them() -> None:
    async with opened() as port:
        head, body = await asked(port, b"GET /metrics?x=1 HTTP/1.1\r\nhost: a\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text")
        assert body == b"a_total 1\n# EOF\n"
        head, body = await asked(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert b"content-length: 16" in head
        assert body == b""


@pytest.mark.parametrize(
    ("question", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"404"),
        (b"x" * 20_000, b""),
    ],
)
async def test_nothing_else_is(question: bytes, status: bytes) -> None:
    async with opened() as port:
        head, _ = await asked(port, question)
        assert status in head
        assert b"a_total" not in head


async def test_metrics_that_cannot_be_gathered_are_an_error_and_not_the_end() -> None:
    async def fail() -> bytes:
        raise ValueError("secret")

    async with opened(fail) as port:
        for _ in range(2):
            head, body = await asked(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 500")
            assert b"secret" not in body


async def test_a_port_that_is_taken_or_none_is_refused() -> None:
    async with opened() as port:
        with pytest.raises(ConfigurationError, match="cannot be given out"):
            await MetricsPort(f"127.0.0.1:{port.port}", text).open()
    for listen in ("9464", "host:http", ":1"):
        with pytest.raises(ConfigurationError, match="KIT_METRICS_LISTEN"):
            MetricsPort(listen, text)
