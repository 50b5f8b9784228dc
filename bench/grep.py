"""Side by side with ripgrep: the first page with its count, and `rg -c` on the same lines, in page cache."""

from __future__ import annotations

import argparse
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from tests.datafiles import shared_data
from tests.e2e.product import Product, wait_until

WORKSPACE = "workspaces/default"
PAGE = 50
#: Seconds for which care is waited, so that every split has its block index.
CARE = 300.0
_WORD = re.compile(rb"[a-z0-9]{4,24}")


@dataclass(frozen=True, slots=True)
class Question:
    """The same question in both languages; `rg` holds ripgrep's arguments."""

    kind: str
    query: str
    rg: tuple[str, ...]
    #: Whether both count the same lines: ripgrep's -w knows other word characters.
    same: bool = True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench grep", description=__doc__)
    parser.add_argument("--words", type=int, default=7, help="questions of each kind, each asked once (default 7)")
    parser.add_argument("--scratch", type=Path, help="folder for 719 MB of lines and their index")
    options = parser.parse_args(arguments)
    data = shared_data()
    if data is None or shutil.which("rg") is None:
        print("needs the large log collection and ripgrep")
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        files = unpack(data, Path(folder) / "lines")
        with searchable(Path(folder), files) as stub:
            _compare(stub, files, options.words)


def unpack(data: Path, folder: Path) -> list[Path]:
    """The members of the campaign archives as files."""
    folder.mkdir(parents=True)
    for archive in sorted((data / "winevent").glob("campaign_0*.zip")):
        with zipfile.ZipFile(archive) as found:
            found.extractall(folder / archive.stem)
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def searchable(folder: Path, files: Sequence[Path]) -> Iterator[search_pb2_grpc.SearchServiceStub]:
    """The product with the files imported and every block index built; the search service's stub."""
    product = Product(data_dir=folder / "data", args=["--no-sample"]).start()
    try:
        result = product.import_all(*files, seconds=3600)
        assert result["state"] == "SUCCEEDED", result
        splits = product.data_dir / "splits" / "default"
        wait_until(
            lambda: all((split / "grams.bin").exists() for split in splits.iterdir() if split.name[0] != "."),
            seconds=CARE,
            what="every split has its block index",
        )
        address = product.address_of("search")
        with grpc.insecure_channel(str(address)) as channel:
            yield search_pb2_grpc.SearchServiceStub(channel)
    finally:
        product.stop()


def questions(files: Sequence[Path], count: int) -> list[Question]:
    """Of each kind `count`, made of what the lines hold."""
    seen: Counter[bytes] = Counter()
    for path in files:
        with path.open("rb") as file:
            seen.update(set(_WORD.findall(file.read(16 << 20).lower())))
            seen.update(_WORD.findall(file.read(4 << 20).lower()))
    rng = random.Random(7)
    by_rank = [word.decode() for word, _ in seen.most_common()]
    common, middling, rare = by_rank[:200], by_rank[len(by_rank) // 50 : len(by_rank) // 10], by_rank[-20_000:]

    def pick(words: Sequence[str]) -> str:
        return rng.choice([word for word in words if not word.isdigit()])

    def absent() -> str:
        return "".join(rng.choices("bcdfghjklmnpqrstvwxz", k=12))

    def make(kind: str, build: Callable[[], Question]) -> list[Question]:
        return [build() for _ in range(count)]

    word = ("-i", "-w")
    kinds: dict[str, Callable[[], Question]] = {
        "common term": lambda: _term("common term", pick(common), word),
        "middling term": lambda: _term("middling term", pick(middling), word),
        "rare term": lambda: _term("rare term", pick(rare), word),
        "absent term": lambda: _term("absent term", absent(), word),
        "two common terms": lambda: _both(pick(common), pick(common)),
        "absent substring": lambda: _substring("absent substring", absent()[:7]),
        "rare substring": lambda: _substring("rare substring", pick(rare)[1:-1]),
        "common substring": lambda: _substring("common substring", pick(common)[1:]),
        "either of two, no case": lambda: _regex("either of two, no case", f"{pick(middling)}|{pick(middling)}", "i"),
        "regex with a literal": lambda: _regex("regex with a literal", rf"{pick(middling)}[^,]{{1,20}}:", "i"),
        "regex without one": lambda: _regex("regex without one", rf"\b\d{{3}}-{rng.randint(10, 99)}\d{{2}}\b", ""),
    }
    return [question for kind, build in kinds.items() for question in make(kind, build)]


def _term(kind: str, text: str, flags: tuple[str, ...]) -> Question:
    return Question(kind, text, (*flags, "-F", text), same=False)


def _both(one: str, other: str) -> Question:
    # ripgrep has no AND: either order in one line.
    return Question("two common terms", f"{one} {other}", ("-i", f"{one}.*{other}|{other}.*{one}"), same=False)


def _substring(kind: str, text: str) -> Question:
    return Question(kind, f'contains:"{text}"', ("-i", "-F", text))


def _regex(kind: str, pattern: str, flags: str) -> Question:
    return Question(kind, f"/{pattern}/{flags}", (*(("-i",) if flags else ()), pattern))


def _compare(stub: search_pb2_grpc.SearchServiceStub, files: Sequence[Path], count: int) -> None:
    asked = questions(files, count)
    roots = sorted({str(path.parent) for path in files})
    _rg(("-F", "into the page cache"), roots)
    stub.Search(search_pb2.SearchRequest(parent=WORKSPACE, query="warm", page_size=1))
    print(f"{'first page of 50 and its count':32} {'kit ms':>9} {'rg -c ms':>9} {'kit / rg':>9}  lines (median)")
    by_kind: dict[str, list[tuple[float, float, int]]] = {}
    for question in asked:
        begun = time.perf_counter()
        answer = stub.Search(search_pb2.SearchRequest(parent=WORKSPACE, query=question.query, page_size=PAGE))
        ours = time.perf_counter() - begun
        theirs, lines = _rg(question.rg, roots)
        assert not question.same or lines == answer.total_size, (question, lines, answer.total_size)
        by_kind.setdefault(question.kind, []).append((ours, theirs, answer.total_size))
    for kind, rows in by_kind.items():
        ours, theirs = (statistics.median(row[at] for row in rows) * 1000 for at in (0, 1))
        worst = max(row[0] for row in rows) * 1000
        found = statistics.median(row[2] for row in rows)
        print(f"{kind:32} {ours:9.2f} {theirs:9.2f} {ours / theirs:9.2f}  {found:,.0f}; slowest {worst:.1f} ms")


def _rg(arguments: Sequence[str], roots: Sequence[str]) -> tuple[float, int]:
    """(seconds, lines)."""
    begun = time.perf_counter()
    # -a as the import does: what has a NUL in it is read, too.
    found = subprocess.run(["rg", "-c", "-a", "--no-filename", *arguments, *roots], capture_output=True, check=False)
    took = time.perf_counter() - begun
    return took, sum(map(int, found.stdout.split()))
