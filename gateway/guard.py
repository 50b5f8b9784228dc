"""Who may speak to the gateway from a browser: Host and Origin.

A page of any site can make its visitor's browser send requests to 127.0.0.1, and by DNS rebinding even under a name of
its own and read the answers. So a gateway on loopback answers only to loopback's own names (else 421), and every
gateway refuses what another origin's page sends (403). Programs send no Origin and are not touched by the second.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

import grpc

from gateway.problem import refused

__all__ = ["Guard", "is_loopback"]

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """The check of one listener. `hosts` and `origins` are allowed beside its own: "logs.example", "https://a.b"."""

    def __init__(self, listen_host: str, port: int, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._names: frozenset[str] | None = None
        if is_loopback(listen_host):
            own = {*_LOOPBACK_NAMES, f"[{listen_host}]" if ":" in listen_host else listen_host}
            with_port = {f"{name}:{port}" for name in own}
            self._names = frozenset(with_port | (own if port == 80 else set()) | {host.lower() for host in hosts})
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def check(self, host: str, origin: str | None) -> None:
        """Raises RefusedError for a request with these headers. An empty `host` is one that was not sent."""
        name = host.lower()
        if self._names is not None and name not in self._names:
            raise refused(
                421,
                grpc.StatusCode.PERMISSION_DENIED,
                "HOST_NOT_ALLOWED",
                "This gateway listens on this machine only and does not answer under the Host that was asked for. "
                "Use localhost or 127.0.0.1 with its port, or add the name to allowed_hosts.",
            )
        if origin is not None and not self._same_origin(origin.lower(), name):
            raise refused(
                403,
                grpc.StatusCode.PERMISSION_DENIED,
                "ORIGIN_NOT_ALLOWED",
                "A page of another origin may not use this gateway.",
            )

    def _same_origin(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        # The scheme is not compared: behind a proxy that ends TLS the page says https and the request http.
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in {"http", "https"} and parts.netloc == host
