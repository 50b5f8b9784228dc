"""The search service alone over a large import: queries a second in batches and one by one, and latencies under load.

The queries are distinct, and made of the data's own terms: 30 % one term, 35 % two terms, 15 % phrases of two words
that stand side by side, 10 % terms that are nowhere, 5 % a term with a level, 5 % a term within a range of times.
The load generator is this process: it shares the cores with the service and its workers. Latencies under load are
counted from the moment at which a search was due, whether or not the generator got to send it then.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil

from kit.discovery import Registry
from kit.testing import InProcess
from loganalyzer.search.v1 import search_pb2
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from tests.datafiles import SAMPLE, shared_data
from tests.e2e.product import Product

PARENT = "workspaces/default"
SERVICE = "/loganalyzer.search.v1.SearchService/"
BATCH = 250
#: Seconds without a change after which index care is taken to be done: it lets splits settle for a minute.
CARE_QUIET = 75.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench search", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load run (default 5)")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="processes of the service (default 1 2)")
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 1000], help="of the open loop")
    parser.add_argument("--parts", default="batch,unary,open,stream", help="which figures (default all)")
    options = parser.parse_args(arguments)
    kept = os.environ.get("KIT_BENCH_DATA")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(kept or folder) / "search" / "kit"
        if not (data / "search" / "catalog.db").exists():
            _build(data)
        for workers in options.workers:
            asyncio.run(_measure(data, workers, options))


def _build(data: Path) -> None:
    """Imports the collection through the product, once."""
    shared = shared_data()
    if shared is None:
        print("the large collection is not here: the sample is used, and its figures say little")
    sources = [SAMPLE] if shared is None else sorted((shared / "winevent").glob("campaign_0*.zip"))
    product = Product(data_dir=data, args=["--no-sample"]).start()
    try:
        result = product.import_all(*sources, seconds=3600)
        assert result["state"] == "SUCCEEDED", result
        print(f"imported {int(result['byteCount']) / 1e6:.0f} MB, {int(result['lineCount']):,} lines", flush=True)
        _wait_for_care(data / "splits")
    finally:
        product.stop()


def _wait_for_care(folder: Path) -> None:
    """Until index care has left the files of the splits alone for longer than it waits before it joins them."""
    seen: set[Path] = set()
    quiet = time.monotonic()
    while time.monotonic() < quiet + CARE_QUIET:
        now = {path for path in folder.rglob("*") if path.suffix in {".bin", ".zst"}}
        if now != seen:
            seen, quiet = now, time.monotonic()
        time.sleep(1)
    splits = [path for path in seen if path.suffix == ".zst"]
    indexed = sum(path.with_name("grams.bin").exists() for path in splits)
    print(f"{len(splits)} splits, {indexed} with a block index", flush=True)


class _Workspaces(workspace_pb2_grpc.WorkspaceServiceServicer):
    async def GetWorkspace(  # noqa: N802 - the name in the .proto
        self, request: workspace_pb2.GetWorkspaceRequest, context: Any
    ) -> workspace_pb2.Workspace:
        return workspace_pb2.Workspace(name=request.name)


@asynccontextmanager
async def _serving(data: Path, workers: int) -> AsyncIterator[tuple[str, psutil.Process]]:
    """The address and the process that was started, when all workers serve."""
    async with InProcess(_Workspaces(), workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server) as beside:  # type: ignore[abstract]  # only what is called
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "KIT_DATA_DIR": str(data),
            "KIT_WORKERS": str(workers),
            "KIT_REGISTER": "1",
            "KIT_LISTEN": "127.0.0.1:0",
            "KIT_TARGET_WORKSPACE": beside.address,
            "KIT_TARGET_CACHE": "127.0.0.1:9",
            "KIT_SEARCH_CARE": "0",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "services.search"),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            registry = Registry(data / "run" / "registry")
            async with asyncio.timeout(60):
                async for instances in registry.watch("search"):
                    mine = [each for each in instances if len(each.metadata.get("workers", "1").split(",")) == workers]
                    if mine:
                        break
            yield mine[0].address, psutil.Process(process.pid)
        finally:
            process.terminate()
            await process.wait()


async def _measure(data: Path, workers: int, options: argparse.Namespace) -> None:
    parts = options.parts.split(",")
    async with _serving(data, workers) as (address, process), AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(_channel(address)) for _ in range(16)]
        queries = await _queries(channels[0])
        supply = iter(queries)
        print(f"# {workers} worker{'s' * (workers > 1)}, {len(queries):,} distinct queries")
        for name, fields in (("count only", None), ("page of 1", 1), ("page of 10", 10)):
            if "batch" in parts:
                rate, busy = await _batches(channels[: 4 * workers], supply, fields, options.seconds, process)
                print(f"batch, {name:11} {rate:9,.0f} queries/s   {busy}", flush=True)
        peak = 0.0
        if "unary" in parts or "open" in parts:
            for callers in (1, 16, 64):
                rate, latencies, busy = await _unary(channels, supply, callers, options.seconds, process)
                peak = max(peak, rate)
                print(
                    f"unary, {callers:3} callers  {rate:9,.0f} searches/s  {_quantiles(latencies)}   {busy}", flush=True
                )
        if "open" in parts:
            for connections in options.connections:
                latencies, busy = await _open(address, connections, supply, peak / 2, options.seconds)
                print(
                    f"open loop, {connections:4} connections, {peak / 2:,.0f}/s   {_quantiles(latencies)}   {busy}",
                    flush=True,
                )
        if "stream" in parts:
            await _streams(channels[0], process)


def _channel(address: str) -> grpc.aio.Channel:
    # Each has a connection of its own: the kernel gives those out to the workers.
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def _queries(channel: grpc.aio.Channel) -> list[str]:
    """Distinct ones, from lines spread over the data."""
    search = channel.unary_unary(
        SERVICE + "Search",
        request_serializer=search_pb2.SearchRequest.SerializeToString,
        response_deserializer=search_pb2.SearchResponse.FromString,
    )
    words: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    times: list[int] = []
    for order in ("timestamp", "timestamp desc"):
        token = ""
        for _ in range(12):
            page = await search(
                search_pb2.SearchRequest(parent=PARENT, page_size=1000, order_by=order, page_token=token),
                wait_for_ready=True,
            )
            for hit in page.hits[::7]:
                found = re.findall(r"[A-Za-z0-9]{3,20}", hit.text)
                words.update(found)
                pairs.update(
                    (left, right) for left, right in re.findall(r"\b([A-Za-z]{3,20})[ ._-]([A-Za-z]{3,20})\b", hit.text)
                )
                times.append(hit.timestamp.seconds)
            token = page.next_page_token
            if not token:
                break
    chance = random.Random(11)
    terms, phrases = sorted(words), sorted(pairs)
    queries: dict[str, None] = {}
    while len(queries) < 400_000:
        kind = chance.random()
        term, other = chance.choice(terms), chance.choice(terms)
        if kind < 0.30:
            query = term
        elif kind < 0.65:
            query = f"{term} {other}"
        elif kind < 0.80:
            query = '"{} {}"'.format(*chance.choice(phrases))
        elif kind < 0.90:
            query = f"zq{chance.randrange(10**9)}x"
        elif kind < 0.95:
            query = f"{term} level:>={chance.choice(['info', 'warn', 'error'])}"
        else:
            low = chance.choice(times)
            query = f"{term} time:>={_iso(low)} time:<{_iso(low + chance.randrange(60, 7200))}"
        # A short list has its words again and again, marked so that the text at least is new.
        queries[query if query not in queries else f"{query} {other}"] = None
    return list(queries)


def _iso(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class _Busy:
    """Processor time of the service and of this process."""

    def __init__(self, process: psutil.Process) -> None:
        self._processes = [process, *process.children(recursive=True)]
        self._server, self._own, self._at = self._spent(), time.process_time(), time.perf_counter()

    def __str__(self) -> str:
        seconds = time.perf_counter() - self._at
        server, own = self._spent() - self._server, time.process_time() - self._own
        return f"service {server / seconds:.2f}, generator {own / seconds:.2f} cores"

    def _spent(self) -> float:
        return sum(times.user + times.system for times in (process.cpu_times() for process in self._processes))


async def _batches(
    channels: Sequence[grpc.aio.Channel], supply: Any, page: int | None, seconds: float, process: psutil.Process
) -> tuple[float, str]:
    made = []
    for _ in range(int(200 * seconds / 5) if page is None else int(100 * seconds / 5)):
        requests = [search_pb2.SearchRequest(query=next(supply), page_size=page or 0) for _ in range(BATCH)]
        batch = search_pb2.BatchSearchRequest(parent=PARENT, requests=requests, count_only=page is None)
        made.append(batch.SerializeToString())
    todo = iter(made)
    done = failed = 0

    async def caller(channel: grpc.aio.Channel) -> None:
        nonlocal done, failed
        call: Any = channel.unary_unary(SERVICE + "BatchSearch")
        for request in todo:
            answer = search_pb2.BatchSearchResponse.FromString(await call(request, timeout=60))
            done += len(answer.results)
            failed += sum(result.HasField("error") for result in answer.results)
            if time.perf_counter() > until:
                return

    busy, began = _Busy(process), time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(caller(channel) for channel in channels))
    took = time.perf_counter() - began
    assert not failed, failed
    return done / took, str(busy)


async def _unary(
    channels: Sequence[grpc.aio.Channel], supply: Any, callers: int, seconds: float, process: psutil.Process
) -> tuple[float, list[float], str]:
    latencies: list[float] = []

    async def caller(number: int) -> None:
        call: Any = channels[number % len(channels)].unary_unary(SERVICE + "Search")
        while time.perf_counter() < until:
            request = search_pb2.SearchRequest(parent=PARENT, query=next(supply), page_size=10)
            begun = time.perf_counter()
            await call(request.SerializeToString(), timeout=60)
            latencies.append(time.perf_counter() - begun)

    busy, began = _Busy(process), time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return len(latencies) / (time.perf_counter() - began), sorted(latencies), str(busy)


async def _open(address: str, connections: int, supply: Any, rate: float, seconds: float) -> tuple[list[float], str]:
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(_channel(address)) for _ in range(connections)]
        calls: list[Any] = [channel.unary_unary(SERVICE + "Search") for channel in channels]
        first = search_pb2.SearchRequest(parent=PARENT, query="warm", page_size=1).SerializeToString()
        for at in range(0, connections, 50):
            await asyncio.gather(*(call(first, wait_for_ready=True) for call in calls[at : at + 50]))
        latencies: list[float] = []
        running: set[asyncio.Task[None]] = set()
        failed = 0

        async def one(call: Any, request: bytes, due: float) -> None:
            nonlocal failed
            try:
                await call(request, timeout=30)
                latencies.append(time.perf_counter() - due)
            except grpc.aio.AioRpcError:
                failed += 1

        requests = [
            search_pb2.SearchRequest(parent=PARENT, query=next(supply), page_size=10).SerializeToString()
            for _ in range(int(rate * seconds))
        ]
        began, cpu = time.perf_counter(), time.process_time()
        for number, request in enumerate(requests):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(calls[number % connections], request, due))
            running.add(task)
            task.add_done_callback(running.discard)
        while running:
            await asyncio.wait(running)
        took = time.perf_counter() - began
        own = (time.process_time() - cpu) / took
        return sorted(latencies), f"{failed} failed, generator {own:.2f} cores"


async def _streams(channel: grpc.aio.Channel, process: psutil.Process) -> None:
    """First hit of a stream of everything; processor time after it was cancelled."""
    call: Any = channel.unary_stream(
        SERVICE + "StreamSearch",
        request_serializer=search_pb2.SearchRequest.SerializeToString,
        response_deserializer=search_pb2.StreamSearchResponse.FromString,
    )
    for query in ("", "level:>=info", "/[0-9]{5}.*exe/"):
        firsts = []
        for _ in range(5):
            begun = time.perf_counter()
            stream = call(search_pb2.SearchRequest(parent=PARENT, query=query))
            async for response in stream:
                if response.HasField("hits"):
                    break
            firsts.append(time.perf_counter() - begun)
            stream.cancel()
        await asyncio.sleep(0.1)
        processes = [process, *process.children(recursive=True)]
        before = sum(sum(each.cpu_times()[:2]) for each in processes)
        await asyncio.sleep(1.0)
        after = sum(sum(each.cpu_times()[:2]) for each in processes)
        print(
            f"stream of {query!r}: first hit {min(firsts) * 1000:.1f} to {max(firsts) * 1000:.1f} ms; "
            f"{(after - before) * 1000:.0f} ms of processor time in the second after 100 ms from the cancellation"
        )


def _quantiles(latencies: Sequence[float]) -> str:
    if not latencies:
        return "no answer"
    at = [latencies[min(len(latencies) - 1, int(q * len(latencies)))] * 1000 for q in (0.5, 0.95, 0.99)]
    return "p50 {:.2f} p95 {:.2f} p99 {:.2f} ms".format(*at)


if __name__ == "__main__":
    main()
