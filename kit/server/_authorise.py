"""The layer that asks whether who calls may: the scopes and roles that the method's policy names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kit.errors import PermissionDenied
from kit.server._call import Handler, ServerCall, ServerMethod
from kit.server.auth._credentials import denied, missing, words
from kit.server.auth._principal import Principal
from kit.server.auth._rules import Access, access_of

__all__ = ["AuthoriseLayer"]

#: Told of a call that was denied.
Told = Callable[[ServerCall, PermissionDenied], None]


class AuthoriseLayer:
    """Raises PermissionDenied, which names what is missing."""

    name = "authorise"

    def __init__(self, told: Callable[[ServerMethod], Told | None] | None = None) -> None:
        """`told` gives who is told of denied calls of a method."""
        self._told = told

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""
        access = access_of(method)
        if not access.scopes and not access.roles:
            return inner
        scopes, roles = access.scopes, access.roles
        told = None if self._told is None else self._told(method)

        async def handle(call: ServerCall) -> Any:
            who: Principal | None = call.principal
            if who is None:
                raise missing()
            if scopes <= who.scopes and (not roles or roles & who.roles):
                return await inner(call)
            refusal = _refusal(access, who)
            if told is not None:
                told(call, refusal)
            raise refusal

        return handle


def _refusal(access: Access, who: Principal) -> PermissionDenied:
    lacking = words(access.scopes - who.scopes)
    if lacking:
        return denied(f"the method needs the scope {lacking}, which the caller lacks", "SCOPE_MISSING", scopes=lacking)
    roles = words(access.roles)
    return denied(
        f"the method needs one of the roles {roles}, of which the caller has none", "ROLE_MISSING", roles=roles
    )
