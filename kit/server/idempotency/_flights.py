"""Calls with the same key in one process: one asks the store and executes, the others wait for it."""

from __future__ import annotations

import asyncio

from kit.errors import Aborted, FailedPrecondition
from kit.server._inflight import unless_draining
from kit.server.idempotency._current import RETRY_AFTER

__all__ = ["Flight", "reused"]

#: Calls that wait for one with the same key.
MAX_WAITING = 100


class Flight:
    """A call with a key that this process is about."""

    __slots__ = ("_ended", "_right", "_waiting", "fingerprint", "kept")

    def __init__(self, fingerprint: bytes) -> None:
        make = asyncio.get_running_loop().create_future
        self.fingerprint = fingerprint
        #: The answer in bytes, once there is one that is kept.
        self.kept: bytes | None = None
        #: Whether the key belongs to this request, as soon as the store has said so.
        self._right: asyncio.Future[bool] = make()
        self._ended: asyncio.Future[None] = make()
        self._waiting = 0

    @property
    def over(self) -> bool:
        """Whether the call has ended, or was given up."""
        return self._ended.done()

    def knows(self, *, right: bool) -> None:
        """The store has said whether the key belongs to this request."""
        if not self._right.done():
            self._right.set_result(right)

    def end(self) -> None:
        """Lets those go that wait."""
        self.knows(right=False)
        if not self._ended.done():
            self._ended.set_result(None)

    async def answer(self, fingerprint: bytes) -> bytes | None:
        """Waits for the end; None where the call came to nothing that is kept, and the next one may try.

        Raises FailedPrecondition for another request, Aborted where too many wait, Unavailable when the server drains.
        """
        if self._waiting >= MAX_WAITING:
            raise Aborted(
                "too many calls wait for the answer to this idempotency key; send it again later",
                retry_after=RETRY_AFTER,
            )
        self._waiting += 1
        try:
            if self.fingerprint != fingerprint and await unless_draining(asyncio.shield(self._right)):
                raise reused()
            await unless_draining(asyncio.shield(self._ended))
        finally:
            self._waiting -= 1
        return self.kept if self.fingerprint == fingerprint else None


def reused() -> FailedPrecondition:
    """The refusal of a key that was used for another request."""
    return FailedPrecondition(
        "this idempotency key was sent before with another request; a new request needs a new key",
        reason="IDEMPOTENCY_KEY_REUSED",
        domain="kit",
    )
