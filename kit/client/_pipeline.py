"""The layers of a call on the client side, put in order. Nowhere else are they."""

from __future__ import annotations

import random

from kit import layers
from kit.client._replay import ReplayLayer
from kit.client.balance import BalanceLayer
from kit.client.endpoints import Endpoints
from kit.client.transport import on_endpoint, over_continuation
from kit.clock import Clock
from kit.pipeline import Handler, Method, Pipeline

__all__ = ["client_pipeline"]


def client_pipeline(
    clock: Clock,
    rng: random.Random,
    endpoints: Endpoints | None,
    breakers: layers.Breakers | None = None,
    allowances: layers.Allowances | None = None,
) -> Pipeline:
    """The layers of a call, outermost first. Without endpoints (on a stock channel) nothing is picked.

    One pipeline is one target: it has one set of breakers, and of throttles and budgets; they may be given.
    """
    breakers = breakers if breakers is not None else layers.Breakers(clock)
    allowances = allowances if allowances is not None else layers.Allowances(clock)
    between = clock if endpoints is None else endpoints.closing(clock)
    balance = [] if endpoints is None else [BalanceLayer(endpoints, clock, rng.random, breakers)]

    def hopeless(method: Method, seconds: float) -> bool:
        """Whether breakers will still refuse every endpoint by then, so that waiting for it is in vain."""
        rules = method.policy.breaker
        if rules is None:
            return False
        addresses = [""] if endpoints is None else [endpoint.address for endpoint in endpoints.all]
        return breakers.refuse_all(addresses, rules, seconds)

    def chain(method: Method) -> Handler:
        """The whole of it for a method that stands in for another one."""
        return pipeline.handler(method, over_continuation(method) if endpoints is None else on_endpoint(method))

    pipeline = Pipeline(
        [
            layers.ReportLayer(clock),
            layers.TraceCallLayer(),
            layers.DeadlineLayer(clock),
            layers.IdempotencyKeyLayer(clock),
            layers.FallbackLayer(clock, chain),
            ReplayLayer(),
            layers.ConcurrencyLayer(layers.Limits(clock)),
            layers.RetryLayer(between, rng.random, allowances, hopeless),
            layers.HedgeLayer(between, allowances),
            *balance,
            layers.BreakerLayer(breakers),
            layers.AttemptLayer(clock),
            layers.TraceAttemptLayer(),
        ]
    )
    return pipeline
