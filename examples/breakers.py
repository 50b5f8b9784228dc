"""A circuit breaker opens, refuses, is probed and closes; a listener of aiobreaker hears of it.

python examples/breakers.py
"""

import asyncio
from typing import Any

import aiobreaker
import grpc

import kit
from kit.testing import Fault, InProcess

GET = "/shop.v1.Shop/Get"
POLICY = kit.MethodPolicy(
    timeout=2.0,
    breaker=kit.BreakerPolicy(failure_threshold=3, open_for=1.0, success_threshold=2),
)


class Told(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]  # aiobreaker ships no types
    def state_change(self, breaker: Any, old: Any, new: Any) -> None:
        print(f"{breaker.name}: {old.state.name} to {new.state.name}")


async def use(channel: grpc.aio.Channel) -> None:
    get: Any = channel.unary_unary(GET)  # a generated stub does the same
    try:
        await get(b"")
    except kit.errors.BreakerOpen as error:
        print("refused:", error.details())
        await asyncio.sleep(min(error.retry_after, 1.0))
    except kit.errors.CallFailed as error:
        print("failed:", error.details())
    else:
        print("answered")


async def main() -> None:
    async with InProcess(None, add_shop, policy=POLICY, breaker_listeners=[Told()]) as process:
        process.faults.script(GET, [Fault(code=grpc.StatusCode.UNAVAILABLE, details="no disk")] * 3)
        channel = process.channel
        for _ in range(6):
            await use(channel)

        [breaker] = channel.breakers
        breaker.open(reason="maintenance", hold=True)
        await use(channel)
        breaker.close()
        await use(channel)


async def answer(request: bytes, context: Any) -> bytes:
    return b"a book"


def add_shop(servicer: object, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {"Get": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


if __name__ == "__main__":
    asyncio.run(main())
