"""Which endpoint an attempt goes to: the layer that picks, and what it keeps of every endpoint.

`kit.resilience.balance` picks and `kit.resilience.outlier` ejects; an endpoint whose breaker refuses is passed over,
which is no attempt. With a single endpoint nothing is picked and nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio

from kit.client.endpoints import NOT_CONNECTED, Endpoint, Endpoints
from kit.client.events import EndpointEjected, EndpointReturned
from kit.clock import Clock
from kit.errors import CallRefused, NoEndpoint
from kit.layers import Breakers
from kit.pipeline import Attempted, Call, Handler, Method, Outcome
from kit.policy import Resolved
from kit.resilience.balance import BalanceRules, Pick, balancer
from kit.resilience.breaker_rules import BreakerRules, Verdict, classify
from kit.resilience.deadline import attempt_timeout
from kit.resilience.outlier import OutlierRules, Outliers, Permit, State

__all__ = ["BalanceLayer"]

#: Seconds that a connection may take, where the attempt itself is not bounded sooner.
CONNECT_TIMEOUT = 5.0


class _Choice:
    """An endpoint that was picked; settle it once with how the attempt ended."""

    __slots__ = ("_clock", "_permit", "_pick", "endpoint")

    def __init__(self, endpoint: Endpoint, pick: Pick, permit: Permit | None, clock: Clock) -> None:
        self.endpoint = endpoint
        self._pick = pick
        self._permit = permit
        self._clock = clock

    def ended(self, code: grpc.StatusCode, _details: str = "", *, streamed: bool = False) -> None:
        """The attempt ended with a status. How long a stream takes says nothing of how loaded the endpoint is."""
        now = self._clock.now()
        failed = classify(code.value[0]) is Verdict.FAILURE
        if code is grpc.StatusCode.CANCELLED:
            self.released()
            return
        if streamed:
            self._pick.released()
        elif failed:
            self._pick.failure(now)
        else:
            self._pick.success(now)
        if self._permit is not None:
            if failed:
                self._permit.failure(now)
            else:
                self._permit.success()

    def stream_ended(self, code: grpc.StatusCode, details: str) -> None:
        """The same for a stream."""
        self.ended(code, details, streamed=True)

    def released(self) -> None:
        """It was cancelled or never sent."""
        self._pick.released()
        if self._permit is not None:
            self._permit.released()


class _Chooser:
    """Picks for the methods that share rules."""

    def __init__(
        self,
        endpoints: Endpoints,
        rules: BalanceRules,
        outlier: OutlierRules | None,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._endpoints = endpoints
        self._balancer = balancer(rules)
        self._outliers = None if outlier is None else Outliers(outlier, clock.now())
        self._clock = clock
        self._random = random
        self._known: dict[str, Endpoint] = {}
        self._seen: list[Endpoint] | None = None

    def choose(self, attempts: Sequence[Attempted], without: Collection[str]) -> _Choice | None:
        """Not one of those in `without`; one that these attempts went to only where there is no other."""
        now = self._clock.now()
        if self._seen is not self._endpoints.all:
            self._follow(now)
        avoid = [tried.endpoint for tried in attempts]
        outliers = self._outliers
        if outliers is not None:
            outliers.sweep(now)
        left_out = set(without)
        while True:
            pick = self._balancer.pick(now, self._random(), self._random(), avoid=avoid, exclude=left_out)
            if pick is None:
                return None
            address = str(pick.key)
            permit = outliers.admit(address, now) if outliers is not None else None
            if outliers is None or permit is not None:
                self._tell()
                return _Choice(self._known[address], pick, permit, self._clock)
            pick.released()
            left_out.add(address)

    def ejected(self) -> list[str]:
        """Addresses that are out or on trial."""
        if self._outliers is None:
            return []
        return [address for address in self._known if self._outliers.state(address) is not State.IN]

    def _follow(self, now: float) -> None:
        """Takes in that the endpoints have changed."""
        self._seen = self._endpoints.all
        known = {endpoint.address: endpoint for endpoint in self._seen}
        for address in self._known.keys() - known.keys():
            self._balancer.remove(address)
            if self._outliers is not None:
                self._outliers.remove(address)
        for address, endpoint in known.items():
            self._balancer.add(address, now, weight=endpoint.weight)
            if address not in self._known and self._outliers is not None:
                self._outliers.add(address)
        self._known = known

    def _tell(self) -> None:
        if self._outliers is not None and self._outliers.changes:
            for change in self._outliers.take_changes():
                told = {"target": self._endpoints.target, "address": str(change.key), "why": change.reason}
                if change.new is State.OUT:
                    self._endpoints.listeners.tell(EndpointEjected(**told), level=logging.WARNING)
                elif change.new is State.IN:
                    self._endpoints.listeners.tell(EndpointReturned(**told))


class BalanceLayer:
    """Picks the endpoint of every attempt.

    Where only attempts that never left may be made again, nothing is sent until there is a connection: what fails
    before that has provably not reached a server.
    """

    name = "balance"

    def __init__(
        self,
        endpoints: Endpoints,
        clock: Clock,
        random: Callable[[], float],
        breakers: Breakers | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._random = random
        self._breakers = breakers if breakers is not None else Breakers(clock)
        endpoints.on_gone.append(self._breakers.forget)
        self._choosers: dict[tuple[BalanceRules, OutlierRules | None], _Chooser] = {}

    def ejected(self) -> frozenset[str]:
        """Addresses that the methods of one policy at least do not go to because their calls fail there."""
        return frozenset(address for chooser in self._choosers.values() for address in chooser.ejected())

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Forgets what is known of endpoints by rules that no method has any more."""
        for gone in self._choosers.keys() - {(policy.balance, policy.outlier) for policy in policies}:
            del self._choosers[gone]

    def wrap(self, method: Method, inner: Handler) -> Handler:
        endpoints, clock, breakers, rules = self._endpoints, self._clock, self._breakers, method.policy.breaker
        connects_first = method.may_retry and not method.may_replay
        streams = method.shape.streams_responses
        if endpoints.hint is not None:
            inner = _hinted(inner, endpoints)
        key = (method.policy.balance, method.policy.outlier)
        chooser = self._choosers.get(key)
        if chooser is None:
            chooser = self._choosers[key] = _Chooser(endpoints, *key, clock, self._random)
        choose = chooser.choose

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            begun = call.begun
            if begun is not None:
                call.endpoint = begun.endpoint
                return inner(call)
            try:
                known = endpoints.look(again=bool(call.attempts))
            except grpc.aio.UsageError:
                if call.attempts or call.waited:
                    return too_late(call)
                raise
            if len(known) != 1:
                return among(call)
            endpoint = known[0]
            if not endpoints.still_there(endpoint):
                return among(call)
            if rules is not None and not breakers.ready(endpoint.address, rules):
                return refused(rules)
            if connects_first and not call.wait_for_ready and not endpoint.is_ready():
                return connecting(call, endpoint)
            call.endpoint = endpoint
            return inner(call)

        async def too_late(call: Call) -> Outcome:
            """The channel was closed after the call was made, which cancels it; but not what runs beside a hedge."""
            if call.hedge:
                return Outcome(error=NoEndpoint("the channel is closed; nothing was sent"))
            raise asyncio.CancelledError

        async def refused(rules: BreakerRules) -> Outcome:
            return Outcome(error=breakers.refusal([endpoint.address for endpoint in endpoints.all], rules))

        def pick(call: Call) -> _Choice | None:
            """An endpoint that is still there and whose breaker does not refuse; an unhealthy one if need be."""
            passed_over = endpoints.passed_over
            if passed_over and (choice := pick_without(call, set(passed_over))) is not None:
                return choice
            return pick_without(call, set())

        def pick_without(call: Call, without: set[str]) -> _Choice | None:
            while True:
                choice = choose(call.attempts, without)
                if choice is None:
                    return None
                endpoint = choice.endpoint
                if endpoints.still_there(endpoint) and (rules is None or breakers.ready(endpoint.address, rules)):
                    return choice
                choice.released()
                without.add(endpoint.address)

        async def among(call: Call) -> Outcome:
            if endpoints.is_closed():
                return await too_late(call)
            if not endpoints.all or endpoints.pending():
                since = clock.now()
                await endpoints.appear(call.expires_at, clock, patient=bool(call.wait_for_ready))
                if endpoints.is_closed():
                    return await too_late(call)
                if not endpoints.all:
                    waited = clock.now() - since
                    return Outcome(error=NoEndpoint(f"{endpoints.missing()}; waited {waited:.1f} s"))
            choice = pick(call)
            if choice is None:
                if rules is not None:
                    return await refused(rules)
                return Outcome(error=NoEndpoint(endpoints.missing()))
            try:
                if connects_first and not call.wait_for_ready and not choice.endpoint.is_ready():
                    outcome = await connecting(call, choice.endpoint)
                else:
                    call.endpoint = choice.endpoint
                    outcome = await inner(call)
            except BaseException:
                choice.released()
                raise
            if outcome.error is not None:
                if isinstance(outcome.error, CallRefused) and not outcome.unsent:
                    choice.released()
                else:
                    choice.ended(outcome.error.code())
            elif streams:
                call.when_ended(choice.stream_ended)
            else:
                choice.ended(grpc.StatusCode.OK)
            return outcome

        async def connecting(call: Call, endpoint: Endpoint) -> Outcome:
            started = clock.now()
            allowed = min(CONNECT_TIMEOUT, attempt_timeout(started, call.expires_at, method.policy.per_try_timeout))
            connected = await endpoints.connected(endpoint, allowed)
            if endpoints.is_closed():
                return await too_late(call)
            if connected:
                call.endpoint = endpoint
                return await inner(call)
            why = f"no connection to {endpoint.address} ({await endpoints.why(endpoint)})"
            nobody = endpoints.unreachable()
            details = f"{endpoints.missing() if nobody else ''}{'; ' if nobody else ''}{why}; nothing was sent"
            tried = Attempted(len(call.attempts) + 1, endpoint.address, call.delay, started, allowed, sent=False)
            tried.settle(grpc.StatusCode.UNAVAILABLE, details, clock.now())
            call.attempts.append(tried)
            error = NoEndpoint(details) if nobody else CallRefused(grpc.StatusCode.UNAVAILABLE, details)
            if rules is not None:
                breakers.unreachable(endpoint.address, rules, error)
            return Outcome(error=error, unsent=True)

        return handle


def _hinted(inner: Handler, endpoints: Endpoints) -> Handler:
    """Adds what to change to the error of an attempt for which there was no connection."""

    async def handle(call: Call) -> Outcome:
        outcome = await inner(call)
        error = outcome.error
        if error is not None and (details := error.details() or "").startswith(NOT_CONNECTED):
            hinted = endpoints.hinted(details)
            outcome.error = grpc.aio.AioRpcError(
                error.code(), error.initial_metadata(), error.trailing_metadata(), hinted, error.debug_error_string()
            )
        return outcome

    return handle
