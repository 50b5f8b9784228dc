"""What guards a server, gathered for `kit.Server`: its port, the layers that ask who calls, the check at the start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import grpc.aio

from kit.errors import ConfigurationError
from kit.observe import get_logger
from kit.server._authenticate import check_guarded, is_ignored
from kit.server._call import ServerMethod
from kit.server._tls import Certificates, ServerTls
from kit.server.auth import ApiKeys, Authenticator, JwtAuthenticator, PeerCertificate
from kit.server.auth._rules import access_of

__all__ = ["LayerArguments", "Security"]

log = get_logger("kit.server")


class LayerArguments(TypedDict):
    """What `server_pipeline` is told."""

    authenticators: Sequence[Authenticator]
    allowed_names: Sequence[str] | None
    ignore_auth: bool
    audit: bool | None


class Security:
    """One server's."""

    def __init__(
        self,
        *,
        tls: ServerTls | None,
        authenticators: Sequence[Authenticator],
        insecure_ignore_auth: bool | None,
        audit: bool | None,
        loopback: bool,
    ) -> None:
        """Reads the certificates. Raises ConfigurationError."""
        if tls is not None and not isinstance(tls, ServerTls):
            raise ConfigurationError(f"tls is of type {type(tls).__name__}; give a kit.ServerTls, or None for none")
        self.certificates = None if tls is None else Certificates(tls)
        self.ignored = is_ignored(insecure_ignore_auth, loopback=loopback)
        self._loopback = loopback
        self._asks_certificates = tls is not None and tls.client_ca is not None
        self._arguments: LayerArguments = {
            "authenticators": authenticators,
            "allowed_names": None if tls is None else tls.allowed_names,
            "ignore_auth": self.ignored,
            "audit": audit,
        }

    @property
    def layers(self) -> LayerArguments:
        """What `server_pipeline` is told."""
        return self._arguments

    def check(self, methods: Iterable[ServerMethod]) -> None:
        """Refuses to serve what nobody guards, and warns of what is guarded badly. Raises ConfigurationError."""
        authenticators = self._arguments["authenticators"]
        if self.ignored:
            if authenticators or any(access_of(method).declared for method in methods):
                log.warning("nobody is asked who calls: insecure_ignore_auth or KIT_AUTH=off holds")
        elif not authenticators:
            check_guarded(methods)
        secrets = any(isinstance(one, (ApiKeys, JwtAuthenticator)) for one in authenticators)
        if secrets and self.certificates is None and not self._loopback:
            log.warning("tokens and keys are taken over plain connections; give tls=kit.ServerTls(...)")
        if not self._asks_certificates and any(isinstance(one, PeerCertificate) for one in authenticators):
            log.warning("PeerCertificate knows nobody: no client shows one; give tls=kit.ServerTls(..., client_ca=...)")

    def listen(self, server: grpc.aio.Server, address: str) -> int:
        """Opens the port; raises RuntimeError as grpc does."""
        if self.certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self.certificates.credentials())
