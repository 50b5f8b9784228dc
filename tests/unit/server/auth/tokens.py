"""An issuer of tokens with keys of its own, and calls that bring them."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kit.server._call import ServerCall

ISSUER, AUDIENCE = "https://issuer.example", "orders"
#: Where `kit.testing.VirtualClock` begins.
NOW = 1_700_000_000


class Issuer:
    """Signs tokens. Making an RSA key takes a moment: share one."""

    def __init__(self, *kids: str, bits: int = 2048, name: str = ISSUER) -> None:
        self.name = name
        self.private: dict[str, Any] = {}
        self._public: dict[str, dict[str, Any]] = {}
        for kid in kids:
            self.add(kid, bits)

    def add(self, kid: str, bits: int = 2048) -> None:
        """A new key. What it is called says of what kind it is: "rsa1", "ec1", "ed1"."""
        if kid.startswith("rsa"):
            key: Any = rsa.generate_private_key(public_exponent=65537, key_size=bits)
            algorithm: Any = jwt.algorithms.RSAAlgorithm
        elif kid.startswith("ec"):
            key, algorithm = ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm
        else:
            key, algorithm = ed25519.Ed25519PrivateKey.generate(), jwt.algorithms.OKPAlgorithm
        self.private[kid] = key
        self._public[kid] = algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid}

    def remove(self, kid: str) -> None:
        """Takes a key out of the set. Tokens can still be signed with it."""
        del self._public[kid]

    def jwks(self) -> dict[str, Any]:
        """The set of public keys."""
        return {"keys": [dict(key) for key in self._public.values()]}

    def token(self, kid: str, *, algorithm: str = "", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is good unless the claims say otherwise; a claim that is None is left out."""
        algorithm = algorithm or {"rs": "RS256", "ec": "ES256", "ed": "EdDSA"}[kid[:2]]
        said = {"iss": self.name, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 600, "scope": "orders.read"} | claims
        payload = {name: value for name, value in said.items() if value is not None}
        return jwt.PyJWS().encode(
            json.dumps(payload).encode(), self.private[kid], algorithm, headers={"kid": kid} | (headers or {})
        )


class FakeConnection:
    """As much of a context as authenticators look at."""

    def __init__(self, uris: tuple[str, ...] = (), dns: tuple[str, ...] = (), pem: bytes = b"") -> None:
        self._found: dict[str, list[bytes]] = {"transport_security_type": [b"ssl"]}
        if uris or dns or pem:
            self._found["x509_pem_cert"] = [pem or repr((uris, dns)).encode()]
            self._found["peer_uri"] = [uri.encode() for uri in uris]
            self._found["peer_dns"] = [name.encode() for name in dns]

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._found


def call_with(*metadata: tuple[str, str | bytes], connection: FakeConnection | None = None) -> ServerCall:
    """A call that brings this."""
    context: Any = connection if connection is not None else FakeConnection()
    return ServerCall("/test.Echo/UnaryUnary", b"", context, metadata)


def bearing(token: str) -> ServerCall:
    """A call that brings a token."""
    return call_with(("user-agent", "grpc"), ("authorization", f"Bearer {token}"))


def seconds_from_now(seconds: float) -> int:
    """For tokens that are checked by the machine's clock."""
    return int(time.time() + seconds)
