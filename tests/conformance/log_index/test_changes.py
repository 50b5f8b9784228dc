"""What is published, replaced, deleted: what a snapshot, a place and a deletion mean."""

from __future__ import annotations

import asyncio
import random

import pytest

from services.search.seam import Hits, LogLine, Order
from tests.conformance.log_index.conftest import T0, WORKSPACE, Backend, Run, plan, world
from tests.conformance.log_index.test_searches import filled, shown


async def test_what_is_published_is_found_by_the_next_look_and_not_by_an_earlier_one(backend: Backend) -> None:
    before = backend.now()
    assert before.line_count == 0
    assert await backend.write(Run("aa", "a.log", [(b"x", T0, 3, True)]))
    after = backend.now()
    assert (after.line_count, after.low, after.high) == (1, T0, T0)
    assert before.token != after.token
    assert (await backend.index.answer(before, plan("x", limit=0))).done.total == 0
    assert (await backend.index.answer(after, plan("x", limit=0))).done.total == 1
    assert backend.now().token == after.token


async def test_a_batch_is_published_once(backend: Backend) -> None:
    writer = backend.index.writer(WORKSPACE, "once")
    batch = writer.finish()
    assert await backend.index.publish(WORKSPACE, batch)
    token = backend.now().token
    assert not await backend.index.publish(WORKSPACE, batch)
    assert backend.now().token == token


async def test_those_who_wait_see_the_next_change(backend: Backend) -> None:
    waiting = asyncio.create_task(backend.index.changed(backend.now()))
    await asyncio.sleep(0)
    await backend.write(Run("aa", "a.log", [(b"x", T0, 3, True)]))
    async with asyncio.timeout(5):
        assert (await waiting).line_count == 1


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("seed", range(3))
async def test_pages_go_on_where_they_were_while_batches_come_and_are_joined(
    backend: Backend, oracle: Backend, order: Order, seed: int
) -> None:
    """Every line that was there at the beginning is found once, in order, unless it was deleted meanwhile."""
    batches, chance = world(seed), random.Random(seed)
    for runs in batches[:3]:
        await backend.write(*runs)
        await oracle.write(*runs)
    first = await oracle.answer("", order=order)
    pages: list[LogLine] = []
    found = await backend.answer("", order=order, limit=4, count=True)
    pages += found.lines
    step = 0
    while found.done.more:
        if step < 2:
            await backend.write(*batches[3 + step])
        elif step == 3:
            await backend.index.delete_source(WORKSPACE, "bb")
        elif step % 2 == 0 and backend.catalog is not None and len(backend.splits) > 1:
            at = chance.randrange(len(backend.splits) - 1)
            await backend.compact(at, at + 2)
        step += 1
        found = await backend.answer("", order=order, limit=4, count=True, after=pages[-1].place)
        pages += found.lines
    keys = [(line.source_id, line.number) for line in pages]
    assert len(keys) == len(set(keys))
    expected = [line for line in first.lines if line.source_id != "bb" or (line.source_id, line.number) in keys]
    known = {(line.source_id, line.number) for line in expected}
    assert shown(line for line in pages if (line.source_id, line.number) in known) == shown(expected)
    assert {key for key in known if key[0] != "bb"} <= set(keys)


async def test_a_search_goes_on_when_its_splits_are_joined_and_their_folders_removed(backend: Backend) -> None:
    for part in range(4):
        lines = [(f"x {number}".encode(), T0 + part * 1000 + number, 0, True) for number in range(150)]
        await backend.write(Run(f"s{part}", "a", lines))
    found: list[LogLine] = []
    async for event in backend.index.search(backend.now(), plan("x", order=Order.OLDEST)):
        if isinstance(event, Hits):
            found += event.lines
            if len(found) == 100:
                await backend.compact(1, 3)
                await backend.compact(1, 3)
    assert [(line.source_id, line.number) for line in found] == [
        (f"s{part}", number) for part in range(4) for number in range(1, 151)
    ]


async def test_an_old_snapshot_is_answered_after_its_splits_are_gone(backend: Backend) -> None:
    await filled(backend)
    snapshot = backend.now()
    before = await backend.index.answer(snapshot, plan("disk", limit=1000, count=True))
    await backend.compact(0, 2)
    await backend.write(Run("zz", "z.log", [(b"disk", T0, 3, True)]))
    after = await backend.index.answer(snapshot, plan("disk", limit=1000, count=True))
    assert shown(after.lines) == shown(before.lines)
    assert after.done.total == before.done.total


async def test_lines_since_a_snapshot_are_those_that_it_does_not_hold(backend: Backend) -> None:
    batches = world()
    await backend.write(*batches[0])
    await backend.write(*batches[1])
    since = backend.now()
    await backend.write(*batches[2])
    await backend.write(*batches[3])
    await backend.compact(1, 3)
    found = await backend.index.answer(backend.now(), plan("", since=since, order=Order.OLDEST))
    new = {
        (run.source_id, run.first_line + at) for runs in batches[2:4] for run in runs for at in range(len(run.lines))
    }
    assert {(line.source_id, line.number) for line in found.lines} == new
    assert len(found.lines) == len(new)
    for source_id, number in new:
        assert backend.index.holds(backend.now(), source_id, number)
        assert not backend.index.holds(since, source_id, number)


async def test_a_deleted_source_is_found_by_nothing(backend: Backend, oracle: Backend) -> None:
    await filled(backend, oracle)
    before = await oracle.answer("")
    gone = sum(line.source_id == "aa" for line in before.lines)
    assert gone
    assert await backend.index.delete_source(WORKSPACE, "aa") == gone
    assert await backend.index.delete_source(WORKSPACE, "aa") == 0
    await oracle.index.delete_source(WORKSPACE, "aa")
    for _ in range(2):
        snapshot = backend.now()
        assert snapshot.line_count == len(before.lines) - gone
        for query in ("", "disk", "NOT disk", "level:>=info"):
            assert shown(await backend.every(query)) == shown((await oracle.answer(query)).lines)
        assert await backend.index.context(snapshot, "aa", 1, 1, 1) == []
        assert [source.source_id for source in backend.index.sources(snapshot)] == ["bb", "cc"]
        assert backend.index.stats(snapshot).line_count == snapshot.line_count
        # Once more when it was taken out of the splits for good.
        await backend.compact(0, 5)


async def test_a_deletion_leaves_nothing_and_what_comes_later_is_found(backend: Backend) -> None:
    await filled(backend)
    assert await backend.index.delete(WORKSPACE) == 5
    assert await backend.index.delete(WORKSPACE) == 0
    snapshot = backend.now()
    assert (snapshot.line_count, list(backend.index.sources(snapshot))) == (0, [])
    await backend.write(Run("aa", "a.log", [(b"x", T0, 3, True)]), batch_id="again")
    assert len(await backend.every()) == 1


async def test_context_crosses_batches_and_keeps_records_together(backend: Backend, oracle: Backend) -> None:
    await filled(backend, oracle)
    for source in ("aa", "bb", "cc"):
        lines = sorted(
            (line for line in (await oracle.answer("")).lines if line.source_id == source), key=lambda line: line.number
        )
        for number in (1, len(lines) // 2, len(lines)):
            found = await backend.index.context(backend.now(), source, number, 4, 6)
            assert shown(found) == shown(lines[max(0, number - 5) : number + 6])
            single = await backend.index.fetch(backend.now(), source, number)
            assert shown([single]) == shown([lines[number - 1]])
    assert await backend.index.fetch(backend.now(), "aa", 10_000) is None
    assert await backend.index.fetch(backend.now(), "unknown", 1) is None


async def test_sources_and_figures_are_those_of_the_lines(backend: Backend, oracle: Backend) -> None:
    await filled(backend, oracle)
    assert backend.index.sources(backend.now()) == oracle.index.sources(oracle.now())
    found, expected = backend.index.stats(backend.now()), oracle.index.stats(oracle.now())
    assert (found.line_count, found.low, found.high) == (expected.line_count, expected.low, expected.high)
