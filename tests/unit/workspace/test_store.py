"""The database of workspaces and operations."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.errors import ConfigurationError
from services.workspace.store import SCHEMA_VERSION, Operation, Store, Workspace


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "workspaces.db")
    await store.open()
    yield store
    await store.close()


async def test_what_was_created_is_there_after_the_store_was_opened_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "w.db")
    await first.open()
    made = await first.create("team-a", "Team A", now=5)
    await first.close()
    second = Store(tmp_path / "w.db")
    await second.open()
    assert await second.get("team-a") == made == Workspace("team-a", "Team A", 5, 5, None)
    await second.close()


async def test_an_id_is_given_once(store: Store) -> None:
    results = await asyncio.gather(*(store.create("team-a", f"by {n}", now=n) for n in range(5)))
    assert sum(made is not None for made in results) == 1


async def test_lists_are_in_order_of_age_and_go_on_behind_a_position(store: Store) -> None:
    for identifier, now in (("cccc", 1), ("aaaa", 2), ("bbbb", 2), ("dddd", 3)):
        await store.create(identifier, "x", now)
    assert [row.id for row in await store.list_workspaces(3, None)] == ["cccc", "aaaa", "bbbb"]
    assert [row.id for row in await store.list_workspaces(3, (2, "aaaa"))] == ["bbbb", "dddd"]


async def test_a_rename_moves_the_update_time_and_never_backwards(store: Store) -> None:
    await store.create("team-a", "A", now=10)
    assert await store.change("team-a", {"display_name": "B"}, now=20) == Workspace("team-a", "B", 10, 20, None)
    assert await store.change("team-a", {"display_name": "C"}, now=15) == Workspace("team-a", "C", 10, 20, None)
    assert await store.change("nope", {"display_name": "C"}, now=15) is None


async def test_a_deletion_that_began_twice_is_one_operation(store: Store) -> None:
    await store.create("team-a", "A", now=1)
    begun = await asyncio.gather(*(store.begin_deletion("team-a", f"op{n}", now=2 + n) for n in range(4)))
    assert len(set(begun)) == 1
    found = await store.get("team-a")
    assert found is not None
    assert begun[0] is not None
    assert found.operation == begun[0].id
    assert await store.unfinished() == [begun[0]]
    assert await store.change("team-a", {"display_name": "B"}, now=9) == found


async def test_a_finished_deletion_leaves_the_operation_and_no_workspace(store: Store) -> None:
    await store.create("team-a", "A", now=1)
    await store.begin_deletion("team-a", "op1", now=2)
    await store.finish_deletion("op1", now=3)
    await store.finish_deletion("op1", now=4)
    ended = Operation("op1", "team-a", 2, 3)
    assert await store.get("team-a") is None
    assert await store.get_operation("op1") == ended
    assert await store.begin_deletion("team-a", "op2", now=5) == ended
    assert await store.begin_deletion("nope", "op3", now=5) is None


async def test_a_workspace_that_was_made_again_is_deleted_anew(store: Store) -> None:
    await store.create("team-a", "A", now=1)
    await store.begin_deletion("team-a", "op1", now=2)
    await store.finish_deletion("op1", now=3)
    await store.create("team-a", "A again", now=4)
    assert await store.begin_deletion("team-a", "op2", now=5) == Operation("op2", "team-a", 5, None)
    await store.finish_deletion("op1", now=6)
    assert await store.get("team-a") is not None


async def test_only_operations_that_are_done_are_forgotten(store: Store) -> None:
    for number in (1, 2, 3):
        await store.create(f"team-{number}", "x", now=number)
        await store.begin_deletion(f"team-{number}", f"op{number}", now=number)
    await store.finish_deletion("op1", now=10)
    await store.finish_deletion("op2", now=20)
    await store.forget_ended_before(15)
    assert [row.id for row in await store.list_operations(9, None)] == ["op2", "op3"]
    assert await store.forget_operation("op3") == Operation("op3", "team-3", 3, None)
    assert await store.forget_operation("op2") == Operation("op2", "team-2", 2, 20)
    assert [row.id for row in await store.list_operations(9, None)] == ["op3"]
    assert await store.forget_operation("op2") is None


async def test_a_database_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    raw.close()
    with pytest.raises(ConfigurationError, match="newer release"):
        await Store(path).open()
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()


async def test_what_is_acknowledged_is_synced_to_disk(store: Store) -> None:
    async with store.writing() as connection:
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one() == 2
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one() == "wal"


async def test_a_reader_does_not_wait_for_a_writer(store: Store) -> None:
    await store.create("team-a", "A", now=1)
    async with store.writing(), asyncio.timeout(1):
        assert await store.get("team-a") is not None
