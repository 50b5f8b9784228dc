"""The certificates of a server, followed while it serves.

Theory of operation. grpc asks at the start of every handshake whether there is another certificate (`_fetch`, in a
thread of its own, so it only looks at a field). The files are read beside the calls: looked at each second, taken up
when a change has stood still for one look, and checked. What is no good is told of in the log, and the former
certificates stay. Connections that stand go on with those that they began with; a client that is no longer trusted
keeps its connection until that ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError
from kit.observe import get_logger
from kit.server.auth._names import patterns
from kit.tls import INTERVAL, FileSet, check_pair, check_path, check_roots, read_file

__all__ = ["Certificates", "ServerTls"]

log = get_logger("kit.server")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerTls:
    """Where the PEM files of a server are, and whom it takes. They are followed. Raises ConfigurationError."""

    #: The server's certificate, then those that signed it.
    certificate_chain: str | os.PathLike[str]
    #: Its key, not encrypted: grpc takes no password.
    private_key: str | os.PathLike[str]
    #: Who signs the certificates of clients. With it every client must show one; without it none is asked for.
    client_ca: str | os.PathLike[str] | None = None
    #: Names of which a client's certificate must have one: "spiffe://shop.example/ns/*/sa/search" among its URIs,
    #: "search.default.svc" or "*.default.svc" among its DNS names. It holds for every method, health included. None:
    #: whomever `client_ca` signed for.
    allowed_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name in ("certificate_chain", "private_key", "client_ca"):
            path = getattr(self, name)
            if path is None and name != "client_ca":
                raise ConfigurationError(f"tls: {name} is None; a server shows a certificate: give both files")
            check_path(name, path)
        if self.allowed_names is not None:
            if self.client_ca is None:
                raise ConfigurationError(
                    "tls: allowed_names without client_ca: no client is asked for a certificate; give client_ca"
                )
            if not patterns(self.allowed_names, "tls: allowed_names"):
                raise ConfigurationError("tls: allowed_names is empty: nobody could call; None takes all of client_ca")

    def files(self) -> FileSet:
        """The files, to be looked at for changes."""
        return FileSet(self.certificate_chain, self.private_key, self.client_ca)

    def read(self) -> Pem:
        """Reads and checks the files. Raises ConfigurationError, which names the file and what is wrong with it."""
        files = self.files()
        key = read_file("private_key", self.private_key)
        chain = read_file("certificate_chain", self.certificate_chain)
        check_pair(self.private_key, self.certificate_chain, key, chain)
        roots = None
        if self.client_ca is not None:
            roots = read_file("client_ca", self.client_ca)
            check_roots("client_ca", self.client_ca, roots)
        if files.moved():
            raise ConfigurationError("tls: the files change while they are read; write them before they are used")
        return Pem(key, chain, roots)


@dataclass(frozen=True, slots=True, repr=False)
class Pem:
    """What stood in the files."""

    key: bytes
    chain: bytes
    roots: bytes | None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The same for grpc. Not before a fork."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.roots)


class Certificates:
    """See the module."""

    def __init__(self, tls: ServerTls, clock: Clock = SYSTEM) -> None:
        """Reads the files. Raises ConfigurationError."""
        self._tls = tls
        self._clock = clock
        self._changes = tls.files()
        self._pem = tls.read()
        #: What handshakes that come are to use, and what grpc has been given; None for what it began with.
        self._wanted: grpc.ServerCertificateConfiguration | None = None
        self._given: grpc.ServerCertificateConfiguration | None = None
        self._credentials: grpc.ServerCredentials | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """What a port is opened with. Kept here: grpc calls back while the port is open, and holds no reference."""
        if self._credentials is None:
            self._credentials = grpc.dynamic_ssl_server_credentials(
                self._pem.configuration(), self._fetch, self._tls.client_ca is not None
            )
        return self._credentials

    async def follow(self) -> None:
        """Looks after the files for ever."""
        while True:
            await self._clock.sleep(INTERVAL)
            if self._changes.changed():
                self._take()

    def _take(self) -> None:
        self._changes.note()
        try:
            pem = self._tls.read()
            following = pem.configuration()
        except (ConfigurationError, ValueError) as error:
            log.error("the new certificates are no good; the former ones stay", error=str(error))  # noqa: TRY400
            _tell(accepted=False, error=str(error))
            return
        if pem != self._pem:
            self._pem, self._wanted = pem, following
            log.info("new certificates are in use", certificate=os.fspath(self._tls.certificate_chain))
            _tell(accepted=True)

    def _fetch(self) -> Any:
        """The configuration for a handshake, or None where grpc has it already.

        Called in threads of grpc's, several at a time: what may change meanwhile is read once.
        """
        wanted = self._wanted
        if wanted is self._given:
            return None
        self._given = wanted
        return wanted


def _tell(*, accepted: bool, error: str = "") -> None:
    from kit import events
    from kitapi.v1 import events_pb2

    event = events_pb2.CertificatesReloaded(accepted=accepted, error=error)
    events.publish(event, subject="servers/certificates")
