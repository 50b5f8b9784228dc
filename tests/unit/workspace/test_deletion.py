"""The background job that deletes workspaces, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.workspace.deletion import FIRST_PAUSE, KEEP_ENDED_US, LONGEST_PAUSE, Deletions, pause
from services.workspace.store import Operation, Store


class EagerClock:
    """Time passes at once when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class Neighbour:
    """A service that fails so many times before it works."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: list[str] = []

    async def delete(self, workspace: str) -> None:
        self.asked.append(workspace)
        if len(self.asked) <= self.failures:
            raise ConnectionError("not there")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "workspaces.db")
    await store.open()
    yield store
    await store.close()


@asynccontextmanager
async def running(deletions: Deletions) -> AsyncIterator[None]:
    task = asyncio.create_task(deletions.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def begun(store: Store, identifier: str = "team-a", operation: str = "op1") -> Operation:
    await store.create(identifier, "x", now=1)
    found = await store.begin_deletion(identifier, operation, now=2)
    assert found is not None
    return found


async def test_a_deletion_empties_the_workspace_step_by_step_and_then_removes_it(store: Store) -> None:
    order: list[str] = []

    async def first(name: str) -> None:
        order.append(f"imports of {name}")

    async def second(name: str) -> None:
        order.append(f"logs of {name}")
        found = await store.get("team-a")
        assert found is not None
        assert found.operation == "op1"

    clock = EagerClock()
    deletions = Deletions(store, (first, second), clock=clock)
    async with running(deletions):
        deletions.submit(await begun(store))
        await deletions.wait("op1", timeout=10)
    assert order == ["imports of workspaces/team-a", "logs of workspaces/team-a"]
    assert await store.get("team-a") is None
    assert await store.get_operation("op1") == Operation("op1", "team-a", 2, round(clock.time * 1e6))


async def test_it_is_tried_again_from_the_first_step_with_growing_pauses_until_it_works(store: Store) -> None:
    imports, logs, clock = Neighbour(failures=2), Neighbour(failures=1), EagerClock()
    deletions = Deletions(store, (imports.delete, logs.delete), clock=clock)
    async with running(deletions):
        deletions.submit(await begun(store))
        await deletions.wait("op1", timeout=10)
    assert (len(imports.asked), len(logs.asked)) == (4, 2)
    assert clock.slept == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert await store.get("team-a") is None


async def test_what_an_earlier_process_left_is_carried_out_at_the_start(store: Store) -> None:
    await begun(store, "team-a", "op1")
    await begun(store, "team-b", "op2")
    neighbour = Neighbour()
    deletions = Deletions(store, (neighbour.delete,), clock=EagerClock())
    async with running(deletions), asyncio.timeout(10):
        while await store.unfinished():  # noqa: ASYNC110 - the store sets no Event
            await asyncio.sleep(0)
    assert sorted(neighbour.asked) == ["workspaces/team-a", "workspaces/team-b"]


async def test_an_operation_that_is_submitted_twice_is_carried_out_once(store: Store) -> None:
    neighbour = Neighbour()
    deletions = Deletions(store, (neighbour.delete,), clock=EagerClock())
    operation = await begun(store)
    deletions.submit(operation)
    async with running(deletions):
        deletions.submit(operation)
        await deletions.wait("op1", timeout=10)
    assert neighbour.asked == ["workspaces/team-a"]


async def test_one_that_never_works_does_not_hold_up_the_others(store: Store) -> None:
    async def only_b(name: str) -> None:
        if name == "workspaces/team-a":
            raise ConnectionError("never")

    deletions = Deletions(store, (only_b,), clock=EagerClock())
    async with running(deletions):
        deletions.submit(await begun(store, "team-a", "op1"))
        deletions.submit(await begun(store, "team-b", "op2"))
        await deletions.wait("op2", timeout=10)
    assert [row.id for row in await store.unfinished()] == ["op1"]


async def test_waiting_ends_with_the_time_when_the_deletion_does_not(store: Store) -> None:
    deletions = Deletions(store, (), clock=EagerClock())
    deletions.submit(await begun(store))
    await deletions.wait("op1", timeout=0)
    await deletions.wait("unknown", timeout=60)


async def test_operations_are_forgotten_a_week_after_they_ended(store: Store) -> None:
    clock = EagerClock()
    now = round(clock.time * 1e6)
    for number, end in ((1, now - KEEP_ENDED_US - 1), (2, now - KEEP_ENDED_US)):
        await begun(store, f"team-{number}", f"op{number}")
        await store.finish_deletion(f"op{number}", end)
    deletions = Deletions(store, (), clock=clock)
    async with running(deletions):
        deletions.submit(await begun(store, "team-c", "op3"))
        await deletions.wait("op3", timeout=10)
    assert [row.id for row in await store.list_operations(9, None)] == ["op2", "op3"]


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause(n) for n in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, LONGEST_PAUSE, LONGEST_PAUSE]
