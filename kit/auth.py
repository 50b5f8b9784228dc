"""Who calls a server, and whether they may: the names of `kit.server.auth`, where they are public."""

from kit.server.auth import (
    ApiKeys,
    Authenticator,
    JwtAuthenticator,
    PeerCertificate,
    Principal,
    digest_of,
    principal,
)

__all__ = [
    "ApiKeys",
    "Authenticator",
    "JwtAuthenticator",
    "PeerCertificate",
    "Principal",
    "digest_of",
    "principal",
]
