"""CPU of a unary call with telemetry, client and server together, as a ratio to bare grpc.aio.

Each variant is a client process and a server process; all clients share one core, all servers the other, and a process
that has no turn waits. A round gives every variant the same number of calls, in slices whose order turns, and ends when
what was traced is exported: what is done off the path, on threads, counts as well. The collector, a process too, is
what they export to, and does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent import futures

from bench import echo
from bench.kit_calls import Costs, report
from bench.rivals import interpreter
from bench.telemetry_variants import NEEDS_OTHERS, VARIANTS
from bench.variants import Once

__all__ = ["main"]

_WARM_UP = 2000
#: Seconds after which exporters have sent what they have.
_EXPORTED = 1.5


class _Worker:
    """A process that waits for orders on its standard input, and answers each with a line."""

    def __init__(self, python: str, *arguments: str) -> None:
        command = [python, "-m", "bench.kit_telemetry", *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=echo.ROOT, env=_environment()
        )
        self.said = self._answer()

    def order(self, text: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._answer()

    def cpu(self) -> float:
        """Seconds of CPU so far, of all its threads."""
        return echo.cpu_of(self._process.pid)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the bench ended: {self._process.args!r}")
        return line.strip()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "KIT_"))}


class _Pair:
    """A variant's client and server."""

    def __init__(self, name: str, python: str, collector: str, cores: Sequence[int]) -> None:
        server_core, client_core = (str(cores[-1]), str(cores[0])) if cores else ("", "")
        self.server = _Worker(python, "--serve", name, "--collector", collector, "--core", server_core)
        self.client = _Worker(
            python, "--call", name, "--address", self.server.said, "--collector", collector, "--core", client_core
        )

    def cpu(self) -> tuple[float, float]:
        return self.client.cpu(), self.server.cpu()

    def end(self) -> None:
        self.client.end()
        self.server.end()


def _measure(args: argparse.Namespace, names: Sequence[str], python: str) -> dict[str, list[tuple[float, float]]]:
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    cores = [] if args.free else sorted(os.sched_getaffinity(0))
    for session in range(args.sessions):
        rounds = args.rounds // args.sessions + (session < args.rounds % args.sessions)
        if rounds:
            with _collector(python) as collector:
                for name, found in _session(args, names, python, collector, cores, rounds).items():
                    costs[name] += found
    return costs


def _session(
    args: argparse.Namespace, names: Sequence[str], python: str, collector: str, cores: Sequence[int], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    pairs = {name: _Pair(name, python, collector, cores) for name in names}
    order = list(names)
    try:
        for pair in pairs.values():
            pair.client.order(f"{_WARM_UP} {args.in_flight}")
            pair.server.order("collect")
        made = args.calls // args.slices * args.slices
        for _ in range(rounds):
            time.sleep(_EXPORTED)
            before = {name: pair.cpu() for name, pair in pairs.items()}
            for _ in range(args.slices):
                for name in order:
                    pairs[name].client.order(f"{args.calls // args.slices} {args.in_flight}")
                order.append(order.pop(0))
            time.sleep(_EXPORTED)
            for name, pair in pairs.items():
                client, server = pair.cpu()
                costs[name].append(((client - before[name][0]) / made, (server - before[name][1]) / made))
    finally:
        for pair in pairs.values():
            pair.end()
    return costs


@contextlib.contextmanager
def _collector(python: str) -> Iterator[str]:
    worker = _Worker(python, "--collect")
    try:
        yield worker.said
    finally:
        print(f"# the collector took {worker.order('count')}", flush=True)
        worker.end()


def _collect() -> None:
    """The collector: takes traces and metrics, and counts."""
    import grpc
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

    taken = {"spans": 0, "metrics": 0}

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(  # noqa: N802 - gRPC's name
            self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
        ) -> object:
            taken["spans"] += sum(len(scope.spans) for one in request.resource_spans for scope in one.scope_spans)
            return trace_service_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(  # noqa: N802 - gRPC's name
            self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: object
        ) -> object:
            taken["metrics"] += sum(
                len(scope.metrics) for one in request.resource_metrics for scope in one.scope_metrics
            )
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call]
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    server.start()
    for _ in sys.stdin:
        print(f"{taken['spans']:,} spans, {taken['metrics']:,} metrics", flush=True)
    server.stop(0).wait()


async def _serve(name: str, collector: str) -> None:
    async with VARIANTS[name].serve(collector) as address:
        print(address, flush=True)
        while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            gc.collect()
            print("done", flush=True)


async def _call(name: str, address: str, collector: str) -> None:
    async with VARIANTS[name].call(address, collector) as once:
        print("ready", flush=True)
        while order := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            calls, in_flight = map(int, order.split())
            await _calls(once, calls, in_flight)
            print("done", flush=True)


async def _calls(once: Once, calls: int, in_flight: int) -> None:
    async def some(count: int) -> None:
        for _ in range(count):
            await once()

    share, more = divmod(calls, in_flight)
    await asyncio.gather(*(some(share + (number < more)) for number in range(in_flight)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kit_telemetry", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"some of: {'; '.join(VARIANTS)} (by ;, beginnings will do)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in all (default 15)")
    parser.add_argument("--calls", type=int, default=10_000, help="calls a round by each variant (default 10000)")
    parser.add_argument("--in-flight", type=int, default=32, help="calls in flight (default 32)")
    parser.add_argument("--sessions", type=int, default=3, help="sets of processes that share the rounds (default 3)")
    parser.add_argument("--slices", type=int, default=10, help="turns in a round (default 10)")
    parser.add_argument("--no-rivals", action="store_true", help="without the others, under the Python of this command")
    parser.add_argument("--free", action="store_true", help="let the scheduler move the processes between cores")
    for hidden in ("--serve", "--call", "--address", "--collector", "--core"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--collect", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    echo.pin(int(args.core) if args.core else None)
    if args.collect:
        _collect()
    elif args.serve:
        asyncio.run(_serve(args.serve, args.collector))
    elif args.call:
        asyncio.run(_call(args.call, args.address, args.collector))
    else:
        _compare(args)


def _compare(args: argparse.Namespace) -> None:
    names = list(VARIANTS)
    if args.only:
        wanted = args.only.split(";")
        names = [name for name in names if name in wanted or any(name.startswith(one) for one in wanted)]
    python = sys.executable
    if NEEDS_OTHERS.intersection(names):
        found = None if args.no_rivals else interpreter()
        if found is None:
            names = [name for name in names if name not in NEEDS_OTHERS]
            if not args.no_rivals:
                print("The others need Python 3.12 or 3.13, and there is none here: the table is without them")
        else:
            python = str(found)
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(
        f"# {version}, {args.in_flight} calls in flight, {args.rounds} rounds of {args.calls:,} calls by each variant"
    )
    costs: Costs = _measure(args, names, python)
    report(costs)


if __name__ == "__main__":
    main()
