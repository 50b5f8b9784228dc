"""Keys that programs are given: long random texts, of which the server knows the SHA-256 digests only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError
from kit.observe import get_logger
from kit.server._call import ServerCall
from kit.server.auth._credentials import not_taken, single
from kit.server.auth._principal import Principal
from kit.tls import INTERVAL, FileSet

__all__ = ["ApiKeys", "digest_of"]

log = get_logger("kit.server.auth")
_FIELDS = frozenset({"sha256", "scopes", "roles"})
_NOBODYS = b"\0" * 32


def digest_of(key: str) -> str:
    """The SHA-256 digest of a key, as `ApiKeys` takes it: 64 hexadecimal digits.

    No salt and no slow hash: make keys with `secrets.token_urlsafe(32)`, which nobody can guess, digest or not.
    """
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Takes the key in the metadata `x-api-key`."""

    def __init__(
        self,
        keys: Mapping[str, Principal] | str | os.PathLike[str],
        *,
        header: str = "x-api-key",
        clock: Clock = SYSTEM,
    ) -> None:
        """`keys` are principals by the digest of their key, or the path of a TOML file:

            [billing]                       # the principal's name
            sha256 = "9f86d081884c7d65..."  # or a list, while a key is exchanged
            scopes = ["orders.read"]
            roles = []

        The file is looked at each second while calls come; one that is no good is told of in the log, and the former
        keys stay. `header` is the metadata key, in lower case. Raises ConfigurationError.
        """
        if not header or header != header.lower() or header.endswith("-bin"):
            raise ConfigurationError(f"api keys: header is {header!r}; give the name of a metadata key, in lower case")
        self._header = header
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._path = Path(keys) if isinstance(keys, (str, os.PathLike)) else None
        self._files = FileSet(self._path)
        self._looked = clock.now()
        self._entries = self._placed(keys if self._path is None else _read(self._path))

    async def authenticate(self, call: ServerCall) -> Principal | None:
        """See `Authenticator`."""
        key = single(call, self._header)
        if key is None:
            return None
        if self._path is not None and self._clock.now() - self._looked >= INTERVAL:
            self._look(self._path)
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = self._entries.get(self._place(digest))
        # Compared in full, in a time that does not depend on where a difference is, and also where nothing was found.
        good = hmac.compare_digest(digest, _NOBODYS if found is None else found[0])
        if found is None or not good:
            raise not_taken()
        return found[1]

    def _place(self, digest: bytes) -> bytes:
        """Where an entry stands: nobody outside can tell, however the table looks for it."""
        return hashlib.blake2b(digest, key=self._secret, digest_size=16).digest()

    def _placed(self, keys: object) -> dict[bytes, tuple[bytes, Principal]]:
        if not isinstance(keys, Mapping) or not keys:
            raise ConfigurationError("api keys: there are no keys; give principals by digest, or the path of a file")
        entries: dict[bytes, tuple[bytes, Principal]] = {}
        for text, who in keys.items():
            if not isinstance(who, Principal):
                raise ConfigurationError(
                    f"api keys: give a kit.auth.Principal for each digest, not {type(who).__name__}"
                )
            digest = _digest(text, who.name)
            named = who if who.method else Principal(who.name, who.scopes, who.roles, method="api_key")
            entries[self._place(digest)] = digest, named
        return entries

    def _look(self, path: Path) -> None:
        self._looked = self._clock.now()
        # Not while it is written: a file that is young is read at the next look.
        if not self._files.moved() or self._files.young(self._clock.wall()):
            return
        self._files.note()
        try:
            self._entries = self._placed(_read(path))
        except ConfigurationError as error:
            log.error("the API keys cannot be read; the former ones stay", error=str(error))  # noqa: TRY400
        else:
            log.info("new API keys are in use", count=len(self._entries))


def _read(path: Path) -> dict[str, Principal]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        # What TOML says of an error may hold a part of the file: its place is enough.
        reason = error.strerror if isinstance(error, OSError) else "it is no TOML"
        raise ConfigurationError(f"api keys: {path} cannot be read: {reason}") from None
    keys: dict[str, Principal] = {}
    for name, entry in document.items():
        if not isinstance(entry, dict) or not entry.keys() <= _FIELDS or "sha256" not in entry:
            raise ConfigurationError(f"api keys: {path}: [{name}] has sha256, and may have scopes and roles")
        who = Principal(name, _texts(path, name, entry, "scopes"), _texts(path, name, entry, "roles"))
        digests = entry["sha256"]
        for digest in digests if isinstance(digests, list) else [digests]:
            if digest in keys:
                raise ConfigurationError(f"api keys: {path}: [{name}] has a key that another one has")
            keys[digest] = who
    return keys


def _texts(path: Path, name: str, entry: Mapping[str, Any], field: str) -> frozenset[str]:
    value = entry.get(field, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ConfigurationError(f"api keys: {path}: [{name}] {field} is a list of texts")
    return frozenset(value)


def _digest(text: object, name: str) -> bytes:
    try:
        digest = bytes.fromhex(text) if isinstance(text, str) and len(text) == 64 else b""
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        # Not shown: it may be the key itself.
        raise ConfigurationError(
            f"api keys: {name}: the digest is none; write the 64 hexadecimal digits of kit.auth.digest_of(key)"
        )
    return digest
