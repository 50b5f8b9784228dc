"""What the channels of a process know, as messages: breakers, endpoints, limits. And breakers set by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from kit.client._facts import CLIENTS, ClientFacts
from kit.client.reports import EndpointStatistics
from kit.clock import SYSTEM, Clock
from kit.durations import to_duration
from kit.errors import FailedPrecondition, InvalidArgument, NotFound
from kit.layers.breaker_facade import CircuitBreaker
from kit.ops.components import HEALTH
from kit.pipeline import Method
from kit.resilience.breaker import State
from kit.resilience.breaker_rules import BreakerRules
from kitapi.v1 import ops_pb2

__all__ = ["breakers", "endpoints", "limits", "set_breaker"]

_STATES = {
    State.CLOSED: ops_pb2.Breaker.CLOSED,
    State.HALF_OPEN: ops_pb2.Breaker.HALF_OPEN,
    State.OPEN: ops_pb2.Breaker.OPEN,
}


class _Found:
    """One breaker, and what it is reached by."""

    def __init__(self, facts: ClientFacts, rules: BreakerRules, address: str, breaker: CircuitBreaker) -> None:
        self.target = facts.target
        self.address = address
        self.breaker = breaker
        self.methods = sorted(_name(method) for method in facts.methods() if method.policy.breaker == rules)

    def message(self, clock: Clock) -> ops_pb2.Breaker:
        """As of now."""
        snapshot = self.breaker.snapshot()
        left = snapshot.time_to_half_open
        message = ops_pb2.Breaker(
            endpoint=self.address,
            method=self.methods[0] if len(self.methods) == 1 else "",
            state=_STATES[snapshot.state],
            reason=snapshot.reason,
            successes=snapshot.successes,
            failures=snapshot.failures,
            failure_rate=snapshot.failure_rate,
            target=self.target,
            methods=self.methods,
            refused=snapshot.refused,
            held=left == math.inf,
        )
        if left is not None and left != math.inf:
            message.time_to_half_open.CopyFrom(to_duration(left))
        if snapshot.changed_at is not None:
            message.changed_time.FromNanoseconds(round((clock.wall() - clock.now() + snapshot.changed_at) * 1e9))
        return message


def breakers(clock: Clock = SYSTEM) -> list[ops_pb2.Breaker]:
    """Every breaker that a call has asked so far; what is not closed comes first."""
    found = [each.message(clock) for each in _found()]
    return sorted(found, key=lambda one: (-one.state, one.target, one.endpoint, one.methods))


def set_breaker(request: ops_pb2.SetBreakerRequest, who: str, clock: Clock = SYSTEM) -> ops_pb2.Breaker:
    """Opens or closes the one breaker that is named.

    Raises InvalidArgument for another state, NotFound, and FailedPrecondition where the names fit several.
    """
    if request.state not in (ops_pb2.Breaker.OPEN, ops_pb2.Breaker.CLOSED):
        raise InvalidArgument("state: a breaker can be set to OPEN or CLOSED")
    if request.hold and request.state != ops_pb2.Breaker.OPEN:
        raise InvalidArgument("hold: only what is opened can be held")
    method = request.method.removeprefix("/")
    named = [
        one
        for one in _found()
        if one.address == request.endpoint
        and (not request.target or one.target == request.target)
        and (not method or method in one.methods)
    ]
    if not named:
        known = ", ".join(sorted({one.address or '""' for one in _found()}))
        others = f"; there are breakers of {known}" if known else ", nor has any other"
        raise NotFound(f"no breaker of {request.endpoint!r} has met a call{others}")
    if len(named) > 1:
        choices = "; ".join(f"target {one.target!r}: {', '.join(one.methods) or 'no method any more'}" for one in named)
        raise FailedPrecondition(f"{len(named)} breakers are at {request.endpoint!r}; name one: {choices}")
    (one,) = named
    reason = f"{request.reason or 'by hand'} ({who})"
    if request.state == ops_pb2.Breaker.OPEN:
        one.breaker.open(reason=reason, hold=request.hold)
    else:
        one.breaker.close(reason=reason)
    return one.message(clock)


def endpoints(target: str = "") -> list[ops_pb2.Endpoint]:
    """The endpoints of every channel, or of those to one target. A channel that is grpc's own keeps its to itself."""
    return [
        _endpoint(statistics.target, endpoint)
        for facts in CLIENTS.all()
        if facts.statistics is not None and (not target or facts.target == target)
        for statistics in (facts.statistics(),)
        for endpoint in statistics.endpoints
    ]


def limits(clock: Clock = SYSTEM) -> list[ops_pb2.Limit]:
    """Bulkheads, retry throttles and retry budgets of every channel."""
    return [limit for facts in CLIENTS.all() for limit in _limits(facts, clock.now())]


def _found() -> Iterator[_Found]:
    for facts in CLIENTS.all():
        for rules, address, breaker in facts.breakers.by_rules():
            yield _Found(facts, rules, address, breaker)


def _endpoint(target: str, known: EndpointStatistics) -> ops_pb2.Endpoint:
    return ops_pb2.Endpoint(
        target=target,
        address=known.address,
        health=HEALTH[known.health],
        ejected=known.ejected,
        connectivity=known.state.name,
        in_flight=known.calls_in_flight or 0,
        connects=known.connects,
        connect_failures=known.failures,
        last_error=known.last_error,
        failed_checks=known.failed_checks,
    )


def _limits(facts: ClientFacts, now: float) -> Iterator[ops_pb2.Limit]:
    methods = facts.methods()
    for rules, places in facts.limits.all():
        limiter = places.limiter
        yield ops_pb2.Limit(
            name=_names(method for method in methods if method.policy.concurrency == rules),
            kind="adaptive concurrency" if rules.adaptive else "concurrency",
            limit=limiter.limit,
            used=limiter.running,
            queued=limiter.queued,
            rejected=places.refused,
            target=facts.target,
        )
    throttles, budgets = facts.allowances.all()
    for throttling, throttle in throttles:
        yield ops_pb2.Limit(
            name=_names(method for method in methods if method.policy.throttle == throttling),
            kind="retry throttle",
            limit=throttle.max_tokens,
            used=throttle.max_tokens - throttle.tokens,
            target=facts.target,
        )
    for budgeting, budget in budgets:
        spent = budget.spent(now)
        yield ops_pb2.Limit(
            name=_names(method for method in methods if method.policy.budget == budgeting),
            kind="retry budget",
            limit=spent + budget.left(now),
            used=spent,
            target=facts.target,
        )


def _name(method: Method) -> str:
    return method.path.removeprefix("/")


def _names(methods: Iterable[Any]) -> str:
    return ", ".join(sorted(_name(method) for method in methods))
