"""Memory of an idle channel and of an open call, each in a process of its own.

What is counted is the memory that only this process has (USS), after a collection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from bench import echo
from bench.variants import BARE, POLICY

__all__ = ["main", "uss"]

#: Bare channels to one address would share a connection, which the kit's never do.
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
#: Calls that are made at once.
_BURST = 100
_CHANNELS: Mapping[str, Callable[[str], grpc.aio.Channel]] = {
    BARE: lambda address: grpc.aio.insecure_channel(address, _OWN_CONNECTION),
    "kit.channel without a policy": kit.channel,
    "kit.channel": lambda address: kit.channel(address, policy=POLICY),
    "kit.client_interceptors": lambda address: grpc.aio.insecure_channel(
        address, _OWN_CONNECTION, interceptors=kit.client_interceptors(policy=POLICY)
    ),
}


def uss() -> int:
    """Bytes that this process has for itself."""
    gc.collect()
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kilobytes) * 1024 for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


async def _idle(connect: Callable[[str], grpc.aio.Channel], address: str, count: int) -> float:
    """Bytes of a channel with a generated stub over which one call was made."""
    async with AsyncExitStack() as stack:

        async def one() -> object:
            channel = await stack.enter_async_context(connect(address))
            stub = echo.Stub(channel)
            await stub.Unary(echo.MESSAGE)
            return stub

        kept = [await one() for _ in range(10)]
        before = uss()
        kept += [await one() for _ in range(count)]
        return (uss() - before) / count


async def _open_calls(connect: Callable[[str], grpc.aio.Channel], address: str, count: int, *, streams: bool) -> float:
    """Bytes of a call that waits for its answer, or for its second message."""
    async with connect(address) as channel:
        stub = echo.Stub(channel)

        async def some(number: int) -> list[Any]:
            opened: list[Any] = []
            while len(opened) < number:
                calls = [stub.Down(StringValue()) if streams else stub.Hang(echo.MESSAGE) for _ in range(_BURST)]
                if streams:
                    for call in calls:
                        with contextlib.suppress(grpc.aio.AioRpcError):
                            await call.read()
                # Answered after those before it have arrived at the server.
                await stub.Unary(echo.MESSAGE)
                # A stock server drops one in some thousands before its handler starts.
                opened += [call for call in calls if not call.done()]
            return opened

        kept = await some(_BURST)
        before = uss()
        opened = await some(count)
        each = (uss() - before) / len(opened)
        for call in kept + opened:
            call.cancel()
        return each


def _measured(name: str, what: str, address: str, count: int) -> float:
    connect = _CHANNELS[name]
    if what == "channels":
        return asyncio.run(_idle(connect, address, count))
    return asyncio.run(_open_calls(connect, address, count, streams=what == "streams"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("--channels", type=int, default=200, help="idle channels (default 200)")
    parser.add_argument("--calls", type=int, default=10_000, help="open unary calls (default 10000)")
    parser.add_argument("--streams", type=int, default=2_000, help="open streams of answers (default 2000)")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.job:
        print(_measured(*json.loads(args.job)))
        return
    sizes = {"calls": args.calls, "streams": args.streams, "channels": args.channels}
    print(f"{'KB of the client (USS)':34}{'open call':>12}{'open stream':>14}{'idle channel':>14}")
    for name in _CHANNELS:
        line = f"{name:34}"
        for what, count in sizes.items():
            with echo.serving() as server:
                job = json.dumps([name, what, server.address, count])
                command = [sys.executable, "-m", "bench.kit_memory", "--job", job]
                done = subprocess.run(command, cwd=echo.ROOT, stdout=subprocess.PIPE, text=True, check=True)
            line += f"{float(done.stdout) / 1024:13.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
