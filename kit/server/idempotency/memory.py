"""A store that forgets when its process ends: for tests, and for what one process may forget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from kit.clock import SYSTEM, Clock
from kit.errors import UsageError
from kit.resilience.idempotency_states import (
    Record,
    Verdict,
    claimed,
    completed,
    decide,
    is_over,
    released,
    renewed,
)
from kit.server.idempotency.store import CallKey, Claim, Ticket

__all__ = ["MemoryStore"]


class MemoryStore:
    """An `IdempotencyStore` in the memory of one process."""

    shared = False

    def __init__(self, *, lease: float = 15.0, timeout: float = 5.0, clock: Clock = SYSTEM) -> None:
        self.lease = lease
        self.timeout = timeout
        self._now = clock.now
        self._records: dict[CallKey, Record] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """What is kept stays: the server may be started again."""

    async def claim(self, key: CallKey, fingerprint: bytes, owner: str, *, ttl: float) -> Claim:
        """Takes the key for `owner` where it is free."""
        now = self._now()
        record = self._records.get(key)
        decision = decide(record, fingerprint, owner, now)
        if decision.verdict is not Verdict.RUN:
            return Claim(decision.verdict, answer=decision.answer, wait=decision.wait)
        taken = claimed(record, fingerprint=fingerprint, owner=owner, now=now, lease=self.lease, ttl=ttl)
        self._records[key] = taken
        return Claim(Verdict.RUN, Ticket(key, owner, taken.generation))

    async def look(self, key: CallKey, fingerprint: bytes, owner: str) -> Claim:
        """What a claim would come to."""
        decision = decide(self._records.get(key), fingerprint, owner, self._now())
        return Claim(decision.verdict, answer=decision.answer, wait=decision.wait)

    async def renew(self, tickets: Sequence[Ticket]) -> frozenset[Ticket]:
        """Begins the lease of each ticket anew."""
        now = self._now()
        return frozenset(
            ticket
            for ticket in tickets
            if self._put(ticket, renewed(self._get(ticket), owner=ticket.owner, now=now, lease=self.lease))
        )

    async def complete(self, ticket: Ticket, answer: bytes, *, ttl: float) -> bool:
        """Keeps the answer."""
        after = completed(self._get(ticket), owner=ticket.owner, answer=answer, now=self._now(), ttl=ttl)
        return self._put(ticket, after)

    async def release(self, ticket: Ticket) -> bool:
        """Frees the key."""
        return self._put(ticket, released(self._get(ticket), owner=ticket.owner))

    async def sweep(self, limit: int) -> int:
        """Forgets what is over."""
        now = self._now()
        over = [key for key, record in self._records.items() if is_over(record, now)][:limit]
        for key in over:
            del self._records[key]
        return len(over)

    def transaction(
        self, ticket: Ticket | None, answer: Callable[[], bytes], *, ttl: float
    ) -> AbstractAsyncContextManager[Any]:
        """There is no database to write an effect to."""
        raise UsageError(
            "a MemoryStore has no database to write an effect to; give kit.Server(idempotency=...) the URL of one"
        )

    def _get(self, ticket: Ticket) -> Record | None:
        return self._records.get(ticket.key)

    def _put(self, ticket: Ticket, record: Record | None) -> bool:
        if record is None:
            return False
        self._records[ticket.key] = record
        return True
