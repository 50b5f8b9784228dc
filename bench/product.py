"""The whole product: import speed, memory, index size, search latency and rate, through the gateway."""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psutil

from bench import load
from tests.datafiles import SAMPLE, shared_data
from tests.e2e.product import Product

MB = 1_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench product", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load run (default 5)")
    seconds = parser.parse_args(arguments).seconds
    with tempfile.TemporaryDirectory() as folder:
        product = Product(data_dir=Path(folder) / "data", args=["--no-sample"]).start()
        try:
            sources = _sources()
            _import(product, sources)
            _search(product, sources, seconds)
        finally:
            product.stop()


def _sources() -> list[Path]:
    data = shared_data()
    if data is None:
        print("the large collection is not here: the sample is used, and its figures say little")
        return [SAMPLE]
    return sorted((data / "winevent").glob("campaign_0*.zip"))


class _Memory:
    """Samples the PSS of all processes together, in a thread of its own."""

    def __init__(self, product: Product) -> None:
        self.peak = 0
        self._product = product
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self.peak = max(self.peak, total_pss(self._product))

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.peak


def total_pss(product: Product) -> int:
    """Bytes; shared pages are counted once."""
    total = 0
    for process in product.processes():
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def _import(product: Product, sources: list[Path]) -> None:
    idle = total_pss(product)
    memory = _Memory(product)
    started = time.perf_counter()
    result = product.import_all(*sources, seconds=3600)
    took = time.perf_counter() - started
    peak = memory.stop()
    assert result["state"] == "SUCCEEDED", result
    raw = int(result["byteCount"])
    stored = sum(path.stat().st_size for path in (product.data_dir / "splits").rglob("*") if path.is_file())
    lines = int(result["lineCount"])
    print(f"import           {raw / MB / took:8.1f} MB/s   {raw / MB:.0f} MB, {lines:,} lines in {took:.1f} s")
    print(f"memory (PSS)     {idle / MB:8.1f} MB idle, {peak / MB:.1f} MB at the peak, all processes together")
    print(f"index over raw   {stored / raw:8.3f}        {stored / MB:.1f} MB: index and compressed lines")


def _search(product: Product, sources: list[Path], seconds: float) -> None:
    words = _words(sources)
    rng = random.Random(7)
    paths = [
        f"/v1/workspaces/default/logs:search?query={quote(f'{a} OR {b}')}&pageSize=20"
        for a, b in (rng.sample(words, 2) for _ in range(20_000))
    ]
    host, _, port = str(product.address_of("gateway")).partition(":")
    singles = []
    for path in paths[:200]:
        begun = time.perf_counter()
        assert product.client.get(path).status_code == 200
        singles.append(time.perf_counter() - begun)
    print(f"one at a time    {statistics.median(singles) * 1000:8.2f} ms p50, {sorted(singles)[189] * 1000:.2f} ms p95")
    for connections in (1, 16, 64):
        result = asyncio.run(load.run(host, int(port), paths, connections=connections, seconds=seconds))
        rng.shuffle(paths)
        print(
            f"{connections:3} connections  {result.rate:8.0f} searches/s   p50 {result.quantile(0.5) * 1000:.2f} ms, "
            f"p95 {result.quantile(0.95) * 1000:.2f} ms, p99 {result.quantile(0.99) * 1000:.2f} ms, "
            f"{result.failures} failed, generator {result.own_cpu / result.seconds:.0%} of a core"
        )
    repeated = asyncio.run(load.run(host, int(port), paths[:1], connections=16, seconds=seconds))
    print(f"the same query   {repeated.rate:8.0f} searches/s   p95 {repeated.quantile(0.95) * 1000:.2f} ms (cached)")
    print(f"memory (PSS)     {total_pss(product) / MB:8.1f} MB after the searches")


def _words(sources: list[Path]) -> list[str]:
    """Distinct words of the sources, of all frequencies."""
    text = b""
    for source in sources[:3]:
        if source.suffix == ".zip":
            with zipfile.ZipFile(source) as archive, archive.open(archive.namelist()[0]) as member:
                text += member.read(4 << 20)
        else:
            text += b"".join(path.read_bytes() for path in source.rglob("*.log"))
    words = sorted({word.decode() for word in re.findall(rb"[A-Za-z0-9]{3,20}", text)})
    random.Random(7).shuffle(words)
    return words[:5000]
