"""The key of the call that is being served, and the transaction for its effect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from kit.errors import Unavailable, UsageError
from kit.server.idempotency.store import IdempotencyStore, StoreError, Ticket

__all__ = ["Served", "effect", "idempotency_key", "serving"]

#: Seconds after which a caller may come again whose call the store could not protect.
RETRY_AFTER = 1.0


class Served(Protocol):
    """The call that is being served, as far as its handler's transaction needs it."""

    key: str
    #: None for a call without a key.
    ticket: Ticket | None
    store: IdempotencyStore
    ttl: float
    #: What was kept, once the effect and the answer are committed.
    kept: bytes | None

    def answer(self, response: Any, /) -> bytes:
        """A handler's response as what is kept of it."""
        ...


serving: ContextVar[Served | None] = ContextVar("kit_idempotent_call", default=None)


def idempotency_key() -> str | None:
    """The key of the call that is being served; None where it has none, or its method declares nothing about keys.

    Hand it on to whoever can deduplicate by it: a payment provider, or the next service.
    """
    call = serving.get()
    return (call.key or None) if call is not None else None


@asynccontextmanager
async def effect(response: object) -> AsyncIterator[Any]:
    """A transaction of the server's store, for what the call is to change: `async with effect(order) as connection`.

    At the end of the block the effect and the answer are committed together: either both are there, or neither is, and
    whoever sends the key again gets the answer. That holds when the process is killed at any step, and when the call is
    taken over. `response` is the message that the handler will return, and may be filled in until the end of the block.
    It is what the caller gets, also where the handler fails after the block. One block a call; for a call without a key
    it is a plain transaction.

    The connection is SQLAlchemy's AsyncConnection. Do not commit it, and do not wait in the block for anything but the
    database: on SQLite nobody else writes meanwhile. Raises UsageError where there is no database to write to,
    LeaseLostError where the call was taken over (let it pass: the caller gets the other's answer), and Unavailable
    where the database fails.
    """
    call = serving.get()
    if call is None:
        raise UsageError(
            "effect() works inside a call of a method that declares an idempotency_key, on a server that keeps keys"
        )
    if call.kept is not None:
        raise UsageError("the effect of this call is committed already, with its answer; there is one block a call")
    kept = b""

    def answer() -> bytes:
        nonlocal kept
        kept = call.answer(response)
        return kept

    try:
        async with call.store.transaction(call.ticket, answer, ttl=call.ttl) as connection:
            yield connection
    except StoreError as error:
        raise Unavailable("what the call changes cannot be written now", retry_after=RETRY_AFTER) from error
    if call.ticket is not None:
        call.kept = kept
