"""Where Prometheus reads metrics: a port that answers `GET /metrics` over HTTP, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from kit.errors import ConfigurationError
from kit.observe import get_logger, metrics

__all__ = ["MetricsPort"]

log = get_logger("kit.server")

#: Seconds that a question and its answer may take, and the bytes of a question.
TIMEOUT = 10.0
MAX_HEAD = 8192


class MetricsPort:
    """Gives out what `source` says. It is for those who may see all of it: keep it from the outside."""

    def __init__(self, listen: str, source: Callable[[], Awaitable[bytes]]) -> None:
        """`listen` is "host:port", port 0 for one that the system picks. Raises ConfigurationError."""
        host, _, port = listen.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise ConfigurationError(f'KIT_METRICS_LISTEN: "host:port" is needed, not {listen!r}')
        self._host, self._number = host.strip("[]"), int(port)
        self._source = source
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """0 while it is not open."""
        return 0 if self._server is None else int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Raises ConfigurationError where the port is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._number, limit=MAX_HEAD)
        except OSError as error:
            raise ConfigurationError(
                f"metrics cannot be given out at {self._host}:{self._number}: {error.strerror or error}"
            ) from error

    async def close(self) -> None:
        """Ends it; a second time does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question for each connection: who scrapes comes every few seconds at most."""
        try:
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, or asks nothing that can be answered
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, question: bytes) -> bytes:
        verb, _, rest = question.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _http("404 Not Found", b"metrics are at /metrics\n")
        if verb not in (b"GET", b"HEAD"):
            return _http("405 Method Not Allowed", b"GET it\n", "allow: GET, HEAD\r\n")
        try:
            body = await self._source()
        except Exception:
            log.exception("the metrics could not be gathered")
            return _http("500 Internal Server Error", b"the log says why\n")
        return _http("200 OK", body, kind=metrics.CONTENT_TYPE, silent=verb == b"HEAD")


def _http(status: str, body: bytes, more: str = "", *, kind: str = "text/plain", silent: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if silent else body)
