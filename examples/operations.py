"""A process that tells of itself: breakers, recent calls, limits and events, asked over gRPC.

python examples/operations.py
"""

import asyncio
from typing import Any

import grpc

import kit
from kit import events
from kit.testing import Fault, InProcess
from kitapi.v1 import events_pb2, ops_pb2, ops_pb2_grpc

TAKE = "/shop.v1.Store/Take"
POLICY = kit.MethodPolicy(
    timeout=2.0,
    retry=kit.RetryPolicy(max_attempts=3, initial_backoff=0.01),
    breaker=kit.BreakerPolicy(failure_threshold=3),
    concurrency=kit.ConcurrencyPolicy(max_concurrent=100),
    idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
)


async def main() -> None:
    async with InProcess(None, add_store, policy=POLICY) as process:
        process.faults.script(TAKE, [Fault(code=grpc.StatusCode.UNAVAILABLE, details="busy")] * 3)
        take: Any = process.channel.unary_unary(TAKE)  # a generated stub does the same
        try:
            await take(b"")
        except kit.errors.CallFailed as error:
            print("failed:", error.details())
        events.publish(events_pb2.CacheInvalidated(key="prices", reason="new"), subject="caches/prices")

        # From here on as any other process would ask; every kit server on loopback answers.
        async with grpc.aio.insecure_channel(process.address) as channel:
            ops: Any = ops_pb2_grpc.OpsServiceStub(channel)
            for breaker in (await ops.ListBreakers(ops_pb2.ListBreakersRequest())).breakers:
                state = ops_pb2.Breaker.State.Name(breaker.state)
                print(state, breaker.endpoint, ", ".join(breaker.methods), "-", breaker.reason)

            for call in (await ops.ListCalls(ops_pb2.ListCallsRequest(page_size=10))).calls:
                print(call.method, call.code, call.stop_reason, [attempt.code for attempt in call.attempts])

            for limit in (await ops.ListLimits(ops_pb2.ListLimitsRequest())).limits:
                if limit.target:  # else it limits what is served here
                    print(f"{limit.kind} of {limit.name}: {limit.used:g} of {limit.limit:g}")

            request = ops_pb2.WatchEventsRequest(types=["BreakerStateChanged", "CacheInvalidated"], only_past=True)
            async for event in ops.WatchEvents(request):
                print(event.sequence, event.payload.TypeName(), event.subject)

            try:
                await ops.SetBreaker(ops_pb2.SetBreakerRequest(endpoint=process.address, state=ops_pb2.Breaker.CLOSED))
            except grpc.aio.AioRpcError as error:
                print(error.code().name, error.details())


async def answer(request: bytes, context: Any) -> bytes:
    return b"taken"


def add_store(servicer: object, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {"Take": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Store", handlers),))


if __name__ == "__main__":
    asyncio.run(main())
