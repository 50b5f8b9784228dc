"""The console's files, read once, and the headers that keep a page from doing anything but its work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from gateway.exchange import Exchange, Header

__all__ = ["Page", "answer", "console"]

_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
#: Nothing from elsewhere, nothing inline, no frame around it, no form that leaves it.
_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _CSP),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    # Asked for again each time, and answered with 304 while it is the same.
    (b"cache-control", b"no-cache"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """One file."""

    body: bytes
    content_type: bytes
    etag: bytes


def console() -> Mapping[str, Page]:
    """The built console by the paths that it is served at."""
    pages: dict[str, Page] = {}
    for file in resources.files("gateway").joinpath("console", "dist").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _TYPES:
            body = file.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'.encode()
            path = "/" if file.name == "index.html" else f"/assets/{file.name}"
            pages[path] = Page(body, _TYPES[suffix], etag)
    return pages


async def answer(exchange: Exchange, page: Page) -> None:
    """Sends a page, or that the client's copy is still good."""
    headers = ((b"etag", page.etag), *_HEADERS)
    if exchange.headers.get(b"if-none-match") == page.etag:
        await exchange.start(304, headers)
        await exchange.end()
        return
    await exchange.answer(200, page.body, (b"content-type", page.content_type), *headers)
