"""An aiobreaker storage that is made where it is written: on the mirror's thread.

What makes a storage may wait for it (aiobreaker's own for Redis writes to it at once), and it may raise. On the event
loop either would be a call's affair. Here it is that of `_storage_mirror`: what is raised is logged, and the next write
tries again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from aiobreaker.state import CircuitBreakerState
from aiobreaker.storage.base import CircuitBreakerStorage

__all__ = ["StorageFactory", "StorageMadeLater"]

#: Takes an endpoint's address and makes the storage of one breaker.
StorageFactory: TypeAlias = Callable[[str], CircuitBreakerStorage]


class StorageMadeLater(CircuitBreakerStorage):  # type: ignore[misc]  # aiobreaker ships no types
    """What the factory makes, from the first time that it is used."""

    def __init__(self, factory: StorageFactory, address: str) -> None:
        super().__init__("later")
        self._factory = factory
        self._address = address
        self._storage: CircuitBreakerStorage | None = None

    def __repr__(self) -> str:
        return f"of {self._address or 'the channel'}, by {self._factory!r}"

    def _made(self) -> CircuitBreakerStorage:
        if self._storage is None:
            found = self._factory(self._address)
            if not isinstance(found, CircuitBreakerStorage):
                raise TypeError(f"breaker_storage gave {found!r}, which is no aiobreaker.CircuitBreakerStorage")
            self._storage = found
        return self._storage

    @property
    def state(self) -> CircuitBreakerState:
        """The storage's state."""
        return self._made().state

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        self._made().state = state

    def increment_counter(self) -> None:
        """Counts one more failure in a row."""
        self._made().increment_counter()

    def reset_counter(self) -> None:
        """Forgets the failures."""
        self._made().reset_counter()

    @property
    def counter(self) -> int:
        """Failures in a row."""
        return int(self._made().counter)

    @property
    def opened_at(self) -> datetime | None:
        """When it was opened."""
        found: datetime | None = self._made().opened_at
        return found

    @opened_at.setter
    def opened_at(self, opened_at: datetime) -> None:
        self._made().opened_at = opened_at
