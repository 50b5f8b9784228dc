"""CPU of a unary call, client and server together, as a ratio to bare grpc.aio.

The server is one process, the client another, each on a core of its own. A round makes the same number of calls by
every variant, in slices whose order turns, so that a machine that slows down slows all of them; its ratios are those
of the CPU seconds that the two processes spent. Processes are started afresh a few times, because where the heap
happens to lie is worth a per cent as well.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TypeAlias

from bench import echo
from bench.kit_streams import TABLES
from bench.rivals import interpreter
from bench.variants import BARE, RIVALS, VARIANTS, Once

__all__ = ["Costs", "main", "measure", "report"]

#: Calls before the first round by each variant, at most.
_WARM_UP = 1000
#: By variant: CPU seconds per call, of the client and of the server, one pair a round.
Costs: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]


async def _calls(once: Once, calls: int, in_flight: int) -> None:
    async def some(count: int) -> None:
        for _ in range(count):
            await once()

    share, more = divmod(calls, in_flight)
    await asyncio.gather(*(some(share + (number < more)) for number in range(in_flight)))


async def _session(
    server: echo.Server, table: str, names: Sequence[str], *, rounds: int, calls: int, in_flight: int, slices: int
) -> dict[str, list[tuple[float, float]]]:
    """Rounds of one pair of processes; this one is the client."""
    variants = TABLES.get(table, VARIANTS)
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        ways = [(name, await stack.enter_async_context(variants[name](server.address))) for name in names]
        for _, once in ways:
            await _calls(once, min(calls, _WARM_UP), in_flight)
        gc.collect()
        for _ in range(rounds):
            spent = {name: [0.0, 0.0] for name in names}
            for _ in range(slices):
                for name, once in ways:
                    ours, theirs = time.process_time(), echo.cpu_of(server.pid)
                    await _calls(once, calls // slices, in_flight)
                    spent[name][0] += time.process_time() - ours
                    spent[name][1] += echo.cpu_of(server.pid) - theirs
                ways.append(ways.pop(0))
            made = calls // slices * slices
            for name, (ours, theirs) in spent.items():
                costs[name].append((ours / made, theirs / made))
    return costs


def measure(
    names: Sequence[str],
    *,
    table: str = "",
    rounds: int,
    calls: int,
    in_flight: int = 32,
    sessions: int = 3,
    slices: int = 10,
    pinned: bool = True,
    python: str = sys.executable,
) -> dict[str, list[tuple[float, float]]]:
    """The costs of the variants, all rounds of all sessions. `table` names one of streams."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    cores = sorted(os.sched_getaffinity(0)) if pinned else []
    for number in range(sessions):
        mine = rounds // sessions + (number < rounds % sessions)
        if not mine:
            continue
        turned = [*names[number % len(names) :], *names[: number % len(names)]]
        job = {
            "table": table,
            "names": turned,
            "rounds": mine,
            "calls": calls,
            "in_flight": in_flight,
            "slices": slices,
        }
        with echo.serving(cores[-1] if cores else None, python) as server:
            job |= {"address": server.address, "pid": server.pid, "core": cores[0] if cores else None}
            command = [python, "-m", "bench.kit_calls", "--job", json.dumps(job)]
            done = subprocess.run(command, cwd=echo.ROOT, stdout=subprocess.PIPE, text=True, check=True)
        for name, found in json.loads(done.stdout).items():
            costs[name] += found
    return costs


def _job(text: str) -> None:
    job = json.loads(text)
    echo.pin(job.pop("core"))
    server = echo.Server(job.pop("address"), job.pop("pid"))
    print(json.dumps(asyncio.run(_session(server, **job))))


def report(costs: Costs, what: str = "CPU us a call", each: int = 1) -> None:
    """Prints the table: medians in us, and ratios of the sums to the bare calls of the same round.

    A call of `each` messages is shown by the message.
    """
    print(f"{what:34}{'client':>8}{'server':>8}{'both':>8}{'ratio':>9}   quartiles        min .. max")
    for name, found in costs.items():
        sums = [client + server for client, server in found]
        shown = [[client for client, _ in found], [server for _, server in found], sums]
        line = f"{name:34}" + "".join(f"{statistics.median(column) * 1e6 / each:8.1f}" for column in shown)
        if BARE in costs:
            ratios = [mine / sum(bare) for mine, bare in zip(sums, costs[BARE], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            line += f"{middle:9.3f}   {low:.3f} .. {high:.3f}   {min(ratios):.3f} .. {max(ratios):.3f}"
        print(line, flush=True)


def chosen(only: str | None) -> list[str]:
    """The names in `only` (by comma, each a name or the beginning of one), or all; exits where there is none."""
    if only is None:
        return list(VARIANTS)
    found: list[str] = []
    for wanted in only.split(","):
        exact = [wanted] if wanted in VARIANTS else [name for name in VARIANTS if name.startswith(wanted)]
        if not exact:
            raise SystemExit(f"--only {wanted}: there are {', '.join(VARIANTS)}")
        found += [name for name in exact if name not in found]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kit_calls", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"some of: {', '.join(VARIANTS)} (beginnings will do)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in all (default 15)")
    parser.add_argument("--calls", type=int, default=20_000, help="calls a round by each variant (default 20000)")
    parser.add_argument("--in-flight", type=int, default=32, help="calls in flight (default 32)")
    parser.add_argument("--sessions", type=int, default=3, help="pairs of processes that share the rounds (default 3)")
    parser.add_argument("--slices", type=int, default=10, help="turns in a round (default 10)")
    parser.add_argument("--no-rivals", action="store_true", help="without the others, under the Python of this command")
    parser.add_argument("--free", action="store_true", help="let the scheduler move the processes between cores")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.job:
        _job(args.job)
        return
    names = chosen(args.only)
    python = sys.executable
    if RIVALS.intersection(names):
        found = None if args.no_rivals else interpreter()
        if found is None:
            names = [name for name in names if name not in RIVALS]
            if not args.no_rivals:
                print(
                    "grpc-client-kit needs Python 3.12 or 3.13, and there is none here: the table is without the others"
                )
        else:
            python = str(found)
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(
        f"# {version}, {args.in_flight} calls in flight, {args.rounds} rounds of {args.calls:,} calls by each variant"
    )
    costs = measure(
        names,
        rounds=args.rounds,
        calls=args.calls,
        in_flight=args.in_flight,
        sessions=args.sessions,
        slices=args.slices,
        pinned=not args.free,
        python=python,
    )
    report(costs)


if __name__ == "__main__":
    main()
