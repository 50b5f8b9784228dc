"""What a call brings to show who makes it, and the answers where that is not enough.

An answer never says which part of a secret was wrong, only what an honest client can act on: nothing was brought, it
has expired, or it is not taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kit.errors import PermissionDenied, Unauthenticated
from kit.server._call import ServerCall
from kit.server.auth._principal import Principal

__all__ = [
    "DOMAIN",
    "Authenticator",
    "bearer_of",
    "denied",
    "expired",
    "missing",
    "not_taken",
    "single",
    "words",
]

#: Of the reasons in google.rpc.ErrorInfo.
DOMAIN = "kit"


class Authenticator(Protocol):
    """One way to know who calls."""

    async def authenticate(self, call: ServerCall) -> Principal | None:
        """Who calls; None where the call brings nothing of the kind that this one looks at.

        Raises Unauthenticated for credentials that are no good: no other authenticator is asked then.
        """
        ...


def single(call: ServerCall, key: str) -> str | None:
    """The value of a metadata key; None without one. Two are refused: each hop might look at another one."""
    found: str | None = None
    for name, value in call.metadata:
        if name == key:
            if found is not None or not isinstance(value, str):
                raise not_taken()
            found = value
    return found


def bearer_of(call: ServerCall) -> str | None:
    """The token of `authorization: Bearer ...` (RFC 6750); None for another scheme and without one."""
    value = single(call, "authorization")
    if value is None or value[:7].lower() != "bearer ":
        return None
    return value[7:].strip()


def missing() -> Unauthenticated:
    """Nothing was brought that any authenticator looks at."""
    return Unauthenticated(
        "the call brings no credentials that this server takes", reason="CREDENTIALS_MISSING", domain=DOMAIN
    )


def not_taken() -> Unauthenticated:
    """What was brought is no good."""
    return Unauthenticated("the credentials are not valid", reason="CREDENTIALS_INVALID", domain=DOMAIN)


def expired() -> Unauthenticated:
    """What was brought was good once; said only of what was really issued."""
    return Unauthenticated("the token has expired; get a new one", reason="ACCESS_TOKEN_EXPIRED", domain=DOMAIN)


def denied(message: str, reason: str, **metadata: str) -> PermissionDenied:
    """Who calls is known, and may not."""
    return PermissionDenied(message, reason=reason, domain=DOMAIN, metadata=metadata)


def words(names: Iterable[str]) -> str:
    """For people and programs: sorted, with spaces between."""
    return " ".join(sorted(names))
