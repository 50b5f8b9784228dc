"""The order of the layers, from the pipeline's own description."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any

from kit.client._pipeline import client_pipeline
from kit.client.endpoints import Endpoints
from kit.clock import SYSTEM
from kit.pipeline import Call, Handler, Method, Outcome, Pipeline
from tests.unit.layers.wire import method

RNG = random.Random(0)


def no_endpoints() -> Endpoints:
    return Endpoints("test:1", lambda _address: None, ())  # type: ignore[arg-type,return-value]


def test_the_layers_stand_in_the_order_of_the_design() -> None:
    assert client_pipeline(SYSTEM, RNG, no_endpoints()).describe() == [
        "report",
        "trace call",
        "deadline",
        "idempotency key",
        "fallback",
        "replay",
        "concurrency",
        "retry",
        "hedge",
        "balance",
        "breaker",
        "attempt",
        "trace attempt",
    ]


def test_on_a_stock_channel_nothing_is_picked() -> None:
    described = client_pipeline(SYSTEM, RNG, None).describe()
    assert described == [
        "report",
        "trace call",
        "deadline",
        "idempotency key",
        "fallback",
        "replay",
        "concurrency",
        "retry",
        "hedge",
        "breaker",
        "attempt",
        "trace attempt",
    ]


def test_a_method_without_retries_has_no_retry_layer() -> None:
    pipeline = client_pipeline(SYSTEM, RNG, None)
    assert "retry" in pipeline.describe(method())
    assert "retry" not in pipeline.describe(method(attempts=1))


class Noting:
    """A layer that says when it is passed."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self._seen = seen

    def wrap(self, method: Method, inner: Handler) -> Handler:
        self._seen.append(f"wrap {self.name}")

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            self._seen.append(self.name)
            return inner(call)

        return handle


async def test_the_first_layer_listed_is_the_outermost_and_the_chain_is_built_once() -> None:
    seen: list[str] = []

    async def transport(_call: Call) -> Outcome:
        seen.append("transport")
        return Outcome()

    what = method()
    handler = Pipeline([Noting("first", seen), Noting("second", seen)]).handler(what, transport)
    await handler(Call(what, None))
    await handler(Call(what, None))
    assert seen == ["wrap second", "wrap first"] + ["first", "second", "transport"] * 2
