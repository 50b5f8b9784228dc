"""What the server needs of a store of idempotency keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from kit.errors import KitError
from kit.resilience.idempotency_states import Verdict

__all__ = ["CallKey", "Claim", "IdempotencyStore", "LeaseLostError", "StoreError", "Ticket"]


class StoreError(KitError):
    """The store cannot be asked, or did not answer. What it was asked for may have happened; it can be asked again."""


class LeaseLostError(KitError):
    """The key is no longer the call's own: its lease was over and another call took it over."""


@dataclass(frozen=True, slots=True)
class CallKey:
    """What a call is known by. The same key of another caller, or of another method, is another one."""

    #: "" where nobody has been authenticated.
    principal: str
    #: "/package.Service/Method"
    method: str
    key: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to execute a call, until the lease is over and somebody else takes it."""

    key: CallKey
    #: No two claims have the same.
    owner: str
    #: Counts the claims of the key.
    generation: int
    #: Where the record stands, for the store's own use; 0 where that is not known.
    row: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of a claim, or would come of it."""

    verdict: Verdict
    #: With RUN, where the key has been claimed.
    ticket: Ticket | None = None
    #: With REPLAY.
    answer: bytes | None = None
    #: With WAIT: seconds until the lease of whoever executes the call is over, unless it is renewed.
    wait: float = 0.0


class IdempotencyStore(Protocol):
    """Keeps a record for each key, by the rules of `kit.resilience.idempotency_states`.

    Each method is atomic, and may be called again when nobody knows what came of it. Each raises StoreError when
    the store cannot be asked; none waits much longer than `timeout` seconds for it. A call that is given up meanwhile
    happens or not, and what is asked for next happens after it. Times are seconds.
    """

    @property
    def shared(self) -> bool:
        """Whether several processes may use it at the same time."""
        ...

    @property
    def lease(self) -> float:
        """For how long a key stays with an owner of whom nothing is heard."""
        ...

    @property
    def timeout(self) -> float:
        """How long a call waits for the store."""
        ...

    async def open(self) -> None:
        """Makes ready. Raises ConfigurationError for a store that cannot be used."""
        ...

    async def close(self) -> None:
        """Lets go of everything; also where `open` failed."""
        ...

    async def claim(self, key: CallKey, fingerprint: bytes, owner: str, *, ttl: float) -> Claim:
        """Takes the key for `owner` where it is free."""
        ...

    async def look(self, key: CallKey, fingerprint: bytes, owner: str) -> Claim:
        """What a claim would come to; RUN without a ticket. Changes nothing."""
        ...

    async def renew(self, tickets: Sequence[Ticket]) -> frozenset[Ticket]:
        """Begins the lease of each ticket anew; returns those that are still good."""
        ...

    async def complete(self, ticket: Ticket, answer: bytes, *, ttl: float) -> bool:
        """Keeps the answer for `ttl`; False where the ticket is no longer good. What it returns survives a crash."""
        ...

    async def release(self, ticket: Ticket) -> bool:
        """Frees the key for the next call; False where the ticket is no longer good. Needs its key and owner only."""
        ...

    async def sweep(self, limit: int) -> int:
        """Forgets at most `limit` records whose time is over; returns how many."""
        ...

    def transaction(
        self, ticket: Ticket | None, answer: Callable[[], bytes], *, ttl: float
    ) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store's database, for the effect of a call; committed at the end of the block.

        With a ticket, what `answer` returns at the end of the block is kept in the same transaction. Raises
        LeaseLostError where the ticket is no longer good: then nothing of the block has happened.
        """
        ...
