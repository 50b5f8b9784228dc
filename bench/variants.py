"""The ways to make a call that are compared. Each is opened to an address and gives something to await per call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio

import kit
from bench import rivals
from bench.echo import MESSAGE, Stub, path

__all__ = ["BARE", "HEDGED", "POLICY", "RIVALS", "VARIANTS", "WITH_ALLOWANCES", "NoOp", "Once", "Opened"]

#: One call.
Once: TypeAlias = Callable[[], Awaitable[Any]]
Opened: TypeAlias = Callable[[str], AbstractAsyncContextManager[Once]]

BARE = "bare"
_LEVEL = kit.IdempotencyLevel.NO_SIDE_EFFECTS
#: Resilience only: a deadline, three retries, a breaker; every call keeps what its report tells.
POLICY = kit.MethodPolicy(
    timeout=10.0,
    retry=kit.RetryPolicy(max_attempts=4),
    breaker=kit.BreakerPolicy(failure_threshold=5),
    idempotency_level=_LEVEL,
)
#: The same with throttle and budget.
WITH_ALLOWANCES = kit.MethodPolicy(
    timeout=10.0,
    retry=kit.RetryPolicy(max_attempts=4),
    breaker=kit.BreakerPolicy(failure_threshold=5),
    retry_throttling=kit.RetryThrottling(max_tokens=10),
    retry_budget=kit.RetryBudget(ratio=0.2),
    idempotency_level=_LEVEL,
)
HEDGED = kit.MethodPolicy(
    timeout=10.0, hedging=kit.HedgingPolicy(max_attempts=2, hedging_delay=1.0), idempotency_level=_LEVEL
)


@asynccontextmanager
async def _bare(address: str) -> AsyncIterator[Once]:
    async with grpc.aio.insecure_channel(address) as channel:
        unary = Stub(channel).Unary
        yield lambda: unary(MESSAGE)


class NoOp(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(client_call_details, request)


@asynccontextmanager
async def _noop(address: str) -> AsyncIterator[Once]:
    async with grpc.aio.insecure_channel(address, interceptors=[NoOp()]) as channel:
        unary = Stub(channel).Unary
        yield lambda: unary(MESSAGE)


def _kit_channel(policy: kit.MethodPolicy | None) -> Opened:
    source = None if policy is None else {path("Unary"): policy}

    @asynccontextmanager
    async def opened(address: str) -> AsyncIterator[Once]:
        async with kit.channel(address, policy=source) as channel:
            unary = Stub(channel).Unary
            yield lambda: unary(MESSAGE)

    return opened


@asynccontextmanager
async def _kit_reported(address: str) -> AsyncIterator[Once]:
    async with kit.channel(address, policy=POLICY) as channel:
        unary = Stub(channel).Unary

        async def once() -> Any:
            call = unary(MESSAGE)
            await call
            return kit.report(call)

        yield once


def _kit_interceptors(policy: kit.MethodPolicy) -> Opened:
    @asynccontextmanager
    async def opened(address: str) -> AsyncIterator[Once]:
        interceptors = kit.client_interceptors(policy=policy)
        async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
            unary = Stub(channel).Unary
            yield lambda: unary(MESSAGE)

    return opened


VARIANTS: Mapping[str, Opened] = {
    BARE: _bare,
    "no-op interceptor": _noop,
    "kit.channel": _kit_channel(POLICY),
    "kit.channel + report read": _kit_reported,
    "kit.channel + throttle and budget": _kit_channel(WITH_ALLOWANCES),
    "kit.channel + hedging": _kit_channel(HEDGED),
    "kit.channel without a policy": _kit_channel(None),
    "kit.client_interceptors": _kit_interceptors(POLICY),
    "tenacity + aiobreaker": rivals.by_hand,
    "grpc-client-kit": rivals.grpc_client_kit,
}
#: Those that need packages of others.
RIVALS = frozenset({"tenacity + aiobreaker", "grpc-client-kit"})
