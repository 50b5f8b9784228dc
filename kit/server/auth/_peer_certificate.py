"""Clients that are known by the certificate of their connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kit.errors import ConfigurationError
from kit.server._call import ServerCall
from kit.server.auth._names import first_match, patterns
from kit.server.auth._peer import Peer, Peers
from kit.server.auth._principal import Principal

__all__ = ["PeerCertificate"]

_MAX_KEPT = 1024


class PeerCertificate:
    """Takes the names in the certificate that the client showed, which grpc has verified."""

    def __init__(self, rules: Mapping[str, Principal | Iterable[str]]) -> None:
        """`rules` give what a name is worth: the scopes, or a Principal. Of several that match the first one holds.

            PeerCertificate({
                "spiffe://shop.example/ns/*/sa/search": ("orders.read",),       # named as the certificate is
                "dns:ops.example": Principal("ops", {"orders.write"}, {"admin"}),
            })

        For patterns see `kit.server.auth._names`. Raises ConfigurationError.
        """
        if not isinstance(rules, Mapping) or not rules:
            raise ConfigurationError(
                f"peer certificate: give scopes or a Principal by the pattern of a name, not {rules!r}"
            )
        self._patterns = patterns(rules, "peer certificate")
        self._worth = {pattern.text: _worth(pattern.text, rules[pattern.text]) for pattern in self._patterns}
        self._peers = Peers()
        self._known: dict[Peer, Principal | None] = {}

    async def authenticate(self, call: ServerCall) -> Principal | None:
        """See `Authenticator`. A certificate that no rule is about is left to those that come after it."""
        peer = self._peers.of(call.context)
        if peer not in self._known:
            if len(self._known) >= _MAX_KEPT:
                self._known.clear()
            self._known[peer] = self._judge(peer)
        return self._known[peer]

    def _judge(self, peer: Peer) -> Principal | None:
        found = first_match(self._patterns, peer.uris, peer.dns)
        if found is None:
            return None
        pattern, name = found
        worth = self._worth[pattern.text]
        if isinstance(worth, Principal):
            return Principal(worth.name, worth.scopes, worth.roles, method="certificate")
        return Principal(name, worth, method="certificate")


def _worth(pattern: str, worth: object) -> Principal | frozenset[str]:
    if isinstance(worth, Principal):
        return worth
    if isinstance(worth, str) or not isinstance(worth, Iterable) or not all(isinstance(one, str) for one in worth):
        raise ConfigurationError(f"peer certificate: {pattern}: give a list of scopes, or a Principal, not {worth!r}")
    return frozenset(worth)
