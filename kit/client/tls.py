"""Certificates in files: where they are, and whether they are any good. `_certificates` follows their changes."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

from kit.errors import ConfigurationError

__all__ = ["Stamp", "TlsFiles"]

#: Of each file what tells that it is another one; None where there is none.
Stamp: TypeAlias = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsFiles:
    """Where the PEM files of a secure channel are. For mutual TLS give key and chain, both.

    They are followed: new files are taken into use without a failed call. Raises ConfigurationError.
    """

    #: Whom to trust; None for those that grpc brings.
    root_certificates: str | Path | None = None
    #: The client's own, not encrypted: grpc takes no password.
    private_key: str | Path | None = None
    #: The client's certificate, then those that signed it.
    certificate_chain: str | Path | None = None
    #: The name that servers' certificates are checked for; None for the host of the target.
    server_name: str | None = None

    def __post_init__(self) -> None:
        for name in ("root_certificates", "private_key", "certificate_chain"):
            path = getattr(self, name)
            if path is not None and (not isinstance(path, (str, os.PathLike)) or not os.fspath(path)):
                raise ConfigurationError(f"tls: {name} is {_shown(path)}; give the path of a PEM file")
            if isinstance(path, str) and "-----BEGIN" in path:
                raise ConfigurationError(f"tls: {name} is a PEM text; write it to a file and give the path of that")
        if self.server_name is not None and (not isinstance(self.server_name, str) or not self.server_name):
            raise ConfigurationError(f"tls: server_name is {self.server_name!r}; give a host name, or None")
        if (self.private_key is None) != (self.certificate_chain is None):
            given, lacks = ("private_key", "certificate_chain")[:: 1 if self.certificate_chain is None else -1]
            raise ConfigurationError(f"tls: {given} is given without {lacks}; give both, or neither")

    def stamp(self) -> Stamp:
        """Changes when a file does."""
        return tuple(_stamp(path) for path in (self.root_certificates, self.private_key, self.certificate_chain))

    def read(self) -> grpc.ChannelCredentials:
        """Reads and checks the files. Raises ConfigurationError, which names the file and what is wrong with it."""
        before = self.stamp()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        roots = key = chain = None
        if self.root_certificates is not None:
            roots = _read("root_certificates", self.root_certificates)
            try:
                context.load_verify_locations(cadata=roots.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise ConfigurationError(
                    f"tls: root_certificates: {self.root_certificates} holds no certificates in PEM ({_words(error)}); "
                    'it has to begin with "-----BEGIN CERTIFICATE-----"'
                ) from None
        if self.private_key is not None and self.certificate_chain is not None:
            key = _read("private_key", self.private_key)
            chain = _read("certificate_chain", self.certificate_chain)
            self._check_pair(context, key, chain)
        if self.stamp() != before:
            raise ConfigurationError("tls: the files change while they are read; write them before they are used")
        return grpc.ssl_channel_credentials(roots, key, chain)

    def hint(self, reason: str) -> str:
        """What to change where a connection failed for this reason; "" where that is not about certificates.

        A server that does not take a client just hangs up, which with TLS 1.3 is all that the client learns.
        """
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return (
                f"the server's certificate is not signed by any in {self.root_certificates or 'those that grpc brings'}"
            )
        if "Socket closed" not in reason and "handshake" not in reason.lower():
            return ""
        if self.certificate_chain is None:
            return (
                "the server hung up: if it asks clients for a certificate, give private_key and certificate_chain "
                "to kit.TlsFiles"
            )
        return f"the server hung up: it may not trust the certificate in {self.certificate_chain}, or that has expired"

    def _check_pair(self, context: ssl.SSLContext, key: bytes, chain: bytes) -> None:
        assert self.private_key is not None
        assert self.certificate_chain is not None
        for field, path, content, mark in (
            ("private_key", self.private_key, key, b"PRIVATE KEY-----"),
            ("certificate_chain", self.certificate_chain, chain, b"-----BEGIN CERTIFICATE-----"),
        ):
            if mark not in content:
                raise ConfigurationError(f"tls: {field}: {path} holds none in PEM: no line has {mark.decode()!r}")

        def password() -> str:
            raise ConfigurationError(
                f"tls: private_key: {self.private_key} is encrypted, and grpc takes no password; "
                "write it without one, readable by this user only"
            )

        try:
            context.load_cert_chain(self.certificate_chain, self.private_key, password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigurationError(
                    f"tls: private_key {self.private_key} and certificate_chain {self.certificate_chain} do not belong "
                    "together; the first certificate has to be the one that was made for the key"
                ) from None
            raise ConfigurationError(
                f"tls: private_key {self.private_key} or certificate_chain {self.certificate_chain} is damaged "
                f"({_words(error)}); write both anew"
            ) from None


def _shown(path: object) -> str:
    """What was given in place of a path: not all of it, as it may be a key."""
    return f"of type {type(path).__name__}" if path != "" else "empty"


def _stamp(path: str | Path | None) -> tuple[int, ...] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _read(field: str, path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"tls: {field}: {path} cannot be read: {error.strerror or error}") from None


def _words(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
