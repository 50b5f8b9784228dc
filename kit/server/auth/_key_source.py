"""Where the keys of an issuer come from, and the fetching of them, which `_freshness` decides about."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from kit.clock import Clock
from kit.errors import ConfigurationError, Unavailable
from kit.observe import get_logger
from kit.server.auth._credentials import DOMAIN
from kit.server.auth._freshness import Freshness
from kit.server.auth._keys import Key, KeySet

__all__ = ["KeySource", "Source"]

log = get_logger("kit.server.auth")

#: A URL, the path of a file, a JWK set, or a function that fetches one.
Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Callable[[], Awaitable[Mapping[str, Any]]]

#: Seconds that a fetch may take, and bytes that are read of its answer.
_TIMEOUT = 5.0
_MAX_BYTES = 1 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class KeySource:
    """The keys of one issuer, kept up to date while they are asked for. An outage leaves those that there are."""

    def __init__(self, source: Source, clock: Clock, *, max_age: float, min_interval: float) -> None:
        """Raises ConfigurationError for what can be no source; a set that is given as it is is checked at once."""
        self._clock = clock
        self._freshness = Freshness(max_age=max_age, min_interval=min_interval)
        self._keys: KeySet | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._fetch: Callable[[], Awaitable[object]] | None = None
        #: Told when other keys hold than before.
        self.on_change: Callable[[], None] = lambda: None
        if isinstance(source, Mapping):
            try:
                self._keys = KeySet(source)
            except ValueError as error:
                raise ConfigurationError(f"jwt: jwks: {error}") from None
        else:
            self._fetch = _fetcher(source)

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key of a token; None where the issuer has none such. Raises Unavailable where that cannot be known."""
        key = self._find(kid, algorithm)
        if self._fetch is None:
            return key
        if self._fetching is None and self._freshness.due(self._clock.now(), found=key is not None):
            self._freshness.began(self._clock.now())
            self._fetching = asyncio.create_task(self._run(self._fetch), name="kit: keys of an issuer")
        if key is not None:
            return key
        if self._fetching is not None:
            # Whoever waits may give up; the fetch goes on for the others.
            await asyncio.shield(self._fetching)
            key = self._find(kid, algorithm)
        if key is None and self._freshness.failed:
            raise Unavailable(
                "the keys of the token's issuer cannot be had now", reason="KEYS_UNAVAILABLE", domain=DOMAIN
            )
        return key

    def _find(self, kid: str | None, algorithm: str) -> Key | None:
        return None if self._keys is None else self._keys.find(kid, algorithm)

    async def _run(self, fetch: Callable[[], Awaitable[object]]) -> None:
        good = False
        try:
            async with asyncio.timeout(2 * _TIMEOUT):
                document = await fetch()
            keys = KeySet(document)
            former, self._keys, good = self._keys, keys, True
            if former is not None and former.document != document:
                self.on_change()
        except Exception as error:  # noqa: BLE001 - whatever it is, the keys that there are stay
            log.warning(
                "the keys of an issuer cannot be fetched; those that there are stay", error=str(error) or repr(error)
            )
        finally:
            self._freshness.ended(self._clock.now(), good=good)
            self._fetching = None


def _fetcher(source: object) -> Callable[[], Awaitable[object]]:
    if callable(source):
        return source
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        _check_url(source)
        return lambda: asyncio.to_thread(_get, source)
    if isinstance(source, (str, os.PathLike)) and os.fspath(source):
        path = Path(source)
        return lambda: asyncio.to_thread(_read, path)
    raise ConfigurationError("jwt: jwks: give a URL, the path of a file, a JWK set, or a function that fetches one")


def _check_url(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigurationError(f"jwt: jwks: {url}: keys come over https; whoever can change them can make tokens")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _check_url(newurl)
        except ConfigurationError as error:
            raise urllib.error.URLError(str(error)) from None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(path: Path) -> object:
    return json.loads(path.read_bytes())


def _get(url: str) -> object:
    secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    opener = urllib.request.build_opener(_NoDowngrade, secure)
    with opener.open(url, timeout=_TIMEOUT) as answer:
        content: bytes = answer.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"the answer has more than {_MAX_BYTES} bytes")
    return json.loads(content)
