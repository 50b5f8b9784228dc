"""Every backend behind the seam, and the same lines in each of them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loganalyzer.search.v1 import search_pb2
from services.search.catalog import Catalog
from services.search.index import NO_TIME, SplitWriter
from services.search.index.engine import TantivySplit
from services.search.index.layout import remove_tree, split_path
from services.search.index.scanner import ScannedSplit
from services.search.library import Library
from services.search.query import normalise, parse
from services.search.scan_index import ScanIndex
from services.search.seam import Answer, LogIndex, LogLine, Order, Plan, Snapshot
from services.search.split_index import SplitIndex, view_of
from tests.unit.search.splits import frame_cache

WORKSPACE = "default"
T0 = 1_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """Lines of one source to write: (text, time or None, level, whether a record begins)."""

    source_id: str
    name: str
    lines: Sequence[tuple[bytes, int | None, int, bool]]
    first_line: int = 1


@dataclass
class Backend:
    """An index that is tested. `root` is where splits lie, where there are any."""

    name: str
    index: LogIndex
    catalog: Catalog | None = None
    library: Library | None = None
    root: Path | None = None
    published: list[str] = field(default_factory=list)

    async def write(self, *runs: Run, batch_id: str | None = None) -> bool:
        """Writes a batch and publishes it."""
        name = batch_id or f"b{len(self.published)}"
        self.published.append(name)
        writer = self.index.writer(WORKSPACE, name)
        for run in runs:
            writer.add_source(
                source_id=run.source_id,
                name=run.name,
                import_name="workspaces/default/imports/i",
                first_line=run.first_line,
                byte_offset=0,
            )
            writer.add_lines(
                [line[0] for line in run.lines],
                [NO_TIME if line[1] is None else line[1] for line in run.lines],
                [line[2] for line in run.lines],
                bytes(line[3] for line in run.lines),
            )
            writer.end_source(complete=True, byte_count=sum(len(line[0]) + 1 for line in run.lines))
        return await self.index.publish(WORKSPACE, writer.finish())

    async def compact(self, first: int, last: int, *, remove: bool = True) -> None:
        """Joins splits `first` to `last - 1` into one, without hidden lines, as the care process does."""
        if self.catalog is None or self.root is None:
            return
        view = self.catalog.view(WORKSPACE)
        old = view.splits[first:last]
        name = f"c{len(self.published)}"
        self.published.append(name)
        writer = SplitWriter(self.root, WORKSPACE, name)
        for published in old:
            reader = TantivySplit(split_path(self.root, WORKSPACE, published.split.id), frame_cache())
            row = 0
            for run in published.split.sources:
                lines = [reader.line(number) for number in range(row, row + run.line_count)]
                row += run.line_count
                if run.source_id in view.hidden:
                    continue
                writer.add_source(
                    source_id=run.source_id,
                    name=run.name,
                    import_name=run.import_name,
                    first_line=run.first_line,
                    byte_offset=run.byte_offset,
                )
                writer.add_lines(
                    [line.raw for line in lines],
                    [NO_TIME if line.time is None else line.time for line in lines],
                    [line.level for line in lines],
                    bytes(line.record_number == line.number for line in lines),
                )
                writer.end_source(complete=run.complete, byte_count=run.byte_count)
        assert await self.catalog.replace(WORKSPACE, [each.split.id for each in old], writer.finish())
        if remove:
            assert self.library is not None
            self.library.forget(WORKSPACE, {each.split.id for each in old})
            for published in old:
                remove_tree(split_path(self.root, WORKSPACE, published.split.id))

    def now(self) -> Snapshot:
        return self.index.snapshot(WORKSPACE)

    async def answer(self, query: str = "", **fields: object) -> Answer:
        snapshot = self.now()
        return await self.index.answer(snapshot, plan(query, **fields))

    async def every(self, query: str = "", order: Order = Order.NEWEST, size: int = 7) -> list[LogLine]:
        """All hits, page by page, each of a snapshot of its own."""
        lines: list[LogLine] = []
        while True:
            after = lines[-1].place if lines else b""
            found = await self.answer(query, order=order, limit=size, count=True, after=after)
            lines += found.lines
            if not found.done.more:
                return lines

    @property
    def splits(self) -> Sequence[search_pb2.Split]:
        return [published.split for published in view_of(self.now()).splits]


def plan(query: str, **fields: object) -> Plan:
    return Plan(query=normalise(parse(query)), **fields)  # type: ignore[arg-type]


def world(seed: int = 7) -> list[list[Run]]:
    """Batches of runs with ties, lines without a time, records and sources that go on in another batch."""
    chance = random.Random(seed)
    batches: list[list[Run]] = []
    nexts = {"aa": 1, "bb": 1, "cc": 1}
    words = ["disk", "full", "retry", "user", "ok", "timeout"]
    for _ in range(5):
        runs = []
        for source in chance.sample(sorted(nexts), chance.randrange(1, 4)):
            lines = []
            for number in range(chance.randrange(3, 25)):
                text = f"{' '.join(chance.choices(words, k=3))} user={chance.choice('xyz')} n{number}".encode()
                time = None if chance.random() < 0.15 else T0 + chance.randrange(12) * 1_000_000
                lines.append((text, time, chance.randrange(0, 9), chance.random() < 0.7))
            runs.append(Run(source, f"logs/{source}.log", lines, nexts[source]))
            nexts[source] += len(lines)
        batches.append(runs)
    return batches


@pytest.fixture(params=["tantivy splits", "scanned splits", "lines in memory"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    if request.param == "lines in memory":
        yield Backend(request.param, ScanIndex())
        return
    catalog = Catalog(tmp_path / "catalog.db")
    await catalog.open()
    opener = TantivySplit if request.param == "tantivy splits" else ScannedSplit
    library = Library(tmp_path / "splits", open_splits=16, frames=16, opener=opener)
    with ThreadPoolExecutor(2) as executor:
        yield Backend(request.param, SplitIndex(catalog, library, executor), catalog, library, tmp_path / "splits")
    await catalog.close()


@pytest.fixture
async def oracle() -> Backend:
    return Backend("the oracle", ScanIndex())
