"""The public keys of an issuer (a JWK set, RFC 7517), and which of them a token may be signed with.

A key serves the algorithms of its kind and no others, whatever a token says: a public RSA key is never taken for the
secret of an HMAC, and shared secrets (`oct`) are no keys here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kit.errors import ConfigurationError

__all__ = ["ALGORITHMS", "Key", "KeySet", "check_algorithms", "library"]

#: By algorithm: the kind of key, and its curve where that is given. None of them shares a secret.
ALGORITHMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{f"{family}{bits}": ("RSA", ()) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
}
#: Keys of a set that are looked at.
_MAX_KEYS = 256
#: What a public key consists of. What else stands there, as a private part that should not, is left out.
_PUBLIC = frozenset({"kty", "crv", "x", "y", "n", "e"})


def library() -> Any:
    """PyJWT. Raises ConfigurationError where it is not installed."""
    try:
        import cryptography  # noqa: F401 - PyJWT does without it, and then knows HMAC only
        import jwt
    except ImportError:
        raise ConfigurationError("jwt: tokens need `pip install 'grpc-service-kit[auth]'`") from None
    return jwt


def check_algorithms(algorithms: Iterable[str]) -> frozenset[str]:
    """Raises ConfigurationError for one that no public key can serve."""
    found = frozenset((algorithms,) if isinstance(algorithms, str) else algorithms)
    wrong = sorted(str(one) for one in found if one not in ALGORITHMS)
    if wrong or not found:
        raise ConfigurationError(
            f"jwt: algorithms {', '.join(wrong) or '()'} cannot be; give some of {', '.join(ALGORITHMS)}: tokens are "
            "verified with public keys, and never with a shared secret or none"
        )
    return found


class Key:
    """One public key."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.kid: str | None = document.get("kid")
        self._algorithm: str | None = document.get("alg")
        self._document = {name: value for name, value in document.items() if name in _PUBLIC}
        self._made: dict[str, Any] = {}

    def serves(self, algorithm: str) -> bool:
        """Whether a token of that algorithm can be signed with it."""
        kind, curves = ALGORITHMS[algorithm]
        return (
            self._document["kty"] == kind
            and self._algorithm in (None, algorithm)
            and (not curves or self._document.get("crv") in curves)
        )

    def verify(self, token: str, algorithm: str) -> bytes:
        """The payload of a token that was signed with it. Raises PyJWT's errors."""
        jwt = library()
        made = self._made.get(algorithm)
        if made is None:
            # An RSA key of less than 2048 bits is refused.
            verifier = jwt.PyJWS([algorithm], {"verify_signature": True, "enforce_minimum_key_length": True})
            made = self._made[algorithm] = verifier, jwt.PyJWK(self._document, algorithm)
        verifier, key = made
        payload: bytes = verifier.decode(token, key, [algorithm])
        return payload


class KeySet:
    """The keys of one issuer."""

    def __init__(self, document: object) -> None:
        """Raises ValueError for what is no set of keys, or has none that can be used."""
        listed = document.get("keys") if isinstance(document, Mapping) else None
        if not isinstance(listed, list):
            raise ValueError("it is no JWK set: it has no list of keys")  # noqa: TRY004 - it is what came that is wrong
        #: As it came.
        self.document = document
        self._keys = tuple(Key(one) for one in listed[:_MAX_KEYS] if _usable(one))
        if not self._keys:
            raise ValueError("it has no public key that signs tokens")

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key that a token names; for a token that names none, the only one that serves its algorithm."""
        fitting = [key for key in self._keys if key.serves(algorithm) and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None


def _usable(document: object) -> bool:
    if not isinstance(document, Mapping) or document.get("kty") not in ("RSA", "EC", "OKP"):
        return False
    uses = document.get("key_ops")
    return document.get("use") in (None, "sig") and (not isinstance(uses, list) or "verify" in uses)
