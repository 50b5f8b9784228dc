"""Orders, ties, lines without a time, pages, counts, aggregates, streams: as the oracle has them."""

from __future__ import annotations

import itertools

import pytest

from kit.errors import InvalidArgument, StatusError, Unimplemented
from services.search.bars import Bars
from services.search.plans import CHUNK, PROGRESS_LINES
from services.search.scan_index import ScanIndex
from services.search.seam import Done, Hits, Order, Progress, ValuesWanted, nodes_of
from services.search.split_index import ALL_NODES
from tests.conformance.log_index.conftest import T0, WORKSPACE, Backend, Run, plan, world

QUERIES = [
    "",
    "disk",
    "disk full",
    "disk OR retry",
    '"disk full"',
    "NOT disk",
    "level:>=warn",
    "disk NOT level:error",
    "source:aa",
    "user:x",
    "nowhere",
    "tim*",
    "/us[e]r=x n[0-9]$/",
    "time:>=2001-09-09T01:46:45Z",
]


def shown(lines: object) -> list[tuple[object, ...]]:
    """All of the lines but their places, which are the backend's own."""
    return [
        (line.source_id, line.source, line.number, line.raw, line.time, line.level, line.record)
        for line in lines  # type: ignore[attr-defined]
    ]


async def filled(*backends: Backend, seed: int = 7) -> None:
    for runs in world(seed):
        for backend in backends:
            await backend.write(*runs)


@pytest.mark.parametrize("order", list(Order))
async def test_pages_hold_every_hit_once_and_in_order(backend: Backend, oracle: Backend, order: Order) -> None:
    await filled(backend, oracle)
    for query in QUERIES:
        expected = await oracle.answer(query, order=order)
        assert shown(await backend.every(query, order, 7)) == shown(expected.lines), query
        found = await backend.answer(query, order=order, limit=3, count=True)
        assert (found.done.total, found.done.exact) == (len(expected.lines), True), query
        assert found.done.more == (len(expected.lines) > 3), query
        assert (await backend.answer(query, limit=0)).done.total == len(expected.lines), query


@pytest.mark.parametrize("order", list(Order))
async def test_a_stream_gives_what_pages_give(backend: Backend, order: Order) -> None:
    await filled(backend)
    for query in QUERIES:
        await _streams(backend, query, order)


async def _streams(backend: Backend, query: str, order: Order) -> None:
    events = [event async for event in backend.index.search(backend.now(), plan(query, order=order))]
    assert isinstance(events[0], Progress)
    done = events[-1]
    assert isinstance(done, Done)
    chunks = [event.lines for event in events if isinstance(event, Hits)]
    assert all(1 <= len(chunk) <= CHUNK for chunk in chunks)
    lines = list(itertools.chain(*chunks))
    assert lines == await backend.every(query, order, 1000)
    assert (done.total, done.exact, done.more) == (len(lines), True, False)
    progress = [event.done for event in events if isinstance(event, Progress)]
    assert progress == sorted(progress)


async def test_a_stream_with_a_limit_ends_there(backend: Backend) -> None:
    await filled(backend)
    lines = await backend.every()
    found = await backend.answer(limit=5)
    assert list(found.lines) == lines[:5]
    assert (found.done.total, found.done.exact, found.done.more) == (5, False, True)
    following = await backend.answer(limit=5, after=found.lines[-1].place)
    assert list(following.lines) == lines[5:10]


async def test_progress_comes_every_ten_thousand_lines_and_chunks_hold_a_hundred(backend: Backend) -> None:
    lines = [(b"x", T0 + number, 0, True) for number in range(25_000)]
    await backend.write(Run("aa", "a", lines))
    events = [event async for event in backend.index.search(backend.now(), plan("x"))]
    progress = [event.done for event in events if isinstance(event, Progress)]
    assert max(later - earlier for earlier, later in itertools.pairwise(progress)) <= PROGRESS_LINES + CHUNK
    assert (progress[0], progress[-1]) == (0, 25_000)


async def test_bars_count_lines_by_time_and_level(backend: Backend, oracle: Backend) -> None:
    await filled(backend, oracle)
    wanted = {"limit": 0, "histogram": Bars(T0 - 1_000_000, 3_000_000, 4)}
    for query in QUERIES:
        found, expected = await backend.answer(query, **wanted), await oracle.answer(query, **wanted)
        assert found.aggregates is not None
        assert expected.aggregates is not None
        assert found.aggregates.histogram == expected.aggregates.histogram, query
        assert found.done.total == expected.done.total, query


async def test_top_values_are_counted_by_lines(backend: Backend, oracle: Backend) -> None:
    await filled(backend, oracle)
    for query, field in itertools.product(["", "disk", "user:x OR user:y"], ["level", "source", "user", "nothing"]):
        wanted = {"limit": 0, "top_values": ValuesWanted(field, 2)}
        found, expected = await backend.answer(query, **wanted), await oracle.answer(query, **wanted)
        assert found.aggregates is not None
        assert expected.aggregates is not None
        assert found.aggregates.top_values == expected.aggregates.top_values, (query, field)


async def test_many_searches_are_answered_in_their_order_and_fail_alone(backend: Backend) -> None:
    await filled(backend)
    plans = [
        plan("disk", limit=2, count=True),
        plan("full", limit=2, count=True, after=b"\xff"),
        plan("retry", limit=0),
    ]
    first, wrong, last = await backend.index.answers(backend.now(), plans)
    assert isinstance(wrong, StatusError)
    assert isinstance(wrong, InvalidArgument)
    assert first == await backend.index.answer(backend.now(), plans[0]) or not isinstance(first, StatusError)
    assert not isinstance(last, StatusError)
    assert last.done.total == len(await backend.every("retry"))


async def test_a_plan_beyond_the_capabilities_is_refused_before_anything_is_searched(backend: Backend) -> None:
    assert backend.index.capabilities.nodes == ALL_NODES
    assert set(nodes_of(plan("a OR NOT user:x").query)) == {"or", "term", "not", "field"}
    poor = ScanIndex(frozenset({"all", "term", "and"}))
    snapshot = poor.snapshot(WORKSPACE)
    for query, lacking in (("a OR b", "or"), ("a NOT b", "not"), ("a /c[xy]/", "regex")):
        with pytest.raises(Unimplemented, match=lacking):
            await anext(poor.search(snapshot, plan(query)))
    assert (await poor.answer(snapshot, plan("a b"))).done.total == 0
    answers = await poor.answers(snapshot, [plan("a"), plan("a OR b"), plan("b")])
    assert [isinstance(answer, Unimplemented) for answer in answers] == [False, True, False]


async def test_a_plan_is_explained(backend: Backend) -> None:
    await filled(backend)
    found = await backend.index.explain(backend.now(), plan("disk user:x").query)
    total = (await backend.answer("disk user:x", limit=0)).done.total
    assert total <= found.candidates <= backend.now().line_count
    assert found.reads
    assert found.steps
