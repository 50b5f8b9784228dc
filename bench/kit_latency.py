"""Wall time of a call that a breaker refuses, and what the kit adds to a call with which nothing is wrong.

One call at a time. Both must stay under a millisecond.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio

import kit
from bench import echo
from bench.variants import BARE, POLICY, VARIANTS

__all__ = ["main"]

_OPENS_AT = 5


async def _timed(once: Callable[[], Awaitable[Any]], count: int) -> list[float]:
    """Seconds that each call took, sorted."""
    seen = []
    for _ in range(count):
        begun = time.perf_counter()
        await once()
        seen.append(time.perf_counter() - begun)
    return sorted(seen)


def _line(name: str, seen: Sequence[float]) -> str:
    quantiles = (seen[int(share * (len(seen) - 1))] * 1e6 for share in (0.5, 0.99, 1.0))
    return f"{name:34}" + "".join(f"{quantile:12.1f}" for quantile in quantiles)


async def _refused(address: str, count: int) -> None:
    print(f"{'refused by an open breaker, us':34}{'median':>12}{'p99':>12}{'longest':>12}")
    stock = grpc.aio.insecure_channel(address, interceptors=kit.client_interceptors(policy=POLICY))
    for name, channel in (("kit.channel", kit.channel(address, policy=POLICY)), ("kit.client_interceptors", stock)):
        async with channel:
            fail = echo.Stub(channel).Fail

            async def once(fail: Any = fail) -> Exception:
                try:
                    await fail(echo.MESSAGE)
                except grpc.aio.AioRpcError as error:
                    return error
                raise AssertionError("a call that must fail did not")

            for _ in range(_OPENS_AT):
                await once()
            assert isinstance(await once(), kit.errors.BreakerOpen)
            print(_line(name, await _timed(once, count)), flush=True)


async def _nothing_wrong(address: str, count: int, rounds: int) -> None:
    names = (BARE, "no-op interceptor", "kit.channel", "kit.channel + throttle and budget", "kit.client_interceptors")
    seen: dict[str, list[float]] = {name: [] for name in names}
    medians: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        ways = [(name, await stack.enter_async_context(VARIANTS[name](address))) for name in names]
        for _, once in ways:
            await _timed(once, 200)
        for _ in range(rounds):
            for name, once in ways:
                found = await _timed(once, count // rounds)
                seen[name] += found
                medians[name].append(statistics.median(found))
            ways.append(ways.pop(0))
    print(f"{'one call at a time, us':34}{'median':>12}{'p99':>12}{'longest':>12}{'over bare':>12}")
    for name in names:
        over = statistics.median(mine - bare for mine, bare in zip(medians[name], medians[BARE], strict=True))
        print(f"{_line(name, sorted(seen[name]))}{over * 1e6:12.1f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench latency", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="calls by each variant (default 20000)")
    parser.add_argument("--rounds", type=int, default=20, help="turns in which they are made (default 20)")
    args = parser.parse_args(arguments)

    async def both(address: str) -> None:
        await _refused(address, args.calls)
        await _nothing_wrong(address, args.calls, args.rounds)

    with echo.serving() as server:
        asyncio.run(both(server.address))
