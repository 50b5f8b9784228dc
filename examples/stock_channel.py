"""The kit on a stock grpc.aio channel: deadline, retry, breaker and reports, in the five lines that say `kit`.

python examples/stock_channel.py

The server is grpc's own health service, which fails twice, hangs once, and then fails for good.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kit

RETRY, BREAKER = kit.RetryPolicy(max_attempts=3, initial_backoff=0.01), kit.BreakerPolicy(failure_threshold=5)
POLICY = kit.MethodPolicy(timeout=1.0, retry=RETRY, breaker=BREAKER, idempotency_level=kit.IdempotencyLevel.IDEMPOTENT)


async def client(address: str) -> None:
    async with grpc.aio.insecure_channel(address, interceptors=kit.client_interceptors(policy=POLICY)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for _ in range(5):
            with kit.reports() as seen:
                try:
                    await stub.Check(health_pb2.HealthCheckRequest())
                except grpc.aio.AioRpcError as error:
                    print(f"{type(error).__name__}: {error.details()}")
            print(seen[0])


class Troubled(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health ships no types
    def __init__(self) -> None:
        self.calls = 0

    async def Check(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self.calls += 1
        if self.calls == 4:
            await asyncio.sleep(60)
        elif self.calls != 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "just starting" if self.calls < 3 else "the disk is full")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def main() -> None:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Troubled(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await client(f"127.0.0.1:{port}")
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
