"""Who calls, once that is known, and what they may."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kit.errors import ConfigurationError

__all__ = ["Principal", "principal", "set_principal"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has proved who they are.

    `name` is the subject of the token, the name that a key was given, or the name in the certificate. `method` says
    how it was proved: "jwt", "api_key", "certificate", or what an authenticator of your own says. Scopes and roles may
    be given as any texts and are frozen sets afterwards.
    """

    name: str
    scopes: AbstractSet[str] = frozenset()
    roles: AbstractSet[str] = frozenset()
    method: str = field(default="", kw_only=True)
    #: What the token says beside, as verified. It may be private: neither logged nor shown.
    claims: Mapping[str, Any] = field(
        default_factory=lambda: _NOTHING, kw_only=True, repr=False, hash=False, compare=False
    )

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError(f"principal: name is {self.name!r}; give a text")
        for part in ("scopes", "roles"):
            value = getattr(self, part)
            if isinstance(value, str) or not all(isinstance(one, str) and one for one in value):
                raise ConfigurationError(f"principal {self.name}: {part} is {value!r}; give texts: {{'orders.read'}}")
            object.__setattr__(self, part, frozenset(value))


_current: ContextVar[Principal | None] = ContextVar("kit_principal", default=None)


def principal() -> Principal | None:
    """Who makes the call that is being served; None where nobody had to say, and outside of a call."""
    return _current.get()


def set_principal(who: Principal | None) -> None:
    """Each call runs in a context of its own, which ends with it: nothing is to be reset."""
    _current.set(who)
