"""What goes on beside the calls: leases are renewed, old records are swept, answers get written in the end."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from kit.clock import SYSTEM, Clock
from kit.errors import Unavailable
from kit.observe import get_logger
from kit.server.idempotency._current import RETRY_AFTER
from kit.server.idempotency.store import CallKey, Claim, IdempotencyStore, StoreError, Ticket

__all__ = ["Keeper"]

log = get_logger("kit.server")
_T = TypeVar("_T")

#: Renewals in the time of a lease: one or two may come late.
_RENEWALS = 4
#: Seconds between two sweeps, records that one statement forgets, and seconds between two statements.
_SWEEP, _SWEEP_BATCH, _SWEEP_PAUSE = 60.0, 500, 0.05
#: Seconds between two tries to write an answer down.
_WRITE_AGAIN = 0.5
#: Seconds that what is being written has at a stop.
_CLOSE_TIMEOUT = 5.0


@dataclass(slots=True)
class _Held:
    """The ticket of a call that is executed here."""

    #: When the last renewal that was heard began; local time.
    since: float
    #: Told that the ticket is no longer good.
    lost: Callable[[], object] | None = None


class Keeper:
    """Stands between the calls of one process and the store."""

    def __init__(self, store: IdempotencyStore, clock: Clock = SYSTEM) -> None:
        self.store = store
        self._clock = clock
        self._held: dict[Ticket, _Held] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loops: tuple[asyncio.Task[None], ...] = ()
        self._starting = asyncio.Lock()
        self._owner = ""
        self._claims = itertools.count(1)
        self._down = False

    async def start(self) -> None:
        """Opens the store, once. Raises ConfigurationError."""
        async with self._starting:
            if self._owner:
                return
            await self.store.open()
            self._owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(8)}"
            make = asyncio.get_running_loop().create_task
            self._loops = (make(self._renew(), context=Context()), make(self._sweep(), context=Context()))

    async def stop(self) -> None:
        """Lets what is being written be written, and closes the store. After the last call."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_TIMEOUT)
        tasks = [*self._tasks, *self._loops]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._owner = ""
        try:
            await self.store.close()
        except Exception:
            log.exception("the store of idempotency keys could not be closed")

    # What a call asks

    async def claim(self, key: CallKey, fingerprint: bytes, *, ttl: float) -> Claim:
        """Takes the key, or says why not. A ticket is kept alive until it is completed or released.

        Raises Unavailable where the store cannot be asked: a call is never executed unprotected.
        """
        if not self._owner:
            await self.start()
        owner, since = f"{self._owner}/{next(self._claims)}", self._clock.now()
        try:
            async with asyncio.timeout(self.store.timeout):
                claim = await self.store.claim(key, fingerprint, owner, ttl=ttl)
        except BaseException as error:
            # Nobody is there any more who could execute what may have been claimed.
            self.release(Ticket(key, owner, 0))
            if isinstance(error, (StoreError, TimeoutError)):
                raise self._away(error) from error
            raise
        self._note(None)
        if claim.ticket is not None:
            self._held[claim.ticket] = _Held(since)
        return claim

    async def look(self, key: CallKey, fingerprint: bytes) -> Claim:
        """What a claim would come to. Raises Unavailable."""
        try:
            async with asyncio.timeout(self.store.timeout):
                return await self.store.look(key, fingerprint, self._owner)
        except (StoreError, TimeoutError) as error:
            raise self._away(error) from error

    def when_lost(self, ticket: Ticket, lost: Callable[[], object] | None) -> None:
        """Whom to tell when the ticket is no longer good; None: nobody any more."""
        held = self._held.get(ticket)
        if held is not None:
            held.lost = lost

    async def complete(self, ticket: Ticket, answer: bytes, *, ttl: float) -> bool:
        """Keeps the answer; False where the call was taken over.

        What was executed must not be executed again: where the store cannot be reached, it is tried on and on, beside
        the calls, and the lease is kept. The caller is told to come again, and will find the answer then.
        """
        try:
            async with asyncio.timeout(self.store.timeout):
                good = await self.store.complete(ticket, answer, ttl=ttl)
        except (StoreError, TimeoutError) as error:
            self._note(error)
        except BaseException:
            self.background(self._write(ticket, answer, ttl))
            raise
        else:
            self.forget(ticket)
            return good
        writing = self.background(self._write(ticket, answer, ttl))
        try:
            async with asyncio.timeout(self.store.timeout):
                return await asyncio.shield(writing)
        except TimeoutError:
            raise Unavailable(
                "the call was executed, but its answer cannot be kept yet; send the same key again",
                retry_after=RETRY_AFTER,
            ) from None

    def release(self, ticket: Ticket) -> asyncio.Task[None]:
        """Frees the key, beside the calls."""
        return self.background(self._release(ticket))

    def forget(self, ticket: Ticket) -> None:
        """The ticket has come to its end by other means."""
        self._held.pop(ticket, None)

    def background(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Work that goes on where its call is given up; a stop waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Inside

    def _away(self, error: Exception) -> Unavailable:
        self._note(error)
        return Unavailable(
            "idempotency keys cannot be looked up now, so nothing was executed; send the same key again",
            retry_after=RETRY_AFTER,
        )

    def _note(self, error: Exception | None) -> None:
        """Tells the log once of each outage."""
        if (error is not None) is not self._down:
            self._down = error is not None
            if error is not None:
                log.error("the store of idempotency keys cannot be reached", error=str(error) or type(error).__name__)
            else:
                log.info("the store of idempotency keys is back")

    async def _release(self, ticket: Ticket) -> None:
        self._held.pop(ticket, None)
        try:
            await self.store.release(ticket)
        except StoreError as error:
            # Its lease ends.
            self._note(error)

    async def _write(self, ticket: Ticket, answer: bytes, ttl: float) -> bool:
        try:
            while True:
                try:
                    good = await self.store.complete(ticket, answer, ttl=ttl)
                except StoreError as error:
                    self._note(error)
                    await self._clock.sleep(_WRITE_AGAIN)
                else:
                    self._note(None)
                    return good
        finally:
            self._held.pop(ticket, None)

    async def _renew(self) -> None:
        pause = self.store.lease / _RENEWALS
        while True:
            await self._clock.sleep(pause)
            begun = self._clock.now()
            due = [ticket for ticket, held in self._held.items() if held.since <= begun - pause]
            if not due:
                continue
            try:
                async with asyncio.timeout(self.store.timeout):
                    good = await self.store.renew(due)
            except (StoreError, TimeoutError) as error:
                self._note(error)
                # Others may reach the store: from the end of the lease on they may execute the same.
                over = self._clock.now() - self.store.lease
                good = frozenset(ticket for ticket in due if ticket in self._held and self._held[ticket].since > over)
            else:
                for ticket in good & self._held.keys():
                    self._held[ticket].since = begun
            for ticket in due:
                held = self._held.get(ticket)
                if ticket not in good and held is not None and held.lost is not None:
                    log.warning("a call lost its idempotency key to another one", method=ticket.key.method)
                    held.lost()
                    held.lost = None

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP)
            try:
                while await self.store.sweep(_SWEEP_BATCH) == _SWEEP_BATCH:
                    await self._clock.sleep(_SWEEP_PAUSE)
            except StoreError as error:
                self._note(error)
