"""Who calls, and whether they may: API keys with scopes, and what callers are told.

python examples/security.py
"""

import asyncio
from typing import Any

import grpc

import kit
from kit.auth import ApiKeys, Principal, digest_of

POLICY = {
    "/shop.v1.Orders/*": kit.MethodPolicy(auth=kit.AuthPolicy(scopes=("orders.read",))),
    "/shop.v1.Orders/Delete": kit.MethodPolicy(auth=kit.AuthPolicy(scopes=("orders.read", "orders.write"))),
    "/shop.v1.Orders/OpeningHours": kit.MethodPolicy(auth=kit.AuthPolicy(public=True)),
}
# As a server has them: digests. Keys are made with secrets.token_urlsafe(32), and given to their owners only.
KEY = "kUz3Xj7k0mQ0V0l6Vt4xJw7yq2s1b8n5c9d0e3f6g7h"
KEYS = ApiKeys({digest_of(KEY): Principal("billing", {"orders.read"})})


async def get(request: bytes, context: Any) -> bytes:
    who = kit.principal()
    assert who is not None
    return f"an order, for {who.name}, known by {who.method}".encode()


async def opening_hours(request: bytes, context: Any) -> bytes:
    return f"from nine to five, for {kit.principal()}".encode()


async def attempt(channel: grpc.aio.Channel, method: str, *metadata: tuple[str, str]) -> None:
    call: Any = channel.unary_unary(f"/shop.v1.Orders/{method}")
    try:
        print(f"{method}: {(await call(b'', metadata=metadata)).decode()}")
    except grpc.aio.AioRpcError as error:
        print(f"{method}: {error.code().name}, {kit.errors.details_of(error).reason}: {error.details()}")


async def main() -> None:
    server = kit.Server("orders", policy=POLICY, authenticators=[KEYS], register=False, grace=0.0)
    server.add(None, add_orders)
    async with server, kit.channel(server.address) as channel:
        await attempt(channel, "Get")
        await attempt(channel, "Get", ("x-api-key", "a guess"))
        await attempt(channel, "Get", ("x-api-key", KEY))
        await attempt(channel, "Delete", ("x-api-key", KEY))
        await attempt(channel, "OpeningHours")

    unguarded = kit.Server("orders", policy=POLICY, register=False).add(None, add_orders)
    try:
        await unguarded.start()
    except kit.errors.ConfigurationError as error:
        print("does not start:", error)


def add_orders(_servicer: None, server: Any) -> None:
    """What generated code has."""
    behave = {"Get": get, "Delete": get, "OpeningHours": opening_hours}
    handlers: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(does) for name, does in behave.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Orders", handlers),))


if __name__ == "__main__":
    asyncio.run(main())
