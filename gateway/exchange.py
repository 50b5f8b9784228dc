"""One HTTP request and its answer, over ASGI: headers, body in, answer out, and whether the client is still there."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import grpc

from gateway.problem import CLIENT_CLOSED, MEDIA_TYPE, Problem, RefusedError, refused

__all__ = ["ClientGoneError", "Exchange", "Header", "Receive", "Scope", "Send", "Watch"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
#: On every answer: nothing may guess its type, and no page of another site may embed it.
_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: What is read and thrown away of a body that was refused, so that its sender gets to read why.
_DRAIN_BYTES = 64 << 20
_DRAIN_SECONDS = 5.0


class ClientGoneError(Exception):
    """The client has closed the connection: there is nobody to answer."""


class Exchange:
    """One request. `status` and `bytes_sent` tell what was answered so far."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        #: As it was sent, percent escapes included, without the query.
        self.path = raw.decode("latin-1")
        self.query: bytes = scope.get("query_string", b"")
        client = scope.get("client")
        self.client: str = client[0] if client else ""
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        asked = self.headers.get(b"x-request-id", b"")
        self.request_id = asked.decode() if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        #: Headers that every answer to this request gets; the rate limit adds its own.
        self.extra_headers: list[Header] = []
        self.status = 0
        self.bytes_sent = 0
        #: The HTTP method and template of its route, once it is known.
        self.route = ""
        #: The client has closed the connection before the answer's end.
        self.client_gone = False
        self._body_read = False

    @property
    def started(self) -> bool:
        """Whether the status has been sent."""
        return self.status != 0

    def header(self, name: bytes) -> str:
        """A request header by its lower-case name; "" when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Sends status and headers; the body follows by `write`."""
        self.status = status
        fixed = ((b"x-request-id", self.request_id.encode()), *_ALWAYS)
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *self.extra_headers, *fixed]}
        )

    async def write(self, body: bytes) -> None:
        """Sends a piece of the body. Waits while the client is slow to take what was sent."""
        self.bytes_sent += self._counted(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Sends the last piece."""
        self.bytes_sent += self._counted(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _counted(self, body: bytes) -> int:
        # The server sends none in answer to HEAD.
        return 0 if self.method == "HEAD" else len(body)

    async def answer(self, status: int, body: bytes, *headers: Header) -> None:
        """Sends a whole answer."""
        await self.start(status, (*headers, (b"content-length", b"%d" % len(body))))
        await self.end(body)

    async def refuse(self, problem: Problem) -> None:
        """Answers with a problem. What the client still sends is read and dropped, within bounds."""
        body = problem.encode(instance=self.path, request_id=self.request_id)
        await self.start(
            problem.status,
            (
                (b"content-type", MEDIA_TYPE),
                (b"content-length", b"%d" % len(body)),
                *problem.retry_header,
                *problem.headers,
                *(((b"connection", b"close"),) if self._sending else ()),
            ),
        )
        if self._sending:
            await self.write(body)
            await self._drain()
            await self.end()
        else:
            await self.end(body)

    @property
    def _sending(self) -> bool:
        """Whether the client may still be sending a body; one that waits for "100 Continue" is not."""
        if self._body_read or b"expect" in self.headers:
            return False
        return b"transfer-encoding" in self.headers or self.headers.get(b"content-length", b"0") != b"0"

    def check_length(self, limit: int) -> None:
        """Raises RefusedError (413) where the announced length is above `limit` bytes; nothing is read."""
        text = self.headers.get(b"content-length", b"")
        if text.isdigit() and int(text) > limit:
            raise _too_large(limit)

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises RefusedError (413) above `limit` bytes."""
        self.check_length(limit)
        pieces: list[bytes] = []
        async for piece in self.pieces(limit):
            pieces.append(piece)  # noqa: PERF401 - an async comprehension would hide that the limit is enforced inside
        return b"".join(pieces)

    async def pieces(self, limit: int, *, idle: float | None = None) -> AsyncIterator[bytes]:
        """The body as it arrives; the next piece is read when the last one was taken.

        Raises RefusedError: 413 above `limit` bytes, 408 when nothing came for `idle` seconds.
        """
        total = 0
        more = True
        while more:
            try:
                async with asyncio.timeout(idle):
                    message = await self._receive()
            except TimeoutError:
                raise refused(
                    408,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    "BODY_STALLED",
                    f"Nothing of the body arrived for {idle:g} s. Send it again.",
                ) from None
            if message["type"] == "http.disconnect":
                self.client_gone = True
                raise ClientGoneError
            more = message.get("more_body", False)
            self._body_read = not more
            piece: bytes = message.get("body", b"")
            total += len(piece)
            if total > limit:
                raise _too_large(limit)
            if piece:
                yield piece

    async def wait_until_gone(self) -> None:
        """Returns when the client closes the connection. What it still sends is dropped."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True

    async def _drain(self) -> None:
        left = _DRAIN_BYTES
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while left > 0:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
                    left -= len(message.get("body", b""))
        except TimeoutError:
            return

    def gone(self) -> None:
        """Notes that the client went away before the answer's end."""
        self.client_gone = True
        if not self.started:
            self.status = CLIENT_CLOSED


class Watch:
    """Calls back once when the client goes away. It looks only after `delay` seconds: most calls end before.

    Nothing else may read the request's body meanwhile.
    """

    def __init__(self, exchange: Exchange, on_gone: Callable[[], object], *, delay: float) -> None:
        self._exchange = exchange
        self._on_gone = on_gone
        self.gone = False
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(delay, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await self._exchange.wait_until_gone()
        self.gone = True
        self._on_gone()

    def close(self) -> None:
        """Ends the watch."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def _too_large(limit: int) -> RefusedError:
    return refused(
        413,
        grpc.StatusCode.INVALID_ARGUMENT,
        "BODY_TOO_LARGE",
        f"The body is larger than the {limit} bytes that are allowed here.",
    )
