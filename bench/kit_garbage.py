"""Objects that a call leaves in reference cycles, which only the garbage collector frees: memory and CPU later on."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from bench import echo
from bench.variants import NoOp

__all__ = ["main"]

#: Without retries: one call is one attempt.
_POLICY = kit.MethodPolicy(timeout=10.0, breaker=kit.BreakerPolicy(failure_threshold=100_000))


_CHANNELS: Mapping[str, Callable[[str], grpc.aio.Channel]] = {
    "bare": grpc.aio.insecure_channel,
    "no-op interceptor": lambda address: grpc.aio.insecure_channel(address, interceptors=[NoOp()]),
    "kit.channel": lambda address: kit.channel(address, policy=_POLICY),
    "kit.client_interceptors": lambda address: grpc.aio.insecure_channel(
        address, interceptors=kit.client_interceptors(policy=_POLICY)
    ),
}


async def _answered(stub: echo.Stub) -> None:
    await stub.Unary(echo.MESSAGE)


async def _failed(stub: echo.Stub) -> None:
    try:
        await stub.Fail(echo.MESSAGE)
    except grpc.aio.AioRpcError:
        return


async def _given_up(stub: echo.Stub) -> None:
    task = asyncio.ensure_future(stub.Hang(echo.MESSAGE))
    # The answer comes after the other call has arrived.
    await stub.Unary(echo.MESSAGE)
    task.cancel()
    await asyncio.wait((task,))


async def _streamed(stub: echo.Stub) -> None:
    async for _ in stub.Down(StringValue(value="3")):
        pass


_KINDS: Mapping[str, Callable[[echo.Stub], Awaitable[None]]] = {
    "answered": _answered,
    "failed": _failed,
    "given up": _given_up,
    "streamed": _streamed,
}


async def _all(address: str, calls: int) -> None:
    print(f"{'objects a call':34}" + "".join(f"{kind:>12}" for kind in _KINDS))
    for name, connect in _CHANNELS.items():
        line = f"{name:34}"
        async with connect(address) as channel:
            stub = echo.Stub(channel)
            for make in _KINDS.values():
                for _ in range(50):
                    await make(stub)
                gc.collect()
                gc.disable()
                for _ in range(calls):
                    await make(stub)
                found = gc.collect()
                gc.enable()
                line += f"{found / calls:12.1f}"
        print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench garbage", description=__doc__)
    parser.add_argument("--calls", type=int, default=500, help="calls of each kind (default 500)")
    args = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    with echo.serving() as server:
        asyncio.run(_all(server.address, args.calls))
    logging.disable(logging.NOTSET)
