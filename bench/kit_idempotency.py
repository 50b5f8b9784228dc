"""What deduplication adds to a unary call: time, CPU and calls per second, by where the keys are kept.

Client and servers are one process, so CPU is of both sides and of the store's thread. A round makes the same number of
calls with each store, one after the other, and each figure is the median of the rounds. PostgreSQL takes part where
--postgres names an empty database.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

import kit
from kit.policy import IdempotencyKeyMode
from kit.server.idempotency import MemoryStore

__all__ = ["main"]

METHOD = "/bench.Shop/Order"
POLICY = {
    METHOD: kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.OPTIONAL)),
}
AT_A_TIME = (1, 50)


def main(arguments: Sequence[str] = ()) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench idempotency", description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", help="postgresql://user@host/database")
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder), options.calls, options.rounds, options.postgres))


async def _measure(folder: Path, calls: int, rounds: int, postgres: str | None) -> None:
    stores: dict[str, Any] = {"memory": MemoryStore(), "sqlite": f"sqlite:///{folder / 'keys.db'}"}
    if postgres:
        stores["postgresql"] = postgres
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    async with AsyncExitStack() as stack:
        stubs = {name: await _stub(stack, store) for name, store in stores.items()}
        for number in range(rounds + 1):
            for name, stub in {"no key": stubs["memory"], **stubs}.items():
                for places in AT_A_TIME:
                    figures = await _round(stub, calls, places, keyed=name != "no key")
                    if number:
                        found.setdefault((name, places), []).append(figures)
    print(f"{'':12}{'at a time':>10}{'us a call':>12}{'CPU us':>10}{'calls/s':>10}")
    for (name, places), figures_of in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*figures_of, strict=True))
        print(f"{name:12}{places:10}{wall * 1e6:12.0f}{cpu * 1e6:10.0f}{1 / wall:10.0f}")


async def _stub(stack: AsyncExitStack, store: Any) -> Any:
    """To a server of its own."""
    server = kit.Server("bench", policy=POLICY, idempotency=store, register=False, admission=None)
    await stack.enter_async_context(server.add(None, _add))
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
    return channel.unary_unary(METHOD)


async def _round(stub: Any, calls: int, places: int, *, keyed: bool) -> tuple[float, float]:
    """Seconds, and seconds of CPU, a call."""
    free = asyncio.Semaphore(places)

    async def call() -> None:
        async with free:
            await stub(b"a book", metadata=(("idempotency-key", str(uuid.uuid4())),) if keyed else ())

    wall, cpu = time.perf_counter(), time.process_time()
    if places == 1:
        for _ in range(calls):
            await call()
    else:
        await asyncio.gather(*(call() for _ in range(calls)))
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


async def _order(request: bytes, _context: object) -> bytes:
    return request


def _add(_servicer: object, server: Any) -> None:
    handlers: dict[str, Any] = {"Order": grpc.unary_unary_rpc_method_handler(_order)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Shop", handlers),))
    server.add_registered_method_handlers("bench.Shop", handlers)
