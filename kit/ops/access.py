"""Who may ask a process about itself, and who may change it.

What a process tells (addresses, methods, policies, texts of errors) helps whoever wants to do harm, so it is told where
only people of this machine can ask, or where it is known who asks:

    admin          listens on loopback           elsewhere, callers known     elsewhere, callers unknown
    None           anybody reads                 who is known reads           not served
                   (or what KIT_ADMIN says: 1 is True, 0 is False)
    True           anybody reads                 who is known reads           anybody reads
    "write"        as True, and anybody writes   as True                      as True
    False          not served                    not served                   not served

Callers are known where the server has authenticators, and then they have to be known on loopback as well; or where it
takes only clients whose certificates have one of the names that it lists. Who is known by an authenticator and has the
scope "ops.write" writes, wherever it is served.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from kit.errors import ConfigurationError, PermissionDenied, Unauthenticated

__all__ = ["WRITE_SCOPE", "Access", "access_for", "from_env"]

#: What a caller needs who changes something.
WRITE_SCOPE = "ops.write"


class Caller(Protocol):
    """Somebody who has proved who they are."""

    @property
    def scopes(self) -> AbstractSet[str]:
        """What they may."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """The rules of one server."""

    #: Whether callers have to be known to read.
    known_only: bool
    #: Whether who is not known may write.
    anybody_writes: bool
    #: Who calls; None where nobody has proved who they are.
    caller: Callable[[], Caller | None]

    def read(self) -> None:
        """Raises Unauthenticated where the caller has to be known and is not."""
        if self.known_only and self.caller() is None:
            raise Unauthenticated("say who you are: this server tells of itself only to callers that it knows")

    def write(self) -> None:
        """Raises Unauthenticated, or PermissionDenied where the caller may not change anything."""
        self.read()
        who = self.caller()
        if self.anybody_writes if who is None else WRITE_SCOPE in who.scopes:
            return
        raise PermissionDenied(
            f'this needs a caller with the scope "{WRITE_SCOPE}"; a server that listens on loopback lets anybody with '
            'kit.Server(admin="write")'
        )


def from_env(environ: Mapping[str, str] = os.environ) -> bool | None:
    """What KIT_ADMIN says: 1 or 0, None where it says nothing. Raises ConfigurationError."""
    text = environ.get("KIT_ADMIN", "").lower()
    if text in ("", "1", "true", "yes", "0", "false", "no"):
        return None if not text else text in ("1", "true", "yes")
    raise ConfigurationError(f"KIT_ADMIN: 1 or 0 is needed, not {text!r}")


def access_for(
    admin: object,
    *,
    loopback: bool,
    knows_callers: bool,
    knows_peers: bool = False,
    caller: Callable[[], Caller | None],
) -> Access | None:
    """The rules; None where nothing is served. Raises ConfigurationError for what `admin` cannot be."""
    if admin is not None and not isinstance(admin, bool) and admin != "write":
        raise ConfigurationError(f'admin: give True, False, "write", or None for what is safe, not {admin!r}')
    if admin is False or (admin is None and not (loopback or knows_callers or knows_peers)):
        return None
    return Access(
        known_only=knows_callers,
        anybody_writes=admin == "write" and loopback and not knows_callers and not knows_peers,
        caller=caller,
    )
