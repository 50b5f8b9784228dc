"""The catalogue of published splits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.errors import ConfigurationError
from loganalyzer.search.v1 import search_pb2
from services.search.catalog import Catalog


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    catalog = Catalog(tmp_path / "search" / "catalog.db")
    await catalog.open()
    yield catalog
    await catalog.close()


def split(name: str, *runs: tuple[str, int, int]) -> search_pb2.Split:
    sources = [
        search_pb2.SplitSource(source_id=source, first_line=first, line_count=count) for source, first, count in runs
    ]
    return search_pb2.Split(id=name, sources=sources)


def ids(catalog: Catalog, workspace: str = "default") -> list[str]:
    return [published.split.id for published in catalog.view(workspace).splits]


async def test_a_split_is_published_once(catalog: Catalog) -> None:
    answers = await asyncio.gather(*(catalog.publish("default", split("s1")) for _ in range(5)))
    assert sorted(answers) == [False] * 4 + [True]
    assert ids(catalog) == ["s1"]


async def test_every_change_makes_a_new_generation_also_over_a_deletion(catalog: Catalog) -> None:
    seen = [catalog.view("default").generation]
    await catalog.publish("default", split("s1"))
    seen.append(catalog.view("default").generation)
    assert await catalog.delete("default") == 1
    seen.append(catalog.view("default").generation)
    assert await catalog.delete("default") == 0
    await catalog.publish("default", split("s1"))
    seen.append(catalog.view("default").generation)
    assert seen == [0, 1, 2, 3]


async def test_everything_is_there_again_after_it_was_opened_anew(catalog: Catalog, tmp_path: Path) -> None:
    await catalog.publish("default", split("s2", ("a", 1, 5)))
    await catalog.publish("default", split("s1"))
    await catalog.publish("other", split("s1"))
    await catalog.delete("other")
    await catalog.close()
    again = Catalog(tmp_path / "search" / "catalog.db")
    await again.open()
    assert (again.view("default"), again.view("other")) == (catalog.view("default"), catalog.view("other"))
    assert again.identity == catalog.identity
    await again.publish("default", split("s3"))
    assert ids(again) == ["s2", "s1", "s3"]
    sequence = [published.seq for published in again.view("default").splits]
    assert sequence == sorted(set(sequence))
    await again.close()


async def test_a_view_is_not_changed_by_what_comes_later(catalog: Catalog) -> None:
    await catalog.publish("default", split("s1"))
    view = catalog.view("default")
    await catalog.delete("default")
    assert [published.split.id for published in view.splits] == ["s1"]


async def test_a_cancelled_publication_is_finished_all_the_same(catalog: Catalog) -> None:
    task = asyncio.create_task(catalog.publish("default", split("s1")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await catalog.close()
    assert ids(catalog) == ["s1"]


async def test_those_who_wait_see_the_next_change_of_their_workspace(catalog: Catalog) -> None:
    waiting = asyncio.create_task(catalog.changed("default", catalog.view("default")))
    await catalog.publish("other", split("s1"))
    assert not waiting.done()
    await catalog.publish("default", split("s1"))
    async with asyncio.timeout(5):
        view = await waiting
    assert [published.split.id for published in view.splits] == ["s1"]


async def test_a_line_is_found_in_the_run_that_holds_it(catalog: Catalog) -> None:
    await catalog.publish("default", split("s1", ("b", 1, 3), ("a", 11, 10)))
    await catalog.publish("default", split("s2", ("a", 1, 10), ("c", 1, 0)))
    view = catalog.view("default")
    found = {line: view.run_of("a", line) for line in (0, 1, 10, 11, 20, 21)}
    assert {line: run and (run.published.split.id, run.first_row) for line, run in found.items()} == {
        0: None,
        1: ("s2", 0),
        10: ("s2", 0),
        11: ("s1", 3),
        20: ("s1", 3),
        21: None,
    }
    assert view.run_of("c", 1) is view.run_of("zz", 1) is None


async def test_what_is_acknowledged_is_on_disk(catalog: Catalog, tmp_path: Path) -> None:
    await catalog.publish("default", split("s1"))
    with sqlite3.connect(tmp_path / "search" / "catalog.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT split_id FROM splits").fetchall() == [("s1",)]
    connection.close()


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="format 99"):
        await Catalog(tmp_path / "catalog.db").open()
