"""The saved queries in the database, and the way up from the file of an older release."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.workspace.saved import Refusal, SavedQueries, SavedQuery
from services.workspace.store import SCHEMA_VERSION, Operation, Store, Workspace

SLOW = SavedQuery("team-a", "q1aa", "Slow calls", "latency:>500", "timestamp desc", 5, 5)

#: The schema of version 1 as that release wrote it, with what was in it.
VERSION_1 = """
CREATE TABLE workspaces (
    id VARCHAR(63) NOT NULL, display_name VARCHAR(200) NOT NULL, create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL, operation VARCHAR(32), PRIMARY KEY (id)
);
CREATE INDEX workspaces_by_age ON workspaces (create_time, id);
CREATE TABLE operations (
    id VARCHAR(32) NOT NULL, workspace VARCHAR(63) NOT NULL, create_time BIGINT NOT NULL, end_time BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX operations_by_age ON operations (create_time, id);
CREATE INDEX operations_by_workspace ON operations (workspace);
INSERT INTO workspaces VALUES ('team-a', 'Team A', 5, 6, NULL), ('team-b', 'Team B', 7, 7, 'op1');
INSERT INTO operations VALUES ('op1', 'team-b', 8, NULL);
PRAGMA user_version = 1;
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "workspaces.db")
    await store.open()
    await store.create("team-a", "A", now=1)
    await store.create("team-b", "B", now=2)
    yield store
    await store.close()


@pytest.fixture
def saved(store: Store) -> SavedQueries:
    return SavedQueries(store)


async def test_a_file_of_version_1_keeps_what_is_in_it_and_can_do_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    raw = sqlite3.connect(path)
    raw.executescript(VERSION_1)
    raw.close()
    for _ in range(2):
        store = Store(path)
        await store.open()
        assert await store.list_workspaces(9, None) == [
            Workspace("team-a", "Team A", 5, 6, None),
            Workspace("team-b", "Team B", 7, 7, "op1"),
        ]
        assert await store.unfinished() == [Operation("op1", "team-b", 8, None)]
        await store.close()
    await store.open()
    assert await SavedQueries(store).create(SLOW) is None
    changed = await store.change("team-a", {"max_age": 9, "max_bytes": 10}, now=20)
    assert changed == Workspace("team-a", "Team A", 5, 20, None, 9, 10)
    assert await store.get("team-a") == changed
    await store.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    raw.close()


async def test_a_new_file_has_the_columns_of_one_that_was_brought_up(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    raw = sqlite3.connect(old)
    raw.executescript(VERSION_1)
    raw.close()
    shapes = []
    for path in (old, tmp_path / "new.db"):
        store = Store(path)
        await store.open()
        await store.close()
        raw = sqlite3.connect(path)
        tables = ("workspaces", "operations", "saved_queries")
        shapes.append([[row[:4] for row in raw.execute(f"PRAGMA table_info({table})")] for table in tables])
        raw.close()
    assert shapes[0] == shapes[1]


async def test_a_saved_query_is_there_for_its_workspace_only(saved: SavedQueries) -> None:
    assert await saved.create(SLOW) is None
    assert await saved.get("team-a", "q1aa") == SLOW
    assert await saved.get("team-b", "q1aa") is None
    assert await saved.page("team-b", 9, None) == []
    assert await saved.page("nope", 9, None) is None
    assert await saved.create(replace(SLOW, workspace="team-b")) is None


async def test_a_name_is_given_once_in_a_workspace_also_when_many_want_it(saved: SavedQueries) -> None:
    answers = await asyncio.gather(*(saved.create(replace(SLOW, id=f"q{n}aa")) for n in range(5)))
    assert sorted(str(answer) for answer in answers) == sorted(["None", *["Refusal.NAME_TAKEN"] * 4])
    assert await saved.create(replace(SLOW, display_name="Other", id=(await _only(saved)).id)) is Refusal.ID_TAKEN


async def _only(saved: SavedQueries) -> SavedQuery:
    (row,) = await saved.page("team-a", 9, None) or []
    return row


async def test_pages_are_in_order_of_the_names(saved: SavedQueries) -> None:
    for number, name in enumerate(("delta", "alpha", "Bravo", "charlie")):
        await saved.create(replace(SLOW, id=f"q{number}aa", display_name=name))
    first = await saved.page("team-a", 2, None) or []
    rest = await saved.page("team-a", 9, first[-1].display_name) or []
    assert [row.display_name for row in (*first, *rest)] == ["Bravo", "alpha", "charlie", "delta"]


async def test_a_change_moves_the_update_time_and_never_backwards(saved: SavedQueries) -> None:
    await saved.create(SLOW)
    assert await saved.change("team-a", "q1aa", {"query": "x"}, 20) == replace(SLOW, query="x", update_time=20)
    assert await saved.change("team-a", "q1aa", {"query": "x"}, 30) == replace(SLOW, query="x", update_time=20)
    assert await saved.change("team-a", "q1aa", {"query": "y"}, 15) == replace(SLOW, query="y", update_time=20)
    assert await saved.change("team-a", "nope", {"query": "y"}, 15) is Refusal.NOT_FOUND


async def test_a_name_that_another_one_has_cannot_be_taken_but_its_own_can_be_kept(saved: SavedQueries) -> None:
    await saved.create(SLOW)
    await saved.create(replace(SLOW, id="q2aa", display_name="Other"))
    assert await saved.change("team-a", "q2aa", {"display_name": "Slow calls"}, 9) is Refusal.NAME_TAKEN
    kept = await saved.change("team-a", "q1aa", {"display_name": "Slow calls", "query": "y"}, 9)
    assert kept == replace(SLOW, query="y", update_time=9)


async def test_a_deleted_one_is_gone_and_its_name_is_free(saved: SavedQueries) -> None:
    await saved.create(SLOW)
    assert await saved.delete("team-a", "q1aa")
    assert not await saved.delete("team-a", "q1aa")
    assert await saved.create(replace(SLOW, id="q2aa")) is None


async def test_they_go_with_their_workspace_and_not_with_another(store: Store, saved: SavedQueries) -> None:
    await saved.create(SLOW)
    await saved.create(replace(SLOW, workspace="team-b"))
    await store.begin_deletion("team-a", "op1", now=3)
    assert await saved.create(replace(SLOW, id="q2aa", display_name="x")) is Refusal.DELETING
    assert await saved.change("team-a", "q1aa", {"query": "x"}, 9) is Refusal.DELETING
    await store.finish_deletion("op1", now=4)
    await store.create("team-a", "A again", now=5)
    assert await saved.page("team-a", 9, None) == []
    assert len(await saved.page("team-b", 9, None) or []) == 1
