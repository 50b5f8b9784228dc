"""Who is at the other end of a connection, as its certificate says, which grpc has verified."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NOBODY", "Peer", "Peers"]

#: Certificates whose names are kept.
_MAX_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """The names in a client's certificate; none where it showed none."""

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.uris or self.dns)

    def __str__(self) -> str:
        return ", ".join((*self.uris, *self.dns)) or "nobody"


NOBODY = Peer()


class Peers:
    """Reads the names of peers, once for each certificate.

    A connection's address is no key for it: the next connection may come from the same port.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Peer] = OrderedDict()

    def of(self, context: Any) -> Peer:
        """The peer of a call; NOBODY on a plain connection."""
        found: Mapping[str, Sequence[bytes]] = context.auth_context()
        pem = found.get("x509_pem_cert")
        if not pem:
            return NOBODY
        peer = self._known.get(pem[0])
        if peer is None:
            peer = Peer(_texts(found.get("peer_uri", ())), _texts(found.get("peer_dns", ())))
            self._known[pem[0]] = peer
            if len(self._known) > _MAX_KEPT:
                self._known.popitem(last=False)
        return peer


def _texts(values: Sequence[bytes]) -> tuple[str, ...]:
    """What is no ASCII is no name that a pattern could mean."""
    return tuple(value.decode("ascii") for value in values if value.isascii())
