"""Imports through the real importer and search service: speed, memory, size, and how soon the last line is found."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.datafiles import require_shared_data, shared_data
from tests.e2e.product import JSON, Product

MB, GB = 1_000_000, 1_000_000_000
_SHORT_BYTES = 500 * MB


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="imports of each kind; medians are shown (default 3)")
    parser.add_argument("--only", default="", help=f"one of: {', '.join(_KINDS)}")
    parser.add_argument("--file-gb", type=float, default=5.0, help="size of the one large file (default 5)")
    parser.add_argument("--member-gb", type=float, default=1.0, help="size of the member of a zip (default 1)")
    chosen = parser.parse_args(arguments)
    if shared_data() is None:
        print("the large collection is not here (../shared/data beside the project): nothing is measured")
        return
    print("kind            MB/s  GB/min   wall s  CPU s  found s  first s  importer  search  together  index/raw")
    for kind, make in _KINDS.items():
        if chosen.only in ("", kind):
            rounds = 1 if kind == "file" and not chosen.only else chosen.rounds
            _measure(kind, make, chosen, rounds)


def _winevent(folder: Path, chosen: argparse.Namespace) -> list[Path]:
    """718 MB of JSON lines of 2 KB each, in seven zips."""
    return sorted((require_shared_data() / "winevent").glob("campaign_0*.zip"))


def _texts() -> list[tuple[Path, bytes]]:
    """elastic/ and formats/, each text with its name and a line feed at its end."""
    data = require_shared_data()
    paths = [path for part in ("elastic", "formats") for path in sorted((data / part).rglob("*")) if path.is_file()]
    return [(path.relative_to(data), path.read_bytes().rstrip(b"\n") + b"\n") for path in paths if path.stat().st_size]


def _short(folder: Path, chosen: argparse.Namespace) -> list[Path]:
    """500 MB of lines of 140 bytes: every file of elastic/ and formats/, repeated."""
    texts = _texts()
    times = _SHORT_BYTES // sum(len(text) for _, text in texts)
    for name, text in texts:
        path = folder / "short" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text * times)
    return [folder / "short"]


def _server_lines(size: float) -> Iterator[bytes]:
    """Lines of the brokers' logs, over and over, up to `size` bytes."""
    text = b"".join(text for name, text in _texts() if "kafka" in str(name) and "gc" not in name.name)
    left = int(size)
    while left > 0:
        yield text if left >= len(text) else text[: text.rfind(b"\n", 0, max(left, 1)) + 1]
        left -= len(text)


def _file(folder: Path, chosen: argparse.Namespace) -> list[Path]:
    """One large file."""
    path = folder / "large.log"
    with path.open("wb") as file:
        for piece in _server_lines(chosen.file_gb * GB):
            file.write(piece)
    return [path]


def _member(folder: Path, chosen: argparse.Namespace) -> list[Path]:
    """One large member of a zip."""
    path = folder / "large.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("large.log", "w", force_zip64=True) as member,
    ):
        for piece in _server_lines(chosen.member_gb * GB):
            member.write(piece)
    return [path]


_KINDS: dict[str, Callable[[Path, argparse.Namespace], list[Path]]] = {
    "winevent": _winevent,
    "short": _short,
    "member": _member,
    "file": _file,
}


@dataclass(kw_only=True)
class _Figures:
    raw: int
    stored: int
    wall: float
    #: Of importer, its workers and search, over the import.
    cpu: float
    #: From the moment at which everything was read to the one at which all lines were found; at most.
    found: float
    #: From the begin of the import to the first line found.
    first: float
    importer_pss: int
    search_pss: int
    together_pss: int


def _measure(
    kind: str, make: Callable[[Path, argparse.Namespace], list[Path]], chosen: argparse.Namespace, rounds: int
) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("KIT_BENCH_SCRATCH")) as scratch:
        paths = make(Path(scratch), chosen)
        figures = []
        for number in range(rounds):
            # Everything anew: what an import before has left in memory is not this one's.
            product = Product(data_dir=Path(scratch) / f"data-{number}", args=["--no-sample"]).start()
            try:
                figures.append(_import(product, paths))
            finally:
                product.stop()
        _print(kind, figures)


def _import(product: Product, paths: Sequence[Path]) -> _Figures:
    trees = [tree for name in ("importer", "search") if (tree := product.pid_of(name)) is not None]
    before = sum(map(_cpu, trees))
    with _memory(trees) as peaks:
        started = time.perf_counter()
        name = product.start_import(*paths)["name"]
        read = first = ended = 0.0
        state: JSON = {}
        while not ended:
            state = product.client.get(f"/v1/{name}").json()
            now = time.perf_counter()
            if not first and int(product.search("", pageSize=1).json().get("totalSize", 0)):
                first = time.perf_counter()
            if not _all_read(state):
                read = now  # not yet: the last line is read after this
            if state["state"] in {"SUCCEEDED", "FAILED", "CANCELLED"}:
                ended = now
            _pause.wait(0.02)
        assert state["state"] == "SUCCEEDED", state
        lines = int(state["lineCount"])
        total = -1
        while total != lines:
            total = int(product.search("", pageSize=1).json()["totalSize"])
        found = time.perf_counter()
    # Index care works on in the background; what counts is what it is when it is searchable.
    stored = sum(path.stat().st_size for path in (product.data_dir / "splits").rglob("*") if path.is_file())
    return _Figures(
        raw=int(state["byteCount"]),
        stored=stored,
        wall=ended - started,
        cpu=sum(map(_cpu, trees)) - before,
        found=found - read,
        first=first - started,
        importer_pss=peaks[0],
        search_pss=peaks[1],
        together_pss=peaks[2],
    )


_pause = threading.Event()


def _all_read(state: JSON) -> bool:
    progress = state.get("progress") or {}
    total = int(progress.get("totalBytes") or 0)
    return state["state"] != "RUNNING" or (total > 0 and int(progress.get("processedBytes") or 0) >= total)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu(pid: int) -> float:
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _pss(pid: int) -> int:
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


@contextlib.contextmanager
def _memory(trees: Sequence[int]) -> Iterator[list[int]]:
    """Peaks of PSS over process trees, sampled: one for each, and their sum."""
    peaks = [0] * (len(trees) + 1)
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.25):
            now = [_pss(tree) for tree in trees]
            for at, value in enumerate([*now, sum(now)]):
                peaks[at] = max(peaks[at], value)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _print(kind: str, figures: Sequence[_Figures]) -> None:
    def median(of: Callable[[_Figures], float]) -> float:
        return statistics.median(map(of, figures))

    speed = median(lambda one: one.raw / MB / one.wall)
    print(
        f"{kind:12} {speed:7.1f} {speed * 60 / 1000:7.2f} {median(lambda one: one.wall):8.2f} "
        f"{median(lambda one: one.cpu):6.1f} {median(lambda one: one.found):8.2f} {median(lambda one: one.first):8.2f} "
        f"{median(lambda one: one.importer_pss) / MB:6.0f} MB {median(lambda one: one.search_pss) / MB:4.0f} MB "
        f"{median(lambda one: one.together_pss) / MB:6.0f} MB {median(lambda one: one.stored / one.raw):10.3f}",
        flush=True,
    )
