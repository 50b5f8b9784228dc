"""A deadline travels from hop to hop; kit.timeout shortens it, kit.background leaves it behind.

python examples/deadlines.py
"""

import asyncio
from typing import Any

import grpc

import kit
from kit.testing import InProcess


class Shop:
    """Asks the stock before it answers."""

    def __init__(self, stock: grpc.aio.Channel) -> None:
        self.count: Any = stock.unary_unary("/shop.v1.Stock/Count")  # a generated stub does the same
        self.later: asyncio.Task[None] | None = None

    async def get(self, request: bytes, context: Any) -> bytes:
        print(f"the shop has {kit.deadline().remaining():.1f} s")
        await self.count(b"asked in time")
        with kit.timeout(1.0):
            await self.count(b"asked within kit.timeout")
        self.later = kit.background(self.reorder())
        return b"a book"

    async def reorder(self) -> None:
        await self.count(b"asked in the background", timeout=9)


async def count(request: bytes, context: Any) -> bytes:
    left = kit.deadline().remaining()
    print(f"the stock has {left:.1f} s, {request.decode()}")
    return b"7"


async def main() -> None:
    async with InProcess(None, adding("shop.v1.Stock", "Count", count)) as stock:
        shop = Shop(stock.channel)
        async with InProcess(None, adding("shop.v1.Shop", "Get", shop.get)) as front:
            get: Any = front.channel.unary_unary("/shop.v1.Shop/Get")
            await get(b"", timeout=4)
            assert shop.later is not None
            await shop.later

            with kit.timeout(0.05):
                await asyncio.sleep(0.06)
                try:
                    await get(b"")
                except kit.errors.DeadlineExpired as error:
                    print("refused:", error.details())


def adding(service: str, name: str, behave: Any) -> Any:
    """What generated code has."""
    handlers: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(behave)}
    handler = grpc.method_handlers_generic_handler(service, handlers)
    return lambda _servicer, server: server.add_generic_rpc_handlers((handler,))


if __name__ == "__main__":
    asyncio.run(main())
