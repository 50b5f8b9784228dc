"""A hundred thousand calls that are given up at random moments: what is left of them, beside a bare control.

`make soak`. The control does the same over a bare grpc.aio channel, in processes of its own: a few bytes that grpc
itself loses with a cancelled call are not the kit's. `tests/integration/client/test_cancellation_storm.py` makes
some thousands and holds the kit to leave nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from bench.echo import ROOT
from tests.integration.client.storm import POLICY, STREAMS, UNARY, Storm, StormStub, Stormy, add_stormy

__all__ = ["main"]

_WARM_UP = 1_000
_BARE = "bare"
#: As many attempts as the control makes; the others make half again as many, and each costs grpc some bytes.
_ONCE = {
    key: replace(policy, retry=kit.RetryPolicy(max_attempts=1), hedging=None, retry_budget=None)
    for key, policy in POLICY.items()
}
_CHANNELS: Mapping[str, Callable[[str], grpc.aio.Channel]] = {
    _BARE: grpc.aio.insecure_channel,
    "kit.channel, one attempt": lambda address: kit.channel(address, policy=_ONCE),
    "kit.channel": lambda address: kit.channel(address, policy=POLICY),
    "kit.client_interceptors": lambda address: grpc.aio.insecure_channel(
        address, interceptors=kit.client_interceptors(policy=POLICY)
    ),
}


@dataclass(frozen=True, slots=True)
class _State:
    """What a process holds."""

    tasks: int
    descriptors: int
    #: Bytes; `held` without what the allocator keeps for later.
    rss: int
    held: int

    @classmethod
    def now(cls) -> _State:
        gc.collect()
        rss = _rss()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        return cls(len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), rss, _rss())


def _rss() -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def _serve() -> None:
    server = grpc.aio.server()
    add_stormy(Stormy(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    # Whoever started it closes the pipe, or is gone.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


async def _client(name: str, address: str, calls: int, seed: int, in_flight: int) -> dict[str, Any]:
    async with _CHANNELS[name](address) as channel:
        stub = StormStub(channel)

        async def handlers() -> tuple[int, int]:
            """Those that run on, once those that are just ending have ended, and all that ever ran."""
            for _ in range(200):
                alive, started = map(int, (await stub.Alive(StringValue())).value.split())
                if not alive:
                    break
            return alive, started

        for ways in (UNARY, STREAMS):
            await Storm(stub, seed).run(ways, _WARM_UP, in_flight=in_flight)
        _, before = await handlers()
        states = [_State.now()]
        storm = Storm(stub, seed + 1)
        for ways in (UNARY, STREAMS):
            await storm.run(ways, calls, in_flight=in_flight)
            alive, started = await handlers()
            states.append(_State.now())
        ended: dict[str, int] = {}
        for (_, how), count in storm.ended.items():
            ended[how] = ended.get(how, 0) + count
        return {"ended": ended, "alive": alive, "rpcs": started - before, "states": [asdict(state) for state in states]}


def _measured(name: str, calls: int, seed: int, in_flight: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.soak"]
    with subprocess.Popen(
        [*command, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            job = json.dumps([name, f"127.0.0.1:{int(server.stdout.readline())}", calls, seed, in_flight])
            done = subprocess.run([*command, "--job", job], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
        finally:
            server.stdin.close()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _report(name: str, found: Mapping[str, Any], control: Mapping[str, int], seconds: float) -> None:
    before, unary, end = found["states"]
    print(f"{name}, {seconds:.0f} s")
    for how, count in sorted(found["ended"].items(), key=lambda pair: -pair[1]):
        print(f"    {count:9,}  {how}")
    print(f"    tasks {before['tasks']} before, {end['tasks']} after; descriptors {before['descriptors']} before,")
    print(f"    {end['descriptors']} after; handlers that run on at the server: {found['alive']}")
    for what, key in (("RSS", "rss"), ("RSS without what the allocator keeps free", "held")):
        sizes = [state[key] / 1e6 for state in (before, unary, end)]
        print(f"    {what}: {sizes[0]:.1f} MB before, {sizes[1]:.1f} after the unary calls, {sizes[2]:.1f} at the end,")
        print(f"    {end[key] / control[key]:.3f} of the control's")
    grown = end["held"] - before["held"]
    # Attempts are what grpc loses bytes by, and hedges and retries are attempts.
    print(
        f"    {found['rpcs']:,} attempts reached the server; {grown / found['rpcs']:.0f} B were added by each",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000, help="unary calls, and as many streams (default 50000)")
    parser.add_argument("--in-flight", type=int, default=32, help="calls at a time (default 32)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        asyncio.run(_serve())
        return
    if args.job:
        print(json.dumps(asyncio.run(_client(*json.loads(args.job)))))
        return
    print(f"# {args.calls:,} unary calls and {args.calls:,} streams given up, seed {args.seed}", flush=True)
    control: Mapping[str, int] = {}
    for name in _CHANNELS:
        begun = time.perf_counter()
        found = _measured(name, args.calls, args.seed, args.in_flight)
        control = control or found["states"][-1]
        _report(name, found, control, time.perf_counter() - begun)


if __name__ == "__main__":
    main()
