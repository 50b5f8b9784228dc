"""The calls of one method, each executed once for its key."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from kit.clock import Clock
from kit.errors import Unavailable
from kit.observe import get_logger, metrics
from kit.resilience.idempotency_states import Verdict
from kit.server._call import Handler, Serialized, ServerCall, ServerMethod
from kit.server._inflight import unless_draining
from kit.server.idempotency._answer import Answer, kept_metadata
from kit.server.idempotency._current import serving
from kit.server.idempotency._ends import caller_of, code_set, fingerprint_of, refusal, replay, set_by_handler
from kit.server.idempotency._flights import Flight, reused
from kit.server.idempotency._keeper import Keeper
from kit.server.idempotency.store import CallKey, Claim, IdempotencyStore, LeaseLostError, Ticket

__all__ = ["Once"]

log = get_logger("kit.server")
calls = metrics.counter(
    "kit.idempotency.calls",
    "Calls with an idempotency key: executed, replayed, or taken over by another process while they were executed.",
    labels=("rpc.method", "outcome"),
)

#: Seconds between two looks at what another process executes: at first, and at most; twice as many each time.
LOOK_FIRST, LOOK_AT_MOST = 0.01, 0.25
_GIVEN_UP = (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


class Serving:
    """A call while its handler runs (`_current.Served`)."""

    __slots__ = ("_call", "_keeper", "_write", "kept", "key", "store", "ticket", "ttl")

    def __init__(
        self, call: ServerCall, key: str, ticket: Ticket | None, keeper: Keeper, ttl: float, write: Any
    ) -> None:
        self._call = call
        self._keeper = keeper
        self._write = write
        self.key = key
        self.ticket = ticket
        self.store: IdempotencyStore = keeper.store
        self.ttl = ttl
        self.kept: bytes | None = None

    def answer(self, response: Any) -> bytes:
        """What is kept of a response. From here on the store says whether the ticket is still good."""
        if self.ticket is not None:
            self._keeper.when_lost(self.ticket, None)
        raw = response if self._write is None else self._write(response)
        trailing = kept_metadata(self._call.context.trailing_metadata() or ())
        return Answer(grpc.StatusCode.OK, "", raw, trailing).to_bytes()


class Once:
    """The calls of one method."""

    def __init__(self, keeper: Keeper, clock: Clock, method: ServerMethod, inner: Handler, ttl: float) -> None:
        self._keeper = keeper
        self._clock = clock
        self._path = method.path
        self._write = method.response_serializer
        self._inner = inner
        self._ttl = ttl
        self._in_thread = method.in_thread
        self._flights: dict[CallKey, Flight] = {}

    async def without_key(self, call: ServerCall) -> Any:
        """Executes the call; `effect` works in it."""
        serving.set(self._serving(call, "", None))
        return await self._inner(call)

    async def with_key(self, call: ServerCall, text: str) -> Any:
        """Executes the call, or gives the answer of the one that did."""
        key, fingerprint = CallKey(caller_of(call), self._path, text), fingerprint_of(call.request)
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(call, key, fingerprint)
            kept = await flight.answer(fingerprint)
            if kept is not None:
                self._count("replayed")
                return await replay(call, kept)

    async def _lead(self, call: ServerCall, key: CallKey, fingerprint: bytes) -> Any:
        """The same, for the first of this process."""
        flight = self._flights[key] = Flight(fingerprint)
        try:
            while True:
                claim = await self._claim(key, flight)
                if claim.ticket is None:
                    assert claim.answer is not None
                    flight.kept = claim.answer
                    self._count("replayed")
                    return await replay(call, claim.answer)
                with suppress(LeaseLostError):
                    executing = self._execute(call, claim.ticket, flight)
                    # What runs in a thread runs on when the call is given up; it keeps its key and its answer counts.
                    return await (asyncio.shield(self._keeper.background(executing)) if self._in_thread else executing)
                # Another process has taken the call over: what it answers holds.
                self._count("taken over")
        finally:
            del self._flights[key]
            flight.end()

    async def _claim(self, key: CallKey, flight: Flight) -> Claim:
        """Waits for the right to execute the call, or for the answer of whoever does."""
        keeper, fingerprint, pause = self._keeper, flight.fingerprint, LOOK_FIRST
        claim = await keeper.claim(key, fingerprint, ttl=self._ttl)
        while True:
            flight.knows(right=claim.verdict is not Verdict.REUSED)
            if claim.verdict is Verdict.REUSED:
                raise reused()
            if claim.verdict is not Verdict.WAIT:
                return claim
            await unless_draining(self._clock.sleep(min(pause, claim.wait)))
            pause = min(pause * 2, LOOK_AT_MOST)
            claim = await keeper.look(key, fingerprint)
            if claim.verdict is Verdict.RUN:
                claim = await keeper.claim(key, fingerprint, ttl=self._ttl)

    async def _execute(self, call: ServerCall, ticket: Ticket, flight: Flight) -> Any:
        """Runs the handler and keeps what it answers. Raises LeaseLostError where another process took the call."""
        self._count("executed")
        served = self._serving(call, ticket.key.key, ticket)
        kept: bytes | None = None
        try:
            response = await self._run(call, ticket, served)
            if served.kept is None:
                code = code_set(call)
                if flight.over and code in _GIVEN_UP:
                    # Not the handler's, which runs on in a thread: the call's, which was given up.
                    code = None
                kept = served.answer(response) if code is None else set_by_handler(call)
        except LeaseLostError:
            self._keeper.forget(ticket)
            raise
        except BaseException as error:
            if served.kept is None:
                await self._failed(call, ticket, flight, error)
                raise
            flight.kept = served.kept
            self._keeper.forget(ticket)
            if not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
                raise
            log.exception("a handler failed after its effect was committed; the answer stands", method=call.method)
        if served.kept is not None:
            flight.kept = served.kept
            self._keeper.forget(ticket)
            return Serialized(Answer.from_bytes(served.kept).response)
        if kept is None:
            await asyncio.shield(self._keeper.release(ticket))
            return response
        if not await self._keeper.complete(ticket, kept, ttl=self._ttl):
            raise _taken_over(ticket)
        flight.kept = kept
        return response

    async def _run(self, call: ServerCall, ticket: Ticket, served: Serving) -> Any:
        """The handler; ended where the lease is lost, as another process may be executing the same by then."""
        keeper, loop, scope = self._keeper, asyncio.get_running_loop(), asyncio.timeout(None)
        serving.set(served)
        try:
            async with scope:
                keeper.when_lost(ticket, lambda: scope.reschedule(loop.time()))
                try:
                    return await self._inner(call)
                finally:
                    keeper.when_lost(ticket, None)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise _taken_over(ticket) from error

    async def _failed(self, call: ServerCall, ticket: Ticket, flight: Flight, error: BaseException) -> None:
        """Keeps a refusal that holds for good; frees the key after any other failure."""
        kept = refusal(call, error)
        if kept is None:
            releasing = self._keeper.release(ticket)
            if isinstance(error, Exception):
                # Before the caller is told, so that it finds the key free when it comes again.
                await asyncio.shield(releasing)
            return
        # A refusal changes nothing: it may be given also where it cannot be kept yet.
        with suppress(Unavailable):
            if await self._keeper.complete(ticket, kept, ttl=self._ttl):
                flight.kept = kept
            elif not isinstance(error, grpc.aio.AbortError):
                raise _taken_over(ticket) from error

    def _count(self, outcome: str) -> None:
        calls.add(1, **{"rpc.method": self._path, "outcome": outcome})

    def _serving(self, call: ServerCall, key: str, ticket: Ticket | None) -> Serving:
        return Serving(call, key, ticket, self._keeper, self._ttl, self._write)


def _taken_over(ticket: Ticket) -> LeaseLostError:
    return LeaseLostError(f"the call with the key {ticket.key.key} was taken over")
