"""kit.channel over three replicas: health checks, ejection of one that fails, connections that are made anew.

python examples/channel.py
"""

import asyncio
from typing import Any

import grpc

import kit
from kit.client import ChannelEvent
from kit.testing import Fault, Faults

GET = "/shop.v1.Shop/Get"
POLICY = kit.MethodPolicy(
    timeout=2.0,
    retry=kit.RetryPolicy(max_attempts=2, initial_backoff=0.01),
    outlier=kit.OutlierPolicy(consecutive_errors=3),
    balance=kit.BalancePolicy(kind=kit.BalanceKind.ROUND_ROBIN),
    idempotency_level=kit.IdempotencyLevel.NO_SIDE_EFFECTS,
)


async def use(addresses: list[str], replicas: list[kit.Server], faults: list[Faults]) -> None:
    events: asyncio.Queue[ChannelEvent] = asyncio.Queue()
    health = kit.HealthCheck(interval=0.2)
    async with kit.channel(addresses, policy=POLICY, health=health, on_event=events.put_nowait) as channel:
        get: Any = channel.unary_unary(GET)  # a generated stub does the same
        found = await channel.wait_for_healthy(timeout=5.0, all_endpoints=True)
        print("healthy:", len(found.endpoints))
        print("event:", await events.get())

        # One that fails is ejected after its third failure; the calls themselves are answered by others.
        faults[0].script(GET, [Fault(code=grpc.StatusCode.UNAVAILABLE)] * 100)
        for _ in range(30):
            await get(b"")
        print("calls:", [each.count(GET) for each in faults])
        print("ejected:", [each.ejected for each in channel.statistics().endpoints])
        print("event:", await events.get())

        # One that says that it does not serve is passed over.
        replicas[1].health.set("", False)
        print("event:", await events.get())
        print(await channel.check_now())
        for _ in range(10):
            await get(b"")
        print("calls:", [each.count(GET) for each in faults])

        # The third gets a new connection.
        channel.force_reconnect(addresses[2])
        await get(b"")


async def answer(request: bytes, context: Any) -> bytes:
    return b"a book"


def add_shop(servicer: object, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {"Get": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


async def main() -> None:
    faults = [Faults(), Faults(), Faults()]
    replicas = [kit.Server("shop", listen="127.0.0.1:0", register=False, interceptors=[each]) for each in faults]
    for replica in replicas:
        await replica.add(None, add_shop).start()
    await use([replica.address for replica in replicas], replicas, faults)
    for replica in replicas:
        await replica.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
