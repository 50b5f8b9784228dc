"""Damage of every kind to every file of a split: it is found, said, and made good where the lines are whole."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from loganalyzer.search.v1 import search_pb2
from services.search.care import locks
from services.search.care.carer import Carer
from services.search.care.check import check_split
from services.search.care.policy import Limits
from services.search.care.work import check_all, repair_all
from services.search.catalog import Catalog
from services.search.config import Config
from services.search.index import split_path
from services.search.index.engine import TantivySplit
from services.search.lru import LruCache
from services.search.query import parse
from tests.unit.search.splits import WORKSPACE, Source, lines, write_split
from tests.unit.search.versions import as_version_1

#: Patterns of a split's files, one of each kind.
FILES = [
    "meta.json",
    "raw.zst",
    "raw.idx",
    "grams.bin",
    "sums.json",
    "index/meta.json",
    *(f"index/*.{kind}" for kind in ("fast", "fieldnorm", "idx", "pos", "store", "term")),
]
#: Files without which a split is whole: it is searched by other means, or they are made once more.
OPTIONAL = {"grams.bin", "sums.json"}


@dataclass
class Damaged:
    """A data folder with two splits that are indexed as far as care goes."""

    catalog: Catalog
    config: Config
    splits: list[search_pb2.Split]

    @property
    def lock(self) -> Path:
        return self.config.database.with_name(locks.WORK)

    @property
    def folder(self) -> Path:
        """Of the first split, which is the one to damage."""
        return split_path(self.config.splits, WORKSPACE, self.splits[0].id)

    def file(self, pattern: str) -> Path:
        return next(self.folder.glob(pattern))

    async def check(self) -> search_pb2.CheckLogsResponse:
        return await check_all(self.catalog, self.config.splits, WORKSPACE)

    async def repair(self) -> search_pb2.RepairLogsResponse:
        return await repair_all(self.catalog, self.config.splits, WORKSPACE, self.lock)

    def count(self, query: str, number: int = 0) -> int:
        """Lines of a published split that match."""
        published = self.catalog.view(WORKSPACE).splits[number]
        folder = split_path(self.config.splits, WORKSPACE, published.split.id)
        return TantivySplit(folder, LruCache(8)).count(parse(query))


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[Damaged]:
    config = Config(database=tmp_path / "search" / "catalog.db", splits=tmp_path / "splits")
    catalog = Catalog(config.database)
    await catalog.open()
    splits = [
        write_split(
            config.splits,
            [Source(lines(*(f"alpha {number} of split {name}" for number in range(4000))), source_id=name)],
            split_id=f"s{name}",
        )
        for name in "ab"
    ]
    for split in splits:
        await catalog.publish(WORKSPACE, split)
    damaged = Damaged(catalog, config, splits)
    carer = Carer(catalog, config.splits, damaged.lock, limits=Limits(grams=1000))
    while await carer.step():
        pass
    yield damaged
    await catalog.close()


def flip(path: Path, at: float) -> None:
    """Changes one byte."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 0x01
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped at its beginning": lambda path: flip(path, 0.0),
    "flipped in its middle": lambda path: flip(path, 0.5),
    "flipped near its end": lambda path: flip(path, 0.97),
    "cut off": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "removed": Path.unlink,
}


async def test_splits_that_are_whole_have_no_problems(damaged: Damaged) -> None:
    assert sorted(path.name for path in damaged.folder.iterdir()) == sorted(
        ["grams.bin", "index", "meta.json", "raw.idx", "raw.zst", "sums.json"]
    )
    assert await damaged.check() == search_pb2.CheckLogsResponse(split_count=2, line_count=8000)
    assert await damaged.repair() == search_pb2.RepairLogsResponse()
    assert [each.split.id for each in damaged.catalog.view(WORKSPACE).splits] == ["sa", "sb"]


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("file", FILES)
async def test_damage_is_found_and_made_good_where_the_lines_are_whole(damaged: Damaged, file: str, kind: str) -> None:
    path = damaged.file(file)
    DAMAGE[kind](path)
    if kind == "removed" and file in OPTIONAL:
        assert not (await damaged.check()).problems
        return
    answer = await damaged.check()
    assert answer.split_count == 2
    assert {problem.split_id for problem in answer.problems} == {"sa"}
    assert all(problem.message for problem in answer.problems)
    assert damaged.count("alpha", 1) == 4000  # the other one is searched as before
    lost = file == "raw.zst"
    assert {problem.repairable for problem in answer.problems} == {not lost}

    repaired = await damaged.repair()
    if lost:
        assert repaired.repaired_count == 0
        assert {problem.split_id for problem in repaired.problems} == {"sa"}
        assert [each.split.id for each in damaged.catalog.view(WORKSPACE).splits] == ["sa", "sb"]
        return
    assert repaired == search_pb2.RepairLogsResponse(repaired_count=1)
    assert not (await damaged.check()).problems
    assert damaged.count("alpha") == 4000
    assert damaged.count('"of split a"') == 4000
    assert damaged.count("3999") == 1


@pytest.mark.parametrize("file", [file for file in FILES if file not in ("sums.json", ".managed.json")])
@pytest.mark.parametrize("kind", ["cut off", "removed"])
async def test_damage_is_found_before_care_has_noted_checksums(damaged: Damaged, file: str, kind: str) -> None:
    damaged.file("sums.json").unlink()
    DAMAGE[kind](damaged.file(file))
    problems = check_split(damaged.folder, damaged.splits[0])
    assert bool(problems) is not (kind == "removed" and file in OPTIONAL)


async def test_a_missing_folder_is_said_and_cannot_be_made_good(damaged: Damaged) -> None:
    shutil.rmtree(damaged.folder)
    (problem,) = (await damaged.check()).problems
    assert (problem.split_id, problem.repairable) == ("sa", False)
    assert (await damaged.repair()).repaired_count == 0
    assert damaged.count("alpha", 1) == 4000


async def test_an_index_of_other_lines_is_found(damaged: Damaged) -> None:
    """Files that are whole by themselves and do not belong together."""
    other = split_path(damaged.config.splits, WORKSPACE, "sb")
    damaged.file("sums.json").unlink()
    shutil.rmtree(damaged.folder / "index")
    shutil.copytree(other / "index", damaged.folder / "index")
    messages = [problem.message for problem in (await damaged.check()).problems]
    assert len(messages) == 1
    assert "does not find" in messages[0]


async def test_a_block_index_that_leaves_something_out_is_found(damaged: Damaged) -> None:
    other = split_path(damaged.config.splits, WORKSPACE, "sb")
    shutil.copy(other / "grams.bin", damaged.folder / "grams.bin")
    shutil.copy(other / "raw.idx", damaged.folder / "raw.idx")
    assert any("block index" in str(each.part.value) for each in check_split(damaged.folder, damaged.splits[0]))


async def test_splits_of_an_older_version_are_brought_up(tmp_path: Path, damaged: Damaged) -> None:
    split = write_split(damaged.config.splits, [Source(lines("gamma"), source_id="cc")], split_id="old")
    await damaged.catalog.publish(WORKSPACE, as_version_1(damaged.config.splits, split))
    assert not (await damaged.check()).problems
    assert damaged.count("gamma", 2) == 1
    assert (await damaged.repair()).repaired_count == 1
    assert damaged.catalog.view(WORKSPACE).splits[2].split.schema_version == 2
    assert damaged.count("gamma", 2) == 1
