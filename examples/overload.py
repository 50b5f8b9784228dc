"""A server that protects itself: what matters is served first, what is too much is told so at once.

python examples/overload.py
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

import kit

POLICY = {
    "/shop.v1.Shop/Pay": kit.MethodPolicy(priority=kit.Priority.CRITICAL),
    "/shop.v1.Shop/Suggest": kit.MethodPolicy(priority=kit.Priority.SHEDDABLE),
    "/shop.v1.Shop/Export": kit.MethodPolicy(rate=kit.RatePolicy(per_second=0.5)),
}
# So small that a few calls are too many. What a service needs is kit.Server("shop", policy=POLICY).
TINY = kit.Admission(max_concurrent=1, max_queued=3)


class Shop:
    """Serves one call at a time, and only when the door is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.served: list[str] = []

    async def serve(self, request: bytes, context: Any) -> bytes:
        await self.open.wait()
        self.served.append(request.decode())
        return request


async def main() -> None:
    shop = Shop()
    server = kit.Server("shop", policy=POLICY, admission=TINY, listen="127.0.0.1:0", register=False)
    async with server.add(shop, add_shop), kit.channel(server.address) as channel:
        calls = []

        async def queue(method: str, name: str) -> None:
            """Makes a call and waits until it stands in the queue."""
            before = waiting(server)
            calls.append(asyncio.ensure_future(call(channel, method, name)))
            await until(lambda: waiting(server) > before)

        calls.append(asyncio.ensure_future(call(channel, "Get", "the first")))
        await until(lambda: running(server) > 0)
        await queue("Suggest", "suggest")
        await queue("Get", "get")
        with kit.priority(kit.Priority.SHEDDABLE):
            await queue("Get", "get, for a report")

        # The queue is full. What matters more takes the place of the latest that matters least.
        calls.append(asyncio.ensure_future(call(channel, "Pay", "pay")))
        await calls[3]
        # Nothing waits that matters less than this one.
        await call(channel, "Suggest", "another suggestion")

        shop.open.set()
        await asyncio.gather(*calls)
        print("served:", ", ".join(shop.served))

        await call(channel, "Export", "export")
        await call(channel, "Export", "another export")

        for limit in server.limits():
            print(f"{limit.kind} of {limit.name}: {limit.used:.0f} of {limit.limit:g}, {limit.rejected} refused")


async def call(channel: grpc.aio.Channel, method: str, name: str) -> None:
    make: Any = channel.unary_unary(f"/shop.v1.Shop/{method}")  # a generated stub does the same
    try:
        await make(name.encode(), timeout=20)
    except grpc.aio.AioRpcError as error:
        details = kit.errors.details_of(error)
        print(f"{name}: {error.code().name}, {details.reason}, come back in {details.retry_after:.1f} s")


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the server tells nobody that a call waits
        await asyncio.sleep(0.001)


def waiting(server: kit.Server) -> float:
    return next(limit.used for limit in server.limits() if limit.kind == "queue")


def running(server: kit.Server) -> float:
    return next(limit.used for limit in server.limits() if limit.kind == "concurrency")


def add_shop(shop: Shop, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(shop.serve) for name in ("Get", "Pay", "Suggest", "Export")
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


if __name__ == "__main__":
    asyncio.run(main())
