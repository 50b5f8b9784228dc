"""Idempotency keys on the server: where they are kept, and what a handler can do about them.

`kit.Server(idempotency=...)` takes a store or the URL of a database; the layer is `kit.server._deduplicate`. Its rules
are the machine in `kit.resilience.idempotency_states`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.errors import ConfigurationError
from kit.server.idempotency._current import effect, idempotency_key
from kit.server.idempotency.memory import MemoryStore
from kit.server.idempotency.store import CallKey, Claim, IdempotencyStore, LeaseLostError, StoreError, Ticket

if TYPE_CHECKING:
    from kit.server.idempotency.sql import SqlStore

__all__ = [
    "CallKey",
    "Claim",
    "IdempotencyStore",
    "LeaseLostError",
    "MemoryStore",
    "SqlStore",
    "StoreError",
    "Ticket",
    "effect",
    "idempotency_key",
]


def __getattr__(name: str) -> Any:
    # SQLAlchemy is an extra.
    if name == "SqlStore":
        try:
            from kit.server.idempotency.sql import SqlStore
        except ImportError as error:
            raise ConfigurationError(
                "idempotency keys in a database need SQLAlchemy: pip install 'grpc-service-kit[idempotency]', or "
                "[postgres] for PostgreSQL"
            ) from error
        return SqlStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
