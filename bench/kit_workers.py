"""What several worker processes on one port are worth: calls a second with one, two and no more than there are cores.

The load is one process with some connections, which needs its share of the cores too; each handler computes for about a
millisecond, so that the server is what is measured. How even the kernel has given the connections out is printed as
well: a connection belongs to one worker for as long as it lives.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

import kit
from kit.discovery import Registry

PATH = "/kit.bench.Workers/Call"
#: Bytes of which the digest is computed, again and again: about a millisecond in all, with the lock of the interpreter.
BLOCK, ROUNDS = b"x" * 1024, 700


async def _call(_request: bytes, _context: object) -> bytes:
    for _ in range(ROUNDS):
        hashlib.sha256(BLOCK).digest()
    return str(os.getpid()).encode()


def _add(_servicer: object, server: Any) -> None:
    service, _, name = PATH.removeprefix("/").partition("/")
    methods: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(_call)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_registered_method_handlers(service, methods)


@asynccontextmanager
async def _serving(workers: int) -> AsyncIterator[str]:
    """The address, when all workers serve."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "bench.kit_workers", "--serve"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "KIT_DATA_DIR": folder,
                "KIT_WORKERS": str(workers),
            },
        )
        try:
            registry = Registry(Path(folder) / "run" / "registry")
            async for instances in registry.watch("bench"):
                if instances and len(instances[0].metadata.get("workers", "1").split(",")) == workers:
                    break
            yield instances[0].address
        finally:
            process.terminate()
            await process.wait()


async def _measure(workers: int, connections: int, callers: int, seconds: float) -> tuple[float, Counter[str]]:
    """Calls a second, and how many connections each worker got."""
    async with _serving(workers) as address, AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(connections)
        ]
        stubs: list[Any] = [channel.unary_unary(PATH) for channel in channels]
        owners = Counter([(await stub(b"", wait_for_ready=True)).decode() for stub in stubs])
        done, until = 0, time.perf_counter() + seconds

        async def caller(number: int) -> None:
            nonlocal done
            stub = stubs[number % connections]
            while time.perf_counter() < until:
                await stub(b"")
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        return done / (time.perf_counter() - began), owners


def main(arguments: Sequence[str]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench workers")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load for each measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    print(f"{'workers':>8} {'calls/s':>8}   connections of each worker")
    for _ in range(options.rounds):
        for workers in (1, 2):
            rate, owners = asyncio.run(_measure(workers, options.connections, options.callers, options.seconds))
            print(f"{workers:>8} {rate:>8.0f}   {' '.join(str(count) for count in owners.values())}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        raise SystemExit(kit.run(kit.Server("bench", register=True, admission=None).add(None, _add)))
    main(sys.argv[1:])
