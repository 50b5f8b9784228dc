"""Calls in flight over one channel: at the limit a call waits for its turn, or is refused at once.

`kit.resilience.limiter` decides. A call takes its place before its first attempt and keeps it through every further
one; it is given back when the call has ended, a stream's when the stream has ended, was cancelled or was abandoned.
Methods of a target that declare the same figures share one limit.

A refusal is UNAVAILABLE, as that of Envoy's and gRFC A32's circuit breakers, which limit the same: the call did not
happen, and may be made later or elsewhere. RESOURCE_EXHAUSTED would blame a quota of the caller, or the server.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence

import grpc

from kit.clock import Clock
from kit.errors import CallRefused, DeadlineExpired, TooManyCalls
from kit.pipeline import Call, Handler, Method, Outcome
from kit.policy import Resolved
from kit.resilience.limiter import ConcurrencyRules, Limiter, Permit, PermitState, Refusal
from kit.resilience.retry import StopReason

__all__ = ["ConcurrencyLayer", "Limits", "Places"]

#: What tells of overload. Other failures are answers, or say nothing of the load.
_OVERLOADED = frozenset(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    }
)


class Places:
    """One limit, and who waits for it."""

    def __init__(self, rules: ConcurrencyRules, clock: Clock) -> None:
        self._rules = rules
        self._now = clock.now
        self._sleep = clock.sleep
        #: For reading: how many run and wait, and the limit as of now.
        self.limiter = Limiter(rules, clock.now())
        #: Calls that found no place.
        self.refused = 0
        self._turns: dict[Permit, asyncio.Future[None]] = {}

    def enter(self) -> Permit | TooManyCalls:
        """A permit, which may have to wait; or the refusal."""
        limiter = self.limiter
        permit = limiter.enter(self._now())
        if not isinstance(permit, Refusal):
            return permit
        self.refused += 1
        which = "the adaptive limit now" if self._rules.adaptive else "concurrency.max_concurrent"
        waiting = f", and {limiter.queued} wait (concurrency.max_queued)" if limiter.queued else ""
        return TooManyCalls(
            f"{limiter.running} calls are in flight, {which} is {limiter.limit}{waiting}; nothing was sent",
            limit=limiter.limit,
            queued=limiter.queued,
        )

    async def turn(self, permit: Permit, expires_at: float) -> bool:
        """Waits until a permit that is queued is admitted. False, and it is settled, when its time was over first."""
        turn = self._turns[permit] = asyncio.get_running_loop().create_future()
        alarm = None
        if expires_at != math.inf:
            alarm = asyncio.ensure_future(self._sleep(max(0.0, expires_at - self._now())))
        try:
            if alarm is None:
                await turn
            else:
                await asyncio.wait((turn, alarm), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            # The caller gave up; it may just have been admitted.
            self.released(permit)
            raise
        finally:
            del self._turns[permit]
            if alarm is not None:
                alarm.cancel()
        if permit.state is PermitState.QUEUED or self._now() >= expires_at:
            self.released(permit)
            return False
        return True

    def answered(self, permit: Permit) -> None:
        """The call succeeded."""
        self._wake(permit.success(self._now()))

    def ended(self, permit: Permit, code: grpc.StatusCode) -> None:
        """The call was sent and ended with this status."""
        if code in _OVERLOADED:
            self._wake(permit.failure(self._now()))
        else:
            self.released(permit)

    def released(self, permit: Permit) -> None:
        """The call was given up or refused further in, or how long it took says nothing, as with a stream."""
        self._wake(permit.released(self._now()))

    def _wake(self, admitted: tuple[Permit, ...]) -> None:
        for permit in admitted:
            turn = self._turns[permit]
            if not turn.done():
                turn.set_result(None)


class Limits:
    """The limits of one target, by their rules."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[ConcurrencyRules, Places] = {}

    def of(self, rules: ConcurrencyRules) -> Places:
        """The limit of all methods that declare these rules."""
        found = self._known.get(rules)
        if found is None:
            found = self._known[rules] = Places(rules, self._clock)
        return found

    def all(self) -> list[tuple[ConcurrencyRules, Places]]:
        """Every limit that there is."""
        return list(self._known.items())

    def keep(self, rules: Collection[ConcurrencyRules]) -> None:
        """Lets go of any other; calls that have a place there keep it."""
        for gone in self._known.keys() - set(rules):
            del self._known[gone]


class ConcurrencyLayer:
    """Admits, queues or refuses calls of methods that declare a limit."""

    name = "concurrency"

    def __init__(self, limits: Limits) -> None:
        #: For reading.
        self.limits = limits

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Forgets limits that no method has any more."""
        self.limits.keep([policy.concurrency for policy in policies if policy.concurrency is not None])

    def wrap(self, method: Method, inner: Handler) -> Handler:
        rules = method.policy.concurrency
        if rules is None:
            return inner
        places = self.limits.of(rules)
        streams = method.shape.streams_responses

        async def handle(call: Call) -> Outcome:
            permit = places.enter()
            if isinstance(permit, TooManyCalls):
                call.stop = StopReason.LIMITED
                return Outcome(error=permit)
            if permit.state is PermitState.QUEUED:
                call.waited = True
                if not await places.turn(permit, call.expires_at):
                    call.stop = StopReason.DEADLINE
                    limit = places.limiter.limit
                    details = f"the deadline passed before one of {limit} places came free; nothing was sent"
                    return Outcome(error=DeadlineExpired(details))
            call.holds = True
            try:
                outcome = await inner(call)
            except BaseException:
                # The caller gave up, or the request could not be sent at all.
                places.released(permit)
                raise
            error = outcome.error
            if error is None:
                if streams:
                    call.when_ended(_settler(places, permit))
                else:
                    places.answered(permit)
            elif isinstance(error, CallRefused):
                places.released(permit)
            else:
                places.ended(permit, error.code())
            return outcome

        return handle


def _settler(places: Places, permit: Permit) -> Callable[[grpc.StatusCode, str], None]:
    return lambda code, _details: places.ended(permit, code)
