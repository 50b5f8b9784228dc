"""On real lines the engine gives what the oracle gives, which reads every line, for hundreds of generated queries."""

from __future__ import annotations

import gzip
import random
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from loganalyzer.search.v1 import query_pb2
from services.search.index import NO_TIME, SCHEMA_VERSION
from services.search.index import grams as block_index
from services.search.index.engine import TantivySplit
from services.search.index.prepared import prepare
from services.search.index.scanner import ScannedSplit
from services.search.index.split import After, Check, Line, Order, Query, SplitReader, unchecked
from services.search.query import key_of, render
from tests.datafiles import SAMPLE, require_shared_data
from tests.integration.search.test_exactness_queries import QueryMaker
from tests.unit.search.splits import EPOCH, Row, Source, frame_cache, write_split

_PAGE = 40
_FIELD_LINES = 150


class Remembering(ScannedSplit):
    """The oracle, which decides about each line once for a query however often it is asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, frame_cache())
        self._all = [super(Remembering, self).line(row) for row in range(self.line_count)]
        self._known: dict[bytes, list[Line]] = {}

    def line(self, row: int) -> Line:
        return self._all[row]

    def _matching(self, query: Query, check: Check = unchecked) -> Iterator[Line]:
        key = prepare(query).key
        if key not in self._known:
            self._known = {key: list(super()._matching(query, check))}
        return iter(self._known[key])


def agree(engine: SplitReader, oracle: SplitReader, query: query_pb2.Query, fields: Sequence[str]) -> None:
    """Asserts the same rows in both orders, pages, walks, counts, bars and values."""
    said = f"{render(query)!r} {query}"
    count = oracle.count(query)
    for order in Order:
        every = oracle.top(query, order, max(count, 1)).hits
        walked = [hit for batch in engine.walk(query, order) for hit in batch.hits]
        assert walked == every, (said, order)
        top = engine.top(query, order, _PAGE)
        assert (top.hits, top.count) in ((every[:_PAGE], None), (every[:_PAGE], count)), (said, order)
        for at in {0, count // 2, count - 1} & set(range(count)):
            after = After(every[at].time, every[at].row)
            assert engine.top(query, order, _PAGE, after).hits == every[at + 1 : at + 1 + _PAGE], (said, order, at)
        if count > 1:
            after = After(every[count // 3].time, every[count // 3].row)
            behind = [hit for batch in engine.walk(query, order, after) for hit in batch.hits]
            assert behind == every[count // 3 + 1 :], (said, order)
    assert engine.count(query) == count, said
    bars = (query, EPOCH // 60_000_000 * 60_000_000, 60_000_000, 50)
    assert engine.histogram(*bars) == oracle.histogram(*bars), said
    for field in fields:
        assert engine.top_values(query, field, _FIELD_LINES) == oracle.top_values(query, field, _FIELD_LINES), (
            said,
            field,
        )
    found = engine.candidates(query)
    assert found.lines >= count, said
    assert found.reads <= found.lines, said


def sample_of(content: bytes, lines: int, chosen: random.Random) -> list[bytes]:
    """Some lines of a file, in a few runs of neighbours."""
    every = content.split(b"\n")[:-1] if content.endswith(b"\n") else content.split(b"\n")
    if len(every) <= lines:
        return every
    step = lines // 4
    starts = sorted(chosen.randrange(len(every) - step) for _ in range(4))
    return [line for start in starts for line in every[start : start + step]]


def rows_of(lines: Sequence[bytes], chosen: random.Random, *, ordered: bool) -> list[Row]:
    """Lines with times: in order with ties, or in none and some without."""
    rows = []
    for number, line in enumerate(lines):
        if ordered:
            when = EPOCH + number // 3 * 1_000_000
        else:
            when = NO_TIME if chosen.random() < 0.1 else EPOCH + chosen.randrange(1 + len(lines) // 2) * 1_000_000
        rows.append(Row(line, when, chosen.randrange(9), chosen.random() < 0.8))
    return rows


def check_queries(
    root: Path,
    files: Sequence[tuple[str, list[bytes]]],
    *,
    version: int,
    grams: bool,
    seed: int,
    leaves: int,
    trees: int,
) -> int:
    """Builds a split of the files and asks it queries of every kind; gives how many."""
    chosen = random.Random(seed)
    sources = [
        Source(rows_of(lines, chosen, ordered=seed % 2 == 0), f"s{number}", name)
        for number, (name, lines) in enumerate(files)
    ]
    write_split(root, sources, version=version, segment_rows=None if seed % 3 else 1_000)
    folder = root / "default" / "s1"
    if grams:
        block_index.build(folder)
    oracle = Remembering(folder)
    engine = TantivySplit(folder, frame_cache())
    assert (engine.grams() is not None) == grams
    lines = [row.raw for source in sources for row in source.rows]
    maker = QueryMaker(seed, lines, [name for name, _ in files], [source.source_id for source in sources] + ["none"])
    maker.times = [row.time for source in sources for row in source.rows if row.time != NO_TIME]
    queries = [maker.leaf(kind) for kind in maker.kinds for _ in range(leaves)] + [maker.tree() for _ in range(trees)]
    for number, query in enumerate(queries):
        fields = ("level", "source") if number % 3 else ("source", "EventID", "user", "status")
        agree(engine, oracle, query, fields)
    return len({key_of(query) for query in queries})


def samples(lines: int) -> list[tuple[str, list[bytes]]]:
    """Lines of the logs that come with the examples."""
    chosen = random.Random(5)
    found: list[tuple[str, list[bytes]]] = []
    for path in sorted(path for path in SAMPLE.rglob("*") if path.is_file()):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                content = archive.read(archive.namelist()[0])
        else:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found.append((path.name, sample_of(content, lines, chosen)))
    return found


@pytest.mark.parametrize(("version", "grams", "seed"), [(SCHEMA_VERSION, True, 6), (1, False, 7)])
def test_engine_and_oracle_agree_on_the_sample_logs(tmp_path: Path, version: int, grams: bool, seed: int) -> None:
    assert check_queries(tmp_path, samples(100), version=version, grams=grams, seed=seed, leaves=4, trees=30) > 60


@pytest.mark.data
@pytest.mark.parametrize("part", ["elastic", "formats", "winevent"])
@pytest.mark.parametrize("grams", [False, True])
def test_engine_and_oracle_agree_on_hundreds_of_queries_over_real_logs(tmp_path: Path, part: str, grams: bool) -> None:
    data = require_shared_data()
    chosen = random.Random(11)
    if part == "winevent":
        with zipfile.ZipFile(data / part / "campaign_05.zip") as archive, archive.open(archive.namelist()[0]) as member:
            found = [("campaign_05.zip!/events.json", sample_of(member.read(6 << 20), 600, chosen))]
        found += [
            (path.name, sample_of(path.read_bytes(), 400, chosen)) for path in sorted((data / part).glob("*.log"))
        ]
    else:
        files = sorted(path for path in (data / part).rglob("*") if path.is_file())
        share = 120 if part == "elastic" else 50
        found = [(str(path.relative_to(data)), sample_of(path.read_bytes(), share, chosen)) for path in files]
    seed = {"elastic": 100, "formats": 101, "winevent": 102}[part] + 10 * grams
    version = 1 if part == "formats" and not grams else SCHEMA_VERSION
    assert check_queries(tmp_path, found, version=version, grams=grams, seed=seed, leaves=5, trees=50) > 84
