"""Circuit breakers on the path of a call: one for each endpoint and each set of rules.

Methods that declare the same breaker share it at an endpoint, so a service-level policy is one breaker for the service.
Each is an `aiobreaker.CircuitBreaker` to the outside. It is asked before every attempt and told how the attempt ended;
a stream is settled when it ends, is cancelled or is abandoned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import grpc
import grpc.aio

from kit.clock import Clock
from kit.errors import BreakerOpen
from kit.layers._aiobreaker_terms import local
from kit.layers._storage_later import StorageFactory, StorageMadeLater
from kit.layers.breaker_facade import CircuitBreaker
from kit.pipeline import Call, Handler, Method, Outcome
from kit.policy import Resolved
from kit.resilience.breaker import Permit, Refusal, Snapshot, State
from kit.resilience.breaker_rules import BreakerRules, Verdict, classify

__all__ = ["BreakerLayer", "Breakers"]


class Breakers:
    """The breakers of one target. `listeners` are aiobreaker's, and are told of every breaker here.

    `storage` makes the aiobreaker storage of each breaker, from the endpoint's address: one for each set of rules that
    there is at the endpoint. It is called on the thread that writes storages, so that no call waits for it.
    """

    def __init__(self, clock: Clock, listeners: Sequence[Any] = (), storage: StorageFactory | None = None) -> None:
        self._clock = clock
        self._storage = storage
        self._listeners = tuple(listeners)
        self._known: dict[BreakerRules, dict[str, CircuitBreaker]] = {}

    def of(self, address: str, rules: BreakerRules) -> CircuitBreaker:
        """The breaker of an endpoint; "" is the only one of a stock channel."""
        return self.group(rules)(address)

    def group(self, rules: BreakerRules, whose: str = "") -> Callable[[str], CircuitBreaker]:
        """`of` for these rules, for the path of a call: the rules are hashed once.

        `whose` names the breaker where there is no address, on a stock channel.
        """
        known = self._known.setdefault(rules, {})

        def of(address: str) -> CircuitBreaker:
            found = known.get(address)
            if found is None:
                found = known[address] = CircuitBreaker(
                    rules=rules,
                    name=address or whose or None,
                    listeners=self._listeners,
                    state_storage=None if self._storage is None else StorageMadeLater(self._storage, address),
                    clock=self._clock,
                )
            return found

        return of

    def all(self) -> list[CircuitBreaker]:
        """Every breaker that a call has asked so far."""
        return [breaker for known in self._known.values() for breaker in known.values()]

    def by_rules(self) -> list[tuple[BreakerRules, str, CircuitBreaker]]:
        """The same, each with its rules and its endpoint's address."""
        return [(rules, address, breaker) for rules, known in self._known.items() for address, breaker in known.items()]

    def forget(self, address: str) -> None:
        """Lets go of the breakers of an endpoint that is gone."""
        for known in self._known.values():
            known.pop(address, None)

    def keep(self, rules: Collection[BreakerRules]) -> None:
        """Lets go of the breakers of any other rules: calls that are made from now on have none of them."""
        for gone in self._known.keys() - set(rules):
            del self._known[gone]

    def ready(self, address: str, rules: BreakerRules) -> bool:
        """Whether the endpoint may be picked; changes nothing."""
        found = self._known.get(rules, {}).get(address)
        return found is None or found.ready()

    def unreachable(self, address: str, rules: BreakerRules, error: grpc.aio.AioRpcError) -> None:
        """Counts an attempt that failed because there was no connection."""
        breaker = self.of(address, rules)
        permit = breaker.admit(None)
        if isinstance(permit, Permit):
            # By its status: a refusal of ours would say nothing about the endpoint.
            breaker.failed(permit, error)

    def refuse_all(self, addresses: Collection[str], rules: BreakerRules, seconds: float) -> bool:
        """Whether not one of the endpoints will take a call within that time; changes nothing."""
        known = self._known.get(rules, {})
        found = [known.get(address) for address in addresses]
        return bool(found) and all(
            breaker is not None and (breaker.snapshot().time_to_half_open or 0.0) > seconds for breaker in found
        )

    def refusal(self, addresses: Iterable[str], rules: BreakerRules, *, asked: bool = False) -> BreakerOpen:
        """The error that names the endpoints and says when the first of them is tried again.

        `asked`: `admit` has counted the call among those that were refused; else it is counted here.
        """
        endpoints = tuple(addresses)
        if not asked:
            for address in endpoints:
                self.of(address, rules).machine.passed_over()
        snapshots = [(address, self.of(address, rules).snapshot()) for address in endpoints]
        left = min((found.time_to_half_open or 0.0 for _, found in snapshots), default=0.0)
        whose = ", ".join(f"{address or 'the channel'} ({_why(found)})" for address, found in snapshots)
        when = "when it is closed by hand" if left == math.inf else f"in {left:.1f} s" if left else "after its probes"
        return BreakerOpen(
            f"circuit breaker open: {whose}; tried again {when}; nothing was sent",
            endpoints=endpoints,
            states={address: found.state.name for address, found in snapshots},
            retry_after=left,
            reopen_time=local(self._clock.wall() + left),
        )


def _why(found: Snapshot) -> str:
    if found.state is State.HALF_OPEN:
        return f"probes in flight: {found.probes}"
    return found.reason


class BreakerLayer:
    """Asks the breaker of the endpoint that was picked, where the method declares one."""

    name = "breaker"

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Forgets breakers whose rules no method has any more."""
        self._breakers.keep([policy.breaker for policy in policies if policy.breaker is not None])

    def wrap(self, method: Method, inner: Handler) -> Handler:
        declared = method.policy.breaker
        if declared is None:
            return inner
        rules, breakers, streams = declared, self._breakers, method.shape.streams_responses
        breaker_of = breakers.group(rules, method.service)

        async def handle(call: Call) -> Outcome:
            address = call.endpoint.address if call.endpoint is not None else ""
            begun = call.begun
            # The endpoint may have gone since, and its breaker with it.
            breaker = breaker_of(address) if begun is None else begun.breaker
            permit = breaker.admit(handle, call) if begun is None else begun.permit
            if isinstance(permit, Refusal):
                return Outcome(error=breakers.refusal((address,), rules, asked=True))
            try:
                outcome = await inner(call)
            except BaseException:
                # The caller gave up, or the request could not be sent at all.
                permit.released()
                raise
            if call.attempt is not None:
                call.attempt.breaker = breaker
            if outcome.error is not None:
                breaker.settle(permit, outcome.error)
            elif streams:
                call.when_ended(_settler(breaker, permit))
            else:
                breaker.succeeded(permit)
            return outcome

        return handle


def _settler(breaker: CircuitBreaker, permit: Permit) -> Callable[[grpc.StatusCode, str], None]:
    def settle(code: grpc.StatusCode, details: str) -> None:
        verdict = classify(code.value[0])
        if verdict is Verdict.SUCCESS:
            breaker.succeeded(permit)
        elif verdict is Verdict.FAILURE:
            error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
            breaker.failed(permit, error)
        else:
            permit.ignored()

    return settle
