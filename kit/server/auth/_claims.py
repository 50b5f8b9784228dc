"""What a verified token says, held against what is expected. Pure: `now` is seconds since 1970.

A token must say who issued it, for whom, about whom and until when. Numbers are checked as numbers: JSON as Python
reads it has NaN, which is never later than anything, so that such a token would never expire.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import ConfigurationError
from kit.server.auth._principal import Principal

__all__ = ["Claims", "Refused", "claims_of"]


class Refused(Exception):  # noqa: N818 - not a defect but an answer
    """The token is not taken. `why` is for the log: it holds nothing of the token."""

    def __init__(self, why: str, *, expired: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.expired = expired


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What is expected of a token, and where in it the name, scopes and roles stand. Times are seconds."""

    issuer: str
    audience: frozenset[str]
    leeway: float
    name: str = "sub"
    scopes: tuple[str, ...] = ("scope", "scp")
    roles: str = "roles"

    def __post_init__(self) -> None:
        if not isinstance(self.issuer, str) or not self.issuer:
            raise ConfigurationError(f"jwt: issuer is {self.issuer!r}; give what tokens say in `iss`")
        if not self.audience or not all(isinstance(one, str) and one for one in self.audience):
            raise ConfigurationError("jwt: audience is empty; give what tokens for this server say in `aud`")
        if not (isinstance(self.leeway, (int, float)) and 0 <= self.leeway <= 300):
            raise ConfigurationError(f"jwt: leeway is {self.leeway!r}; give 0 to 300 seconds")

    def check(self, claims: Mapping[str, Any], now: float) -> float:
        """Refuses what does not fit; returns until when the token is good."""
        if claims.get("iss") != self.issuer:
            raise Refused("another issuer")
        audience = claims.get("aud")
        meant = {audience} if isinstance(audience, str) else set(_texts(audience))
        if not meant & self.audience:
            raise Refused("another audience")
        until = _instant(claims, "exp") + self.leeway
        if now >= until:
            raise Refused("expired", expired=True)
        for name in ("nbf", "iat"):
            if name in claims and _instant(claims, name) > now + self.leeway:
                raise Refused(f"{name} is in the future")
        return until

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Who the token is about."""
        name = claims.get(self.name)
        if not isinstance(name, str) or not name:
            raise Refused(f"no {self.name}")
        scopes = frozenset(scope for claim in self.scopes for scope in _words(_at(claims, claim)))
        return Principal(name, scopes, frozenset(_words(_at(claims, self.roles))), method="jwt", claims=claims)


def claims_of(audience: str | Sequence[str], **rest: Any) -> Claims:
    """With an audience that is one text or several."""
    several = (audience,) if isinstance(audience, str) else audience
    return Claims(audience=frozenset(several), **rest)


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e12 < value < 1e12:
        raise Refused(f"{name} is no time")
    assert math.isfinite(value)
    return value


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """What stands at a path such as "realm_access.roles"; a claim whose own name has dots goes first."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _words(value: Any) -> list[str]:
    """A text is words with spaces between (RFC 8693), a list is a list."""
    return value.split() if isinstance(value, str) else _texts(value)


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []
