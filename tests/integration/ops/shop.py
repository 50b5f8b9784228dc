"""A shop that asks a store behind it, which fails as it is told to; and somebody who asks the shop's OpsService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

import kit
from kit.client import Channel
from kit.testing import Fault, Faults
from kitapi.v1 import ops_pb2_grpc

BUY, TAKE = "/shop.v1.Shop/Buy", "/shop.v1.Store/Take"
POLICY = kit.MethodPolicy(
    timeout=5.0,
    retry=kit.RetryPolicy(max_attempts=3, initial_backoff=0.001),
    breaker=kit.BreakerPolicy(failure_threshold=3, open_for=60.0),
    concurrency=kit.ConcurrencyPolicy(max_concurrent=7),
    retry_budget=kit.RetryBudget(ratio=0.5),
    retry_throttling=kit.RetryThrottling(max_tokens=100),
    idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
)
BUSY = Fault(code=grpc.StatusCode.UNAVAILABLE, details="busy")


@dataclass
class Shop:
    """What runs."""

    server: kit.Server
    store: kit.Server
    faults: Faults
    #: The shop's channel to the store.
    inside: Channel
    #: A stock channel to the shop.
    channel: grpc.aio.Channel

    @property
    def ops(self) -> Any:
        return ops_pb2_grpc.OpsServiceStub(self.channel)

    async def buy(self, **options: Any) -> grpc.StatusCode:
        buy: Any = self.channel.unary_unary(BUY)
        try:
            await buy(b"", **options)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def serving(path: str, behavior: Any) -> Any:
    """What generated code has."""
    _, service, method = path.split("/")

    def add(_: object, server: Any) -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(behavior)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))

    return add


@asynccontextmanager
async def shop(**options: Any) -> AsyncIterator[Shop]:
    """`options` are the shop's server's."""

    async def take(request: bytes, context: Any) -> bytes:
        return b"taken"

    faults = Faults()
    store = kit.Server("store", register=False, grace=0.0, interceptors=(faults,)).add(None, serving(TAKE, take))
    async with store, Channel(store.address, policy={TAKE: POLICY}) as inside:
        take_one = inside.unary_unary(TAKE)

        async def buy(request: bytes, context: Any) -> bytes:
            bought: bytes = await take_one(b"")
            return bought

        options = {"register": False, "grace": 0.0, "policy": {BUY: kit.MethodPolicy(timeout=9.0)}, **options}
        server = kit.Server("shop", **options).add(None, serving(BUY, buy))
        async with server, grpc.aio.insecure_channel(server.address) as channel:
            yield Shop(server, store, faults, inside, channel)
