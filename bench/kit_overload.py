"""What a server still answers in time when it is asked for more than it can do.

Calls come at random (Poisson) and do not wait for each other, as those of many clients; each has a deadline, and what
counts is goodput: calls a second that are answered within theirs. Peak is the most that the same server does for
callers who wait for their answers. The server is one process on one core, the generator another on the other. Handlers:

    computing     20 ms of CPU on the event loop, the worst case: nothing else happens meanwhile
    waiting       20 ms of one of four connections to something behind, as of a database
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import echo

__all__ = ["Outcome", "main", "overload"]

SERVICE = "bench.v1.Work"
#: CPU seconds, or seconds of a connection.
WORK = 0.02
CONNECTIONS = 4
PRIORITIES = ("Critical", "Default", "Sheddable")
HANDLERS = ("computing", "waiting")
#: Callers who wait for their answers: with one of these numbers a server is as busy as it can be.
_CALLERS = (1, 4, 16)
_COLUMNS = (
    *("asked/s", "goodput", "of peak", "crit.", "default", "shedd.", "refused", "order"),
    *("p50 ms", "p99 ms", "health", "server", "gen."),
)


# The server


async def _computing(request: StringValue, _context: object) -> StringValue:
    until = time.thread_time() + WORK
    while time.thread_time() < until:
        pass
    return request


def _waiting() -> Any:
    connections = asyncio.Semaphore(CONNECTIONS)

    async def waiting(request: StringValue, _context: object) -> StringValue:
        async with connections:
            await asyncio.sleep(WORK)
        return request

    return waiting


async def _serve(kind: str, protected: bool) -> None:
    import kit

    function = _computing if kind == "computing" else _waiting()
    coders: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(function, **coders) for name in PRIORITIES}
    policy = {f"/{SERVICE}/{name}": kit.MethodPolicy(priority=kit.Priority[name.upper()]) for name in PRIORITIES}

    def add(_servicer: object, server: Any) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    admission = kit.Admission() if protected else None
    server = kit.Server("overload", listen="127.0.0.1:0", register=False, policy=policy, admission=admission, grace=0)
    async with server.add(None, add):
        print(server.port, flush=True)
        # Whoever started it closes the pipe, or is gone.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def _serving(kind: str, protected: bool, core: int | None) -> Iterator[echo.Server]:
    command = [sys.executable, "-m", "bench.kit_overload", "--serve", kind, *([] if protected else ["--unprotected"])]
    command += [] if core is None else ["--core", str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=echo.ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield echo.Server(f"127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.stdin.close()
            process.wait()


# The generator


@dataclass(slots=True)
class Outcome:
    """What became of the calls of one load."""

    seconds: float
    #: Calls made.
    made: int = 0
    #: By (priority, how it ended): "in time", "late", or the name of a status.
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Seconds, of those in time.
    latencies: list[float] = field(default_factory=list)
    #: When each critical call was sent that was refused, and each sheddable one that was answered.
    critical_refused: list[float] = field(default_factory=list)
    sheddable_answered: list[float] = field(default_factory=list)
    #: The slowest health check, in seconds.
    health: float = 0.0
    #: CPU seconds of the generator and of the server, by the second.
    own_cpu: float = 0.0
    server_cpu: float = 0.0

    @property
    def goodput(self) -> float:
        """Calls a second that were answered in time."""
        return sum(count for (_, how), count in self.ended.items() if how == "in time") / self.seconds

    def out_of_order(self, within: float = 0.1) -> int:
        """Critical calls that were refused although a sheddable one, sent up to so much later, was served."""
        return sum(
            any(sent < other < sent + within for other in self.sheddable_answered) for sent in self.critical_refused
        )


async def _call(stub: Any, name: str, timeout: float, into: Outcome) -> None:
    sent = time.perf_counter()
    try:
        await stub(echo.MESSAGE, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        how = error.code().name
        if name == "Critical" and error.code() is grpc.StatusCode.UNAVAILABLE:
            into.critical_refused.append(sent)
    else:
        took = time.perf_counter() - sent
        how = "in time" if took <= timeout else "late"
        into.latencies.append(took)
        if name == "Sheddable":
            into.sheddable_answered.append(sent)
    into.ended[name, how] += 1


def _stubs(channel: grpc.aio.Channel) -> dict[str, Any]:
    made: Any = channel.unary_unary
    return {
        name: made(
            f"/{SERVICE}/{name}",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
            _registered_method=True,
        )
        for name in PRIORITIES
    }


async def _probe(address: str, into: Outcome) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            begun = time.perf_counter()
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            into.health = max(into.health, time.perf_counter() - begun)
            await asyncio.sleep(0.1)


async def peak(address: str, seconds: float) -> float:
    """The most calls a second that are answered to callers who wait, whatever their number."""
    best = 0.0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = _stubs(channel)["Default"]
        for callers in _CALLERS:
            answered = 0
            until = time.perf_counter() + seconds

            async def caller(until: float = until) -> None:
                nonlocal answered
                while time.perf_counter() < until:
                    await stub(echo.MESSAGE)
                    answered += 1

            begun = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(callers)))
            best = max(best, answered / (time.perf_counter() - begun))
    return best


async def overload(server: echo.Server, per_second: float, critical: float, seconds: float, timeout: float) -> Outcome:
    """So many calls a second, `critical` of them of that priority, of the rest three in five default."""
    into = Outcome(seconds)
    dice = random.Random(7)
    running: set[asyncio.Task[None]] = set()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stubs = _stubs(channel)
        probing = asyncio.create_task(_probe(server.address, into))
        await channel.channel_ready()
        cpu, theirs = time.process_time(), echo.cpu_of(server.pid)
        begun = due = time.perf_counter()
        while due < begun + seconds:
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            if dice.random() < critical / per_second:
                name = "Critical"
            else:
                name = "Default" if dice.random() < 0.6 else "Sheddable"
            task = asyncio.create_task(_call(stubs[name], name, timeout, into))
            running.add(task)
            task.add_done_callback(running.discard)
            into.made += 1
            due += dice.expovariate(per_second)
        took = time.perf_counter() - begun
        into.own_cpu = (time.process_time() - cpu) / took
        into.server_cpu = (echo.cpu_of(server.pid) - theirs) / took
        if running:
            await asyncio.wait(running)
        probing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await probing
    return into


def _shown(load: str, outcome: Outcome, best: float) -> str:
    parts = []
    for name in PRIORITIES:
        good = outcome.ended[name, "in time"]
        made = sum(count for (priority, _), count in outcome.ended.items() if priority == name)
        parts.append(f"{good / made:8.0%}" if made else f"{'-':>8}")
    latencies = sorted(outcome.latencies) or [float("nan")]
    middle, late = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
    return (
        f"{load:24}{outcome.made / outcome.seconds:8.0f}{outcome.goodput:9.1f}{outcome.goodput / best:8.0%}"
        + "".join(parts)
        + f"{len(outcome.critical_refused):8}{outcome.out_of_order():8}"
        f"{middle * 1000:8.0f}{late * 1000:8.0f}{outcome.health * 1000:8.0f}"
        f"{outcome.server_cpu:8.0%}{outcome.own_cpu:8.0%}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each load lasts (default 20)")
    parser.add_argument("--timeout", type=float, default=0.5, help="deadline of each call (default 0.5 s)")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.8, 2.0, 10.0], help="of the peak (0.8 2 10)")
    parser.add_argument("--handlers", nargs="+", choices=HANDLERS, default=HANDLERS)
    parser.add_argument("--free", action="store_true", help="let the scheduler move the processes between cores")
    parser.add_argument("--only", choices=["kit", "unprotected"], help="one of the two servers")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--unprotected", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        echo.pin(args.core)
        asyncio.run(_serve(args.serve, not args.unprotected))
        return
    print(
        f"# deadline {args.timeout:g} s, {args.seconds:g} s each; critical calls are half of the peak, at every load; "
        "goodput and shares are of calls answered in time"
    )
    cores = sorted(os.sched_getaffinity(0))
    pinned = not args.free and len(cores) > 1
    if pinned:
        echo.pin(cores[0])
    try:
        for kind in args.handlers:
            print(f"\n{kind:24}" + "".join(f"{column:>{9 if column == 'goodput' else 8}}" for column in _COLUMNS))
            best = 0.0
            for protected in (True, False):
                if args.only and protected is not (args.only == "kit"):
                    continue
                name = "kit" if protected else "unprotected"
                with _serving(kind, protected, cores[-1] if pinned else None) as server:
                    if not best:
                        best = asyncio.run(peak(server.address, min(args.seconds, 5.0)))
                        print(f"{'peak':24}{'':8}{best:9.1f}", flush=True)
                    for load in args.loads:
                        outcome = asyncio.run(overload(server, load * best, best / 2, args.seconds, args.timeout))
                        print(_shown(f"{name}, {load:g}x", outcome, best), flush=True)
    finally:
        if pinned:
            os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main()
