"""The kit on a stock grpc.aio channel: deadline, retry, errors and reports, in five lines.

python examples/stock_channel.py

It serves grpc's own health service, fails its first two calls, and shows what a caller notices of that: nothing.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kit
from kit.policy import IdempotencyLevel

CHECK = "/grpc.health.v1.Health/Check"


class Flaky(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health ships no types
    """Is unavailable twice, then serves."""

    failures = 2

    async def Check(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "just starting")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def call(address: str) -> None:
    # The five lines. A method of your own says in its .proto that it may be tried again; here the code says it.
    again = kit.RetryPolicy(max_attempts=4, initial_backoff=0.01)
    safe = kit.MethodPolicy(timeout=5.0, retry=again, idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS)
    interceptors = kit.client_interceptors(policy={CHECK: safe})
    async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
        with kit.reports() as seen:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    print("answer:", health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    print("report:", seen[0])


async def main() -> None:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Flaky(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await call(f"127.0.0.1:{port}")
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
