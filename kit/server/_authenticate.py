"""The layers that know who calls: by the certificate of the connection, then by what the call brings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kit.errors import ConfigurationError, Unauthenticated
from kit.observe import get_logger
from kit.server._call import Handler, Layer, ServerCall, ServerMethod
from kit.server.auth._credentials import DOMAIN, Authenticator, denied, missing
from kit.server.auth._names import first_match, patterns
from kit.server.auth._peer import Peer, Peers
from kit.server.auth._principal import set_principal
from kit.server.auth._rules import access_of

__all__ = ["AuthenticateLayer", "PeerNamesLayer", "authentication", "check_guarded", "is_ignored"]

log = get_logger("kit.server.auth")
#: Peers whose names have been looked at.
_MAX_KEPT = 1024


class PeerNamesLayer:
    """Takes clients whose certificate has one of the names, for any method."""

    name = "peer names"

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = patterns(allowed, "tls: allowed_names")
        self._peers = Peers()
        self._known: dict[Peer, bool] = {}

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""

        async def handle(call: ServerCall) -> Any:
            peer = self._peers.of(call.context)
            if not self._takes(peer):
                who = peer or "a certificate without names"
                raise denied(f"this server does not take calls from {who}", "PEER_NOT_ALLOWED")
            return await inner(call)

        return handle

    def _takes(self, peer: Peer) -> bool:
        taken = self._known.get(peer)
        if taken is None:
            if len(self._known) >= _MAX_KEPT:
                self._known.clear()
            taken = self._known[peer] = first_match(self._allowed, peer.uris, peer.dns) is not None
        return taken


class AuthenticateLayer:
    """Asks the authenticators in turn who calls. Where there are none, a method that asks for somebody is refused."""

    name = "authenticate"

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""
        access = access_of(method)
        if access.public:
            return inner
        if not self._authenticators:
            return _refuse if access.declared else inner
        authenticators = tuple(one.authenticate for one in self._authenticators)

        async def handle(call: ServerCall) -> Any:
            for authenticate in authenticators:
                who = await authenticate(call)
                if who is not None:
                    call.principal = who
                    set_principal(who)
                    return await inner(call)
            raise missing()

        return handle


async def _refuse(call: ServerCall) -> Any:
    """The start of a `kit.Server` is refused before it comes to this."""
    log.error("a method asks who calls, and the server has no authenticators", method=call.method)
    raise Unauthenticated(
        "this server cannot tell who calls, which the method asks for",
        reason="AUTHENTICATION_NOT_CONFIGURED",
        domain=DOMAIN,
    )


def authentication(
    authenticators: Sequence[Authenticator], allowed_names: Sequence[str] | None, *, ignored: bool = False
) -> list[Layer]:
    """The layers of this module; where callers are `ignored` only that of certificates. Raises ConfigurationError."""
    if isinstance(authenticators, (str, bytes, Mapping)) or not isinstance(authenticators, Iterable):
        raise ConfigurationError(f"authenticators: give a list such as [kit.auth.ApiKeys(...)], not {authenticators!r}")
    for one in authenticators:
        if isinstance(one, type) or not callable(getattr(one, "authenticate", None)):
            raise ConfigurationError(f"authenticators: {one!r} has no authenticate(call); give one of kit.auth's")
    named: list[Layer] = [] if allowed_names is None else [PeerNamesLayer(allowed_names)]
    return named if ignored else [*named, AuthenticateLayer(authenticators)]


def is_ignored(insecure_ignore_auth: bool | None, *, loopback: bool, environ: Mapping[str, str] | None = None) -> bool:
    """Whether nobody is asked who they are, whatever policies say: by the argument, else by KIT_AUTH=off.

    The variable is for development: it is refused where others than this machine can call.
    """
    if insecure_ignore_auth is not None:
        return insecure_ignore_auth
    said = (os.environ if environ is None else environ).get("KIT_AUTH", "")
    if said.lower() not in ("", "on", "off"):
        raise ConfigurationError(f"KIT_AUTH: on or off is needed, not {said!r}")
    if said.lower() != "off":
        return False
    if not loopback:
        raise ConfigurationError(
            "KIT_AUTH=off is for development, and the server does not listen on loopback; unset it, or say "
            "insecure_ignore_auth=True in the code"
        )
    return True


def check_guarded(methods: Iterable[ServerMethod]) -> None:
    """Refuses methods that ask for somebody, for a server that has no authenticators. Raises ConfigurationError."""
    asking = sorted(method.path for method in methods if access_of(method).declared)
    if asking:
        raise ConfigurationError(
            f"auth is declared for {', '.join(asking)}, and the server has no authenticators; give kit.Server "
            "authenticators=[...], or, to serve everybody, insecure_ignore_auth=True or KIT_AUTH=off (on loopback)"
        )
