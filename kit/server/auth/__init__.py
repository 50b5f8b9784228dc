"""Who calls, and whether they may: authenticators for `kit.Server(authenticators=...)`, and the caller for handlers.

Here lives what knows callers by tokens, keys and certificates. The layers that ask it are `kit.server._authenticate`
and `_authorise`; what a method asks of its callers stands in its policy (`kit.AuthPolicy`). `kit.auth` has the same
names.
"""

from kit.server.auth._api_keys import ApiKeys, digest_of
from kit.server.auth._credentials import Authenticator
from kit.server.auth._jwt import JwtAuthenticator
from kit.server.auth._peer_certificate import PeerCertificate
from kit.server.auth._principal import Principal, principal

__all__ = [
    "ApiKeys",
    "Authenticator",
    "JwtAuthenticator",
    "PeerCertificate",
    "Principal",
    "digest_of",
    "principal",
]
