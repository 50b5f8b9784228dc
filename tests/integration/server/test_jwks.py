"""Keys of an issuer over HTTP and HTTPS."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kit.auth import JwtAuthenticator
from kit.errors import Unavailable
from kit.testing import VirtualClock
from tests.integration.server.certificates import Ca
from tests.unit.server.auth.tokens import AUDIENCE, ISSUER, Issuer, bearing


class Web:
    """A web server that answers as it is told: (status, headers, body)."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.answer: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda path: (404, {}, b"")
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                status, headers, body = web.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_port}/keys"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web(None)
    yield made
    made.close()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("ec1")


def authenticator(url: str) -> JwtAuthenticator:
    return JwtAuthenticator(ISSUER, AUDIENCE, jwks=url, clock=VirtualClock())


async def test_keys_are_fetched_once_for_many_calls(web: Web, issuer: Issuer) -> None:
    web.answer = lambda path: (200, {}, json.dumps(issuer.jwks()).encode())
    tokens = authenticator(web.url)
    for name in ("ann", "bob", "cid"):
        who = await tokens.authenticate(bearing(issuer.token("ec1", sub=name)))
        assert who is not None
        assert who.name == name
    assert web.asked == ["/keys"]


async def test_keys_over_https_are_taken_from_whom_the_machine_trusts(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = Ca(tmp_path)
    pair = ca.issue("server", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.chain, pair.key)
    web = Web(context)
    try:
        web.answer = lambda path: (200, {}, json.dumps(issuer.jwks()).encode())
        with pytest.raises(Unavailable):
            await authenticator(web.url).authenticate(bearing(issuer.token("ec1")))
        monkeypatch.setenv("SSL_CERT_FILE", str(ca.root))
        assert await authenticator(web.url).authenticate(bearing(issuer.token("ec1"))) is not None
    finally:
        web.close()


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (500, {}, b"", "500"),
        (404, {}, b"{}", "404"),
        (200, {}, b"{}", "no JWK set"),
        (200, {}, b"<html>", "Expecting value"),
        (200, {}, b"[" * 100_000, "recursion"),
        (200, {}, b" " * (2**20 + 1), "more than 1048576 bytes"),
        (302, {"location": "http://issuer.example/keys"}, b"", "keys come over https"),
        (302, {"location": "file:///etc/passwd"}, b"", "file"),
    ],
    ids=["fails", "missing", "empty", "html", "deep", "large", "downgrade", "file"],
)
async def test_what_are_no_keys_is_told_as_an_outage(
    web: Web,
    issuer: Issuer,
    status: int,
    headers: dict[str, str],
    body: bytes,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    web.answer = lambda path: (status, headers, body)
    with pytest.raises(Unavailable):
        await authenticator(web.url).authenticate(bearing(issuer.token("ec1")))
    assert "cannot be fetched" in caplog.text
    assert words in caplog.text
    assert web.asked == ["/keys"]


async def test_a_redirect_on_the_same_terms_is_followed(web: Web, issuer: Issuer) -> None:
    keys = json.dumps(issuer.jwks()).encode()
    web.answer = lambda path: (200, {}, keys) if path == "/new" else (302, {"location": "/new"}, b"")
    assert await authenticator(web.url).authenticate(bearing(issuer.token("ec1"))) is not None
