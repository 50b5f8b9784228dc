"""A closed-loop HTTP/1.1 load generator that costs little: raw sockets, kept alive, one request in flight on each."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What a run gave. Latencies in seconds, sorted."""

    latencies: Sequence[float]
    failures: int
    seconds: float
    #: CPU seconds of the generator itself.
    own_cpu: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, q: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(q * len(self.latencies)))]


async def run(host: str, port: int, paths: Sequence[str], *, connections: int, seconds: float) -> LoadResult:
    """Requests the paths in turn over `connections` connections for `seconds`."""
    latencies: list[float] = []
    failures = 0
    supply = itertools.cycle(paths)
    end = time.perf_counter() + seconds
    cpu = time.process_time()
    started = time.perf_counter()

    async def one() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < end:
            begun = time.perf_counter()
            writer.write(
                f"GET {next(supply)} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: application/json\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 200"):
                latencies.append(time.perf_counter() - begun)
            else:
                failures += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    took = time.perf_counter() - started
    return LoadResult(latencies=sorted(latencies), failures=failures, seconds=took, own_cpu=time.process_time() - cpu)
