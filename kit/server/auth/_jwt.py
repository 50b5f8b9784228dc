"""Bearer tokens: JSON Web Tokens (RFC 7519) that an issuer has signed with a public key."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError
from kit.observe import get_logger
from kit.server._call import ServerCall
from kit.server.auth._claims import Refused, claims_of
from kit.server.auth._credentials import bearer_of, expired, not_taken
from kit.server.auth._key_source import KeySource, Source
from kit.server.auth._keys import check_algorithms, library
from kit.server.auth._principal import Principal

__all__ = ["JwtAuthenticator"]

log = get_logger("kit.server.auth")
#: Verified tokens that are remembered. One is some KiB.
_MAX_KEPT = 4096


class JwtAuthenticator:
    """Takes tokens of one issuer for one audience. One that was verified is known again until it expires.

    Tokens of other issuers are left to the authenticators that come after it.
    """

    def __init__(
        self,
        issuer: str,
        audience: str | Sequence[str],
        *,
        jwks: Source,
        algorithms: Iterable[str] = ("RS256", "ES256", "EdDSA"),
        leeway: float = 30.0,
        name_claim: str = "sub",
        scopes_claims: Sequence[str] = ("scope", "scp"),
        roles_claim: str = "roles",
        max_age: float = 300.0,
        min_interval: float = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        """`issuer` and `audience` are what tokens say in `iss` and `aud`; of several audiences one is enough.

        `jwks` are the issuer's keys: an https URL, the path of a file, a JWK set, or an async function that fetches
        one. They are fetched again when they are older than `max_age` seconds, beside the calls, and when a token
        names a key that is not among them, at most each `min_interval` seconds. `leeway` is by how many seconds clocks
        may differ. Claims may be paths ("realm_access.roles"). Raises ConfigurationError.
        """
        library()
        self._claims = claims_of(
            audience, issuer=issuer, leeway=leeway, name=name_claim, scopes=tuple(scopes_claims), roles=roles_claim
        )
        self._algorithms = check_algorithms(algorithms)
        for name, seconds in (("max_age", max_age), ("min_interval", min_interval)):
            if not (isinstance(seconds, (int, float)) and seconds >= 0):
                raise ConfigurationError(f"jwt: {name} is {seconds!r}; give seconds, 0 or more")
        self._clock = clock
        self._keys = KeySource(jwks, clock, max_age=max_age, min_interval=min_interval)
        #: What was verified, by the digest of the token, and until when it holds (seconds since 1970).
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        # A key that was taken back takes its tokens with it.
        self._keys.on_change = self._known.clear

    async def authenticate(self, call: ServerCall) -> Principal | None:
        """See `Authenticator`. Raises Unauthenticated, and Unavailable where the issuer's keys cannot be had."""
        token = bearer_of(call)
        if token is None:
            return None
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None:
            who, until = known
            if self._clock.wall() < until:
                return who
            del self._known[digest]
            raise expired()
        return await self._verify(token, digest)

    async def _verify(self, token: str, digest: bytes) -> Principal | None:
        try:
            header, claimed = _unverified(token)
            if claimed.get("iss") != self._claims.issuer:
                return None
            claims = _object(await self._payload(token, header))
            until = self._claims.check(claims, self._clock.wall())
            who = self._claims.principal(claims)
        except Refused as refusal:
            log.debug("a token is refused", why=refusal.why)
            raise (expired() if refusal.expired else not_taken()) from None
        self._known[digest] = who, until
        if len(self._known) > _MAX_KEPT:
            self._known.popitem(last=False)
        return who

    async def _payload(self, token: str, header: dict[str, Any]) -> bytes:
        """The payload, once its signature is verified."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise Refused("an algorithm that is not taken")
        if kid is not None and not isinstance(kid, str):
            raise Refused("a key that has no name")
        if "crit" in header:
            raise Refused("it asks for something that is not understood")
        key = await self._keys.find(kid, algorithm)
        if key is None:
            raise Refused("a key that the issuer does not have")
        try:
            return key.verify(token, algorithm)
        except library().PyJWTError as error:
            raise Refused(type(error).__name__) from None


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they are claimed: good for nothing but the choice of the key."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("no token")
    try:
        header, claims = (base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True) for part in parts[:2])
    except ValueError:
        raise Refused("no token") from None
    return _object(header), _object(claims)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused("no token") from None
    if not isinstance(found, dict):
        raise Refused("no token")
    return found
