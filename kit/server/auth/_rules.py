"""What a method asks of its callers, by its policy. Pure.

    the policy's `auth` says    who may call, on a server that has authenticators
    nothing                     whoever is known
    public                      everybody; nobody is asked who they are
    scopes, roles               who has all of the scopes, and one of the roles

Health and reflection are for everybody, unless a policy names them or their service. What a policy says of all methods
("*") is not meant for them: probes carry no tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.server._call import ServerMethod

__all__ = ["OPEN", "Access", "access_of"]

#: Services that tell nothing but what there is, and whether it is well.
OPEN = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method."""

    public: bool = False
    #: All of them are needed.
    scopes: frozenset[str] = frozenset()
    #: One of them is needed, where there are any.
    roles: frozenset[str] = frozenset()
    #: Whether the method's policy asks for somebody: a server that knows nobody must not serve it.
    declared: bool = False


def access_of(method: ServerMethod) -> Access:
    """See the module."""
    auth = method.policy.auth
    if method.service in OPEN and not _named(method):
        return Access(public=True)
    if auth is None:
        return Access()
    if auth.public:
        return Access(public=True)
    return Access(scopes=frozenset(auth.scopes or ()), roles=frozenset(auth.roles or ()), declared=True)


def _named(method: ServerMethod) -> bool:
    """Whether the policy's `auth` is about this method or its service, and not about everything."""
    return any(name.startswith("auth.") and '"*"' not in origin for name, origin in method.policy.origins.items())
