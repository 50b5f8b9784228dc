"""What the cache service can be told, and the environment variables that tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of the cache service."""

    #: KIT_CACHE_BYTES: what all entries together may take, keys and bookkeeping included. 0 keeps nothing.
    byte_limit: int = 64 << 20

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """Reads KIT_CACHE_BYTES; ConfigurationError where it is not a number of bytes."""
        text = environ.get("KIT_CACHE_BYTES")
        if text is None:
            return cls()
        if not (text.isascii() and text.isdigit()):
            raise ConfigurationError(f"KIT_CACHE_BYTES must be a number of bytes, is {text!r}")
        return cls(byte_limit=int(text))
