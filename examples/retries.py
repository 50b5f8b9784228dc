"""What is tried again and what is not: retries, pushback, hedging, uploads, a budget.

python examples/retries.py
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

import kit
from kit.testing import Fault, InProcess

SAFE = kit.IdempotencyLevel.NO_SIDE_EFFECTS
POLICY = {
    # Every method; but only those that are declared safe are executed twice.
    "/shop.v1.Shop/*": kit.MethodPolicy(timeout=5.0, retry=kit.RetryPolicy(max_attempts=4, initial_backoff=0.01)),
    "/shop.v1.Shop/Get": kit.MethodPolicy(idempotency_level=SAFE),
    "/shop.v1.Shop/List": kit.MethodPolicy(
        idempotency_level=SAFE, hedging=kit.HedgingPolicy(max_attempts=2, hedging_delay=0.05)
    ),
    "/shop.v1.Shop/Upload": kit.MethodPolicy(
        idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, retry=kit.RetryPolicy(replay_buffer_bytes=65_536)
    ),
    "/shop.v1.Shop/Count": kit.MethodPolicy(
        idempotency_level=SAFE, retry_budget=kit.RetryBudget(ratio=0.1, min_per_second=0.2)
    ),
}
BUSY = Fault(code=grpc.StatusCode.UNAVAILABLE)


async def show(title: str, call: Any) -> None:
    """Awaits a call and prints what happened to it."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call
    report = kit.report(call)
    codes = [f"{each.code.name}{' (hedge)' if each.hedge else ''}" for each in report.attempts if each.code]
    print(f"{title}: {', '.join(codes)}; {report.stop_reason}")


async def parts() -> AsyncIterator[bytes]:
    for part in (b"one", b"two", b"three"):
        yield part


async def main() -> None:
    async with InProcess(None, add_shop, policy=POLICY) as process:
        # Stubs that protoc generates do the same.
        get, put, slow, count = (
            process.channel.unary_unary(f"/shop.v1.Shop/{name}") for name in ("Get", "Put", "List", "Count")
        )
        upload = process.channel.stream_unary("/shop.v1.Shop/Upload")
        script = process.faults.script

        script("/shop.v1.Shop/Get", [BUSY, BUSY])
        await show("a read", get(b""))
        script("/shop.v1.Shop/Get", [Fault(code=grpc.StatusCode.NOT_FOUND)])
        await show("nothing there", get(b""))
        script("/shop.v1.Shop/Get", [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=-1)])
        await show("pushback", get(b""))
        script("/shop.v1.Shop/Put", [BUSY])
        await show("a write", put(b""))
        script("/shop.v1.Shop/List", [Fault(until=asyncio.Event())])
        await show("hedged", slow(b""))
        script("/shop.v1.Shop/Upload", [BUSY])
        await show("an upload", upload(parts()))
        script("/shop.v1.Shop/Count", [BUSY] * 9)
        await show("a budget", count(b""))
        await show("a budget", count(b""))


async def answer(request: bytes, context: Any) -> bytes:
    return b"a book"


async def receive(stream: AsyncIterator[bytes], context: Any) -> bytes:
    return b"".join([part async for part in stream])


def add_shop(servicer: object, server: Any) -> None:
    """What generated code has."""
    unary: Any = grpc.unary_unary_rpc_method_handler(answer)
    upload: Any = grpc.stream_unary_rpc_method_handler(receive)
    handlers = {"Get": unary, "Put": unary, "List": unary, "Count": unary, "Upload": upload}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


if __name__ == "__main__":
    asyncio.run(main())
