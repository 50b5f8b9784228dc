"""What the engine finds in files is what grep finds in them, and ripgrep where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from loganalyzer.search.v1 import query_pb2
from services.search.index import NO_TIME, grams
from services.search.index.engine import TantivySplit
from services.search.index.split import Order
from services.search.query import normalise, tree
from tests.datafiles import SAMPLE, shared_data
from tests.unit.search.splits import Row, Source, frame_cache, write_split

_LETTER = r"[\p{L}\p{N}]"
_LONGEST = 4 << 20


def word(text: str) -> str:
    """The pattern of a term, or of terms in a row."""
    inner = r"[^\p{L}\p{N}]+".join(text.split())
    return f"(?<!{_LETTER}){inner}(?!{_LETTER})"


#: (query, pattern for PCRE, pattern for RE2 and Rust or "" where it has none, whether case does not count)
QUERIES: Sequence[tuple[query_pb2.Query, str, str, bool]] = [
    (tree.term("error"), word("error"), "", True),
    (tree.term("192"), word("192"), "", True),
    (tree.words(["invalid", "user"]), word("invalid user"), "", True),
    (tree.substring("ailed pass"), "ailed pass", "ailed pass", True),
    (tree.substring("kafka"), "kafka", "kafka", True),
    (tree.substring("s"), "s", "s", True),
    (tree.substring("Exception:", case_sensitive=True), "Exception:", "Exception:", False),
    (tree.substring("no such text in there"), "no such text in there", "no such text in there", True),
    (tree.regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}"), r"[0-9]{1,3}(\.[0-9]{1,3}){3}", r"[0-9]{1,3}(\.[0-9]{1,3}){3}", False),
    (tree.regex(r"^\s+at [a-z.]+"), r"^\s+at [a-z.]+", r"^\s+at [a-z.]+", False),
    (tree.regex("failed|denied|refused", ignore_case=True), "failed|denied|refused", "failed|denied|refused", True),
    (tree.regex(r'" 404 [0-9]+ '), r'" 404 [0-9]+ ', r'" 404 [0-9]+ ', False),
    (tree.regex(r"[A-Z][a-z]+Exception$"), r"[A-Z][a-z]+Exception$", r"[A-Z][a-z]+Exception$", False),
    (tree.regex(r"^$"), r"^$", r"^$", False),
]


def files() -> Iterator[Path]:
    """Text files of the samples, and of the large collection where it is there."""
    yield from (path for path in sorted(SAMPLE.rglob("*")) if path.is_file() and path.suffix not in (".gz", ".zip"))
    data = shared_data()
    if data is not None:
        for folder in ("elastic", "winevent"):
            found = (path for path in sorted((data / folder).rglob("*")) if path.is_file())
            yield from (path for path in found if path.suffix not in (".gz", ".zip") and path.stat().st_size < _LONGEST)


def lines_of(path: Path) -> list[bytes]:
    found = path.read_bytes().split(b"\n")
    if found[-1] == b"":
        found.pop()
    return found


def found_by(command: Sequence[str], path: Path) -> set[int]:
    """Line numbers that a program of the kind of grep prints."""
    done = subprocess.run(
        [*command, "--", str(path)], env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return {int(line.split(b":", 1)[0]) for line in done.stdout.splitlines() if b":" in line}


@pytest.fixture(scope="module", params=[False, True], ids=["lines", "block index"])
def split(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> TantivySplit:
    root = tmp_path_factory.mktemp("grep")
    rows = [
        Source([Row(line, NO_TIME) for line in lines_of(path)], f"s{n}", str(path)) for n, path in enumerate(files())
    ]
    write_split(root, rows)
    if request.param:
        grams.build(root / "default" / "s1")
    return TantivySplit(root / "default" / "s1", frame_cache())


def engine_found(split: TantivySplit, query: query_pb2.Query) -> dict[str, set[int]]:
    query = normalise(query)
    found: dict[str, set[int]] = {run.name: set() for run in split.meta.sources}
    for batch in split.walk(query, Order.OLDEST):
        for line in split.lines([hit.row for hit in batch.hits]):
            found[line.run.name].add(line.number)
    assert sum(map(len, found.values())) == split.count(query)
    return found


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_the_engine_finds_the_lines_that_grep_finds(split: TantivySplit, number: int) -> None:
    query, pattern, _, ignore_case = QUERIES[number]
    probe = subprocess.run(["grep", "-P", "x"], input=b"x", capture_output=True, check=False)
    if probe.returncode and os.environ.get("CI") != "true":
        pytest.skip("this grep has no -P")
    command = ["grep", "-anP" + "i" * ignore_case, "-e", pattern]
    found = engine_found(split, query)
    assert found == {name: found_by(command, Path(name)) for name in found}


@pytest.mark.parametrize("number", [number for number, query in enumerate(QUERIES) if query[2]])
def test_the_engine_finds_the_lines_that_ripgrep_finds(split: TantivySplit, number: int) -> None:
    if shutil.which("rg") is None:
        pytest.skip("ripgrep is not installed")
    query, _, pattern, ignore_case = QUERIES[number]
    command = ["rg", "-an", "--no-filename", "--no-config", *(["-i"] if ignore_case else []), "-e", pattern]
    found = engine_found(split, query)
    assert found == {name: found_by(command, Path(name)) for name in found}
