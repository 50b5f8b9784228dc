"""One server, several processes: kit.run with KIT_WORKERS, what they answer, how they are replaced and stopped.

python examples/workers.py
"""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc

import kit
from kit.discovery import Instance, Registry


async def who(request: bytes, context: Any) -> bytes:
    return str(os.getpid()).encode()


def add(_servicer: Any, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


def serve() -> int:
    server = kit.Server("shop").add(None, add)
    return kit.run(server)


async def demonstrate() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"KIT_WORKERS": "2", "KIT_DATA_DIR": folder}
        parent = await asyncio.create_subprocess_exec(
            sys.executable, __file__, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        registry = Registry(Path(folder) / "run" / "registry")
        first = await registered(registry, other_than=set())
        print(f"{len(workers(first))} workers at one address")

        # A connection belongs to one worker; the kernel chooses which.
        answered: set[str] = set()
        while len(answered) < 2:
            async with kit.channel(first.address) as channel:
                answered.add((await channel.unary_unary("/shop.v1.Shop/Who")(b"")).decode())
        print(f"both answer: {answered == workers(first)}")

        parent.send_signal(signal.SIGHUP)
        second = await registered(registry, other_than=workers(first))
        print(
            f"after SIGHUP: {len(workers(second))} other workers at the same address: {first.address == second.address}"
        )

        parent.send_signal(signal.SIGTERM)
        print(f"after SIGTERM: exit code {await parent.wait()}")


async def registered(registry: Registry, *, other_than: set[str]) -> Instance:
    """The server's entry, once it has two workers that are others."""
    async with aclosing(registry.watch("shop")) as changes:
        async for instances in changes:
            if instances and len(workers(instances[0]) - other_than) == 2:
                return instances[0]
    raise AssertionError


def workers(instance: Instance) -> set[str]:
    return set(instance.metadata["workers"].split(","))


if __name__ == "__main__":
    if "KIT_WORKERS" in os.environ:
        raise SystemExit(serve())
    asyncio.run(demonstrate())
