"""The catalogue with other processes beside it, from an older version, and with splits that take others' places."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loganalyzer.search.v1 import search_pb2
from services.search.catalog import Catalog, View
from tests.unit.search.test_catalog import ids, split

#: What version 1 wrote.
VERSION_1 = """
CREATE TABLE generations (workspace VARCHAR(63) NOT NULL, generation BIGINT NOT NULL, PRIMARY KEY (workspace));
INSERT INTO "generations" VALUES('default',2);
CREATE TABLE identity (id VARCHAR(32) NOT NULL, PRIMARY KEY (id));
INSERT INTO "identity" VALUES('9ea6ab5e221c8da4');
CREATE TABLE splits (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, workspace VARCHAR(63) NOT NULL, split_id VARCHAR(128) NOT NULL,
    split BLOB NOT NULL, UNIQUE (workspace, split_id)
);
INSERT INTO "splits" VALUES(1,'default','s1',X'0A0273311805');
INSERT INTO "splits" VALUES(2,'default','s2',X'0A027332');
PRAGMA user_version = 1;
"""

PUBLISH = """
import asyncio, sys
from pathlib import Path
from loganalyzer.search.v1 import search_pb2
from services.search.catalog import Catalog, View

async def main():
    catalog = Catalog(Path(sys.argv[1]))
    await catalog.open()
    for number in range(20):
        await catalog.publish("default", search_pb2.Split(id=f"{sys.argv[2]}-{number}"))
        await catalog.publish("default", search_pb2.Split(id=f"both-{number}"))
    await catalog.close()

asyncio.run(main())
"""


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Catalog, Catalog]]:
    """Two that have the same file open, as two processes would."""
    one, two = Catalog(tmp_path / "catalog.db"), Catalog(tmp_path / "catalog.db")
    await one.open()
    await two.open()
    yield one, two
    await one.close()
    await two.close()


async def test_what_one_process_publishes_the_other_sees_at_its_next_look(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    await one.publish("default", split("s1"))
    assert ids(two) == ["s1"]
    await two.publish("default", split("s2"))
    assert ids(one) == ["s1", "s2"]
    assert one.view("default").generation == two.view("default").generation == 2
    assert not await two.publish("default", split("s1"))
    await one.delete("default")
    assert ids(two) == []


async def test_sqlite_is_asked_only_when_somebody_has_written(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    two.view("default")
    asked: list[str] = []
    assert two._reading is not None
    two._reading.set_trace_callback(asked.append)
    for _ in range(100):
        two.view("default")
    assert asked == []
    await one.publish("default", split("s1"))
    assert ids(two) == ["s1"]
    assert asked


async def test_a_catalogue_without_shared_memory_asks_sqlite(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    assert two._header is not None
    two._header.close()
    two._header = None
    for number in range(3):
        await one.publish("default", split(f"s{number}"))
        assert len(ids(two)) == number + 1


async def test_a_tail_is_woken_by_what_another_process_publishes(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    waiting = asyncio.create_task(two.changed("default", two.view("default")))
    await asyncio.sleep(0)
    await one.publish("default", split("s1"))
    async with asyncio.timeout(5):
        assert [published.split.id for published in (await waiting).splits] == ["s1"]


async def test_several_processes_publish_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.db")
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", PUBLISH, path, name) for name in ("a", "b", "c")
    ]
    async with asyncio.timeout(60):
        assert [await process.wait() for process in running] == [0, 0, 0]
    catalog = Catalog(tmp_path / "catalog.db")
    await catalog.open()
    view = catalog.view("default")
    await catalog.close()
    assert len(view.splits) == len({published.split.id for published in view.splits}) == 80 == view.generation


async def test_a_file_of_version_1_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.executescript(VERSION_1)
    connection.close()
    catalog = Catalog(tmp_path / "catalog.db")
    await catalog.open()
    assert catalog.identity == "9ea6ab5e221c8da4"
    assert ids(catalog) == ["s1", "s2"]
    assert catalog.view("default").generation == 2
    assert catalog.view("default").splits[0].split.line_count == 5
    assert await catalog.replace("default", ["s2"], None)
    await catalog.close()
    await catalog.open()
    assert ids(catalog) == ["s1"]
    assert list(catalog.view("default").moved) == ["s2"]
    await catalog.close()


async def test_a_split_takes_the_place_of_its_neighbours(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    for number in range(4):
        await one.publish("default", split(f"s{number}", ("a", 1 + 10 * number, 10)))
    joined = split("j", ("a", 11, 20))
    assert await two.replace("default", ["s1", "s2"], joined)
    assert ids(one) == ["s0", "j", "s3"]
    assert [published.seq for published in one.view("default").splits] == [1, 2, 4]
    assert not await one.publish("default", split("s2", ("a", 21, 10)))
    assert not await one.replace("default", ["s1", "s2"], split("k", ("a", 11, 20)))
    assert ids(one) == ["s0", "j", "s3"]
    assert one.view("default").moved["s2"].split == split("s2", ("a", 21, 10))


@pytest.mark.parametrize(
    ("old", "runs"),
    [
        (["s0", "s2"], [("a", 1, 10), ("c", 1, 10)]),
        (["s0", "s1"], [("b", 1, 10), ("a", 1, 10)]),
        (["s0", "s1"], [("a", 1, 10), ("b", 1, 9)]),
        (["s0", "s1"], [("a", 1, 10)]),
    ],
)
async def test_a_split_with_other_lines_takes_no_place(
    pair: tuple[Catalog, Catalog], old: list[str], runs: list[tuple[str, int, int]]
) -> None:
    for number, source in enumerate("abc"):
        await pair[0].publish("default", split(f"s{number}", (source, 1, 10)))
    before = pair[0].view("default")
    with pytest.raises(ValueError, match="split"):
        await pair[0].replace("default", old, split("new", *runs))
    assert pair[1].view("default") == before


async def test_a_deleted_source_is_hidden_until_no_split_holds_it(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    await one.publish("default", split("s1", ("a", 1, 10), ("b", 1, 3)))
    await one.publish("default", split("s2", ("a", 11, 10)))
    assert await one.hide_source("default", "a") == 20
    assert await two.hide_source("default", "a") == 0 == await two.hide_source("default", "x")
    assert two.view("default").hidden == {"a"}
    assert two.view("default").run_of("a", 1) is None
    assert two.view("default").run_of("b", 1) is not None
    assert not await one.unhide("default", "a")
    assert await one.replace("default", ["s2"], None)
    assert await one.replace("default", ["s1"], split("s3", ("b", 1, 3)))
    assert await one.unhide("default", "a")
    assert not two.view("default").hidden


async def test_a_deletion_takes_moves_and_hidden_sources_along(pair: tuple[Catalog, Catalog]) -> None:
    one, two = pair
    await one.publish("default", split("s1", ("a", 1, 10)))
    await one.hide_source("default", "a")
    await one.replace("default", ["s1"], None)
    assert two.view("default").moves
    await one.delete("default")
    for catalog in pair:
        view = catalog.view("default")
        assert (view.splits, view.moves, view.hidden) == ((), (), frozenset())
    assert await one.publish("default", split("s1", ("a", 1, 10)))


@pytest.mark.parametrize("seed", range(5))
async def test_a_place_is_found_again_after_any_number_of_moves(pair: tuple[Catalog, Catalog], seed: int) -> None:
    """The model: lines by name, in order. What follows a place is what followed it before, less what was deleted."""
    one, two = pair
    chance = random.Random(seed)
    for number in range(8):
        first = itertools.count(1 + 10 * number)
        runs = [(source, next(first), chance.randrange(1, 4)) for source in chance.sample("abcd", 3)]
        await one.publish("default", split(f"s{number}", *runs))
    views = [two.view("default")]
    for step in range(12):
        view = one.view("default")
        if not view.splits:
            break
        at = chance.randrange(len(view.splits))
        old = view.splits[at : at + chance.randrange(1, 4)]
        if step == 4:
            await one.hide_source("default", "b")
        hidden = one.view("default").hidden if chance.random() < 0.7 else frozenset()
        kept = [run for each in old for run in each.split.sources if run.source_id not in hidden]
        new = search_pb2.Split(id=f"n{step}", sources=kept)
        await one.replace("default", [each.split.id for each in old], new if chance.random() < 0.9 else None)
        views.append(two.view("default"))
    for older, newer in itertools.combinations(views, 2):
        left = set(lines(newer).values())
        for (seq, row), line in lines(older).items():
            for forward in (True, False):
                place = newer.translate(older.generation, seq, row, forward=forward)
                beyond = {name for key, name in lines(newer).items() if (key > place if forward else key < place)}
                was = {
                    name for key, name in lines(older).items() if (key > (seq, row) if forward else key < (seq, row))
                }
                assert beyond == was & left, (older.generation, newer.generation, seq, row, line, forward)


def lines(view: View) -> dict[tuple[int, int], tuple[str, int]]:
    """Every line by its place."""
    found = {}
    for published in view.splits:
        row = 0
        for run in published.split.sources:
            for number in range(run.line_count):
                found[published.seq, row] = (run.source_id, run.first_line + number)
                row += 1
    return found
