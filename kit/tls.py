"""PEM files of certificates: read, checked, and seen to change. What a channel and a server do with them is theirs.

Errors name the field, the file and what to change; they never hold any of what stands in the file, which may be a key.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TypeAlias

from kit.errors import ConfigurationError

__all__ = ["INTERVAL", "FileSet", "PathLike", "Stamp", "check_pair", "check_path", "check_roots", "read_file"]

PathLike: TypeAlias = str | os.PathLike[str]
#: Of each file what tells that it is another one; None where there is none.
Stamp: TypeAlias = tuple[tuple[int, ...] | None, ...]

#: Seconds between two looks at files that are followed. A look is one stat for each.
INTERVAL = 1.0


class FileSet:
    """Files that belong together and may change while they are in use, also behind a link, as Kubernetes changes them.

    A change is taken up when it has stood still for one look, so that no file is read while it is written.
    """

    def __init__(self, *paths: PathLike | None) -> None:
        self._paths = paths
        self._read = self._seen = self.stamp()

    def stamp(self) -> Stamp:
        """Changes when a file does."""
        return tuple(_stamp(path) for path in self._paths)

    def note(self) -> None:
        """The files are read now, whatever comes of it."""
        self._read = self._seen = self.stamp()

    def moved(self) -> bool:
        """Whether they are others than when they were last read."""
        return self.stamp() != self._read

    def young(self, wall: float) -> bool:
        """Whether one was written less than a look ago; `wall` is seconds since 1970."""
        return any(found is not None and 0 <= wall - found[2] / 1e9 < INTERVAL for found in self.stamp())

    def changed(self) -> bool:
        """One look: whether they are others than when they were last read, and the same as at the last look."""
        stamp = self.stamp()
        if stamp != self._seen:
            self._seen = stamp
            return False
        return stamp != self._read


def check_path(field: str, path: object) -> None:
    """Refuses what is no path of a file, or the text of one."""
    if path is not None and (not isinstance(path, (str, os.PathLike)) or not os.fspath(path)):
        raise ConfigurationError(f"tls: {field} is {_shown(path)}; give the path of a PEM file")
    if isinstance(path, str) and "-----BEGIN" in path:
        raise ConfigurationError(f"tls: {field} is a PEM text; write it to a file and give the path of that")


def read_file(field: str, path: PathLike) -> bytes:
    """The file's bytes. Raises ConfigurationError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"tls: {field}: {path} cannot be read: {error.strerror or error}") from None


def check_roots(field: str, path: PathLike, content: bytes) -> None:
    """Refuses what holds no certificates to trust."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"tls: {field}: {path} holds no certificates in PEM ({_words(error)}); "
            'it has to begin with "-----BEGIN CERTIFICATE-----"'
        ) from None


def check_pair(private_key: PathLike, certificate_chain: PathLike, key: bytes, chain: bytes) -> None:
    """Refuses a key and a certificate that do not belong together; `key` and `chain` are what stands in the files."""
    for field, path, content, mark in (
        ("private_key", private_key, key, b"PRIVATE KEY-----"),
        ("certificate_chain", certificate_chain, chain, b"-----BEGIN CERTIFICATE-----"),
    ):
        if mark not in content:
            raise ConfigurationError(f"tls: {field}: {path} holds none in PEM: no line has {mark.decode()!r}")

    def password() -> str:
        raise ConfigurationError(
            f"tls: private_key: {private_key} is encrypted, and grpc takes no password; "
            "write it without one, readable by this user only"
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_chain, private_key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"tls: private_key {private_key} and certificate_chain {certificate_chain} do not belong "
                "together; the first certificate has to be the one that was made for the key"
            ) from None
        raise ConfigurationError(
            f"tls: private_key {private_key} or certificate_chain {certificate_chain} is damaged "
            f"({_words(error)}); write both anew"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"tls: {private_key} or {certificate_chain} cannot be read: {error}") from None


def _stamp(path: PathLike | None) -> tuple[int, ...] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _shown(path: object) -> str:
    """What was given in place of a path: not all of it, as it may be a key."""
    return f"of type {type(path).__name__}" if path != "" else "empty"


def _words(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
