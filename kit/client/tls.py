"""Certificates of a channel in files: where they are. `kit.tls` checks them, `_certificates` follows their changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from kit.errors import ConfigurationError
from kit.tls import FileSet, check_pair, check_path, check_roots, read_file

__all__ = ["TlsFiles"]


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
            check_path(name, getattr(self, name))
        if self.server_name is not None and (not isinstance(self.server_name, str) or not self.server_name):
            raise ConfigurationError(f"tls: server_name is {self.server_name!r}; give a host name, or None")
        if (self.private_key is None) != (self.certificate_chain is None):
            given, lacks = ("private_key", "certificate_chain")[:: 1 if self.certificate_chain is None else -1]
            raise ConfigurationError(f"tls: {given} is given without {lacks}; give both, or neither")

    def files(self) -> FileSet:
        """The files, to be looked at for changes."""
        return FileSet(self.root_certificates, self.private_key, self.certificate_chain)

    def read(self) -> grpc.ChannelCredentials:
        """Reads and checks the files. Raises ConfigurationError, which names the file and what is wrong with it."""
        files = self.files()
        roots = key = chain = None
        if self.root_certificates is not None:
            roots = read_file("root_certificates", self.root_certificates)
            check_roots("root_certificates", self.root_certificates, roots)
        if self.private_key is not None and self.certificate_chain is not None:
            key = read_file("private_key", self.private_key)
            chain = read_file("certificate_chain", self.certificate_chain)
            check_pair(self.private_key, self.certificate_chain, key, chain)
        if files.moved():
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
