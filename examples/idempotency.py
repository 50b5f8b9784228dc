"""A method that creates something, executed once for each idempotency key.

python examples/idempotency.py
"""

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.policy import IdempotencyKeyMode
from kit.server.idempotency import effect

# What a .proto says by `idempotency_key: { mode: REQUIRED }`.
KEYED = kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.REQUIRED))
POLICY = {"/shop.v1.Shop/Order": KEYED}
INSERT = sa.text("INSERT INTO orders (book, key) VALUES (:book, :key) RETURNING id")


class Shop:
    async def order(self, request: StringValue, context: Any) -> StringValue:
        order = StringValue()
        async with effect(order) as connection:
            row = await connection.execute(INSERT, {"book": request.value, "key": kit.idempotency_key()})
            order.value = f"order {row.scalar_one()}: {request.value}"
        return order


async def show(title: str, stub: Any, book: str, *keys: str) -> None:
    """Makes a call of a client without the kit, and prints what it gets."""
    call = stub(StringValue(value=book), metadata=[("idempotency-key", key) for key in keys])
    try:
        said = (await call).value
    except grpc.aio.AioRpcError as error:
        said = f"{error.code().name}, {error.details()}"
    replayed = ("kit-idempotent-replay", "true") in tuple(await call.trailing_metadata())
    print(f"{title}: {said}{' (replayed)' if replayed else ''}")


async def main(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, book TEXT, key TEXT)")

    server = kit.Server("shop", policy=POLICY, idempotency=f"sqlite:///{file}", register=False).add(Shop(), add_shop)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = channel.unary_unary("/shop.v1.Shop/Order", StringValue.SerializeToString, StringValue.FromString)
        await show("an order", stub, "a book", "key-1")
        await show("the same again", stub, "a book", "key-1")
        await show("another request", stub, "a pen", "key-1")
        await show("no key", stub, "a pen")

        metadata = [("idempotency-key", "key-2")]
        answers = await asyncio.gather(*(stub(StringValue(value="a map"), metadata=metadata) for _ in range(10)))
        print(f"ten at the same time: {', '.join({answer.value for answer in answers})}")

    print("in the table:", database.execute("SELECT id, book, key FROM orders").fetchall())
    database.close()


def add_shop(shop: Shop, server: Any) -> None:
    """What generated code has."""
    rpc: Any = grpc.unary_unary_rpc_method_handler(shop.order, StringValue.FromString, StringValue.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", {"Order": rpc}),))
    server.add_registered_method_handlers("shop.v1.Shop", {"Order": rpc})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "shop.db"))
