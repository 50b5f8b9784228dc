"""Streams: progress, chunks, order, limits, cancellation and tails."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import grpc
import pytest

from loganalyzer.search.v1 import search_pb2
from services.search import plans, split_search, streaming
from tests.integration.search.conftest import PARENT, Searching, hits_of, texts
from tests.unit.search.splits import EPOCH, Source, lines


async def publish_many(searching: Searching, splits: int, each: int) -> None:
    for part in range(splits):
        rows = lines(*[f"p{part} n{number} x" for number in range(each)], start=EPOCH + part * 10**9, step=1000)
        await searching.publish(Source(rows, f"a{part}"))


async def test_a_stream_tells_progress_then_hits_then_done(searching: Searching) -> None:
    await publish_many(searching, 3, 250)
    responses = await searching.stream("x")
    kinds = [response.WhichOneof("event") for response in responses]
    assert (kinds[0], kinds[-1], kinds.count("done")) == ("progress", "done", 1)
    assert max(len(response.hits.hits) for response in responses) == plans.CHUNK
    progress = [response.progress for response in responses if response.HasField("progress")]
    assert [(progress[0].lines_done, progress[0].lines_total), (progress[-1].lines_done)] == [(0, 750), 750]
    done = responses[-1].done
    assert (done.total_size, done.total_size_is_estimate, done.stats.splits_searched) == (750, False, 3)


async def test_progress_comes_at_least_every_ten_thousand_lines(searching: Searching) -> None:
    await publish_many(searching, 2, 30_000)
    seen = [r.progress.lines_done for r in await searching.stream("x") if r.HasField("progress")]
    assert seen == sorted(seen)
    assert max(later - earlier for earlier, later in itertools.pairwise(seen)) <= plans.PROGRESS_LINES + 200


async def test_a_limited_stream_stops_and_says_that_it_does_not_know_the_total(searching: Searching) -> None:
    await publish_many(searching, 3, 250)
    responses = await searching.stream("x", page_size=130)
    assert texts(hits_of(responses))[:2] == ["p2 n249 x", "p2 n248 x"]
    assert len(hits_of(responses)) == 130
    assert (responses[-1].done.total_size, responses[-1].done.total_size_is_estimate) == (130, True)


async def test_a_stream_without_hits_is_done_at_once(searching: Searching) -> None:
    responses = await searching.stream("x")
    assert [response.WhichOneof("event") for response in responses] == ["progress", "progress", "done"]


async def test_only_the_splits_whose_turn_has_come_are_searched(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish_many(searching, 4, 10)
    opened: list[str] = []
    fill = streaming._Cursor.fill

    def recording(cursor: Any) -> None:
        opened.append(cursor.published.split.id)
        fill(cursor)

    monkeypatch.setattr(streaming._Cursor, "fill", recording)
    await searching.stream("x", page_size=15)
    assert list(dict.fromkeys(opened)) == ["s4", "s3"]


async def test_a_cancelled_stream_ends_its_work(searching: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    await publish_many(searching, 1, 30_000)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    check = streaming.stream

    def watched(*arguments: Any) -> Any:
        events = check(*arguments)
        try:
            yield from events
        finally:
            loop.call_soon_threadsafe(ended.set)

    monkeypatch.setattr(split_search, "stream", watched)
    call = searching.stub.StreamSearch(search_pb2.SearchRequest(parent=PARENT, query="x"))
    async for response in call:
        if response.HasField("hits"):
            break
    call.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_a_tail_gives_new_hits_only_and_signs_of_life(searching: Searching) -> None:
    await searching.publish(Source(lines("old x")))
    call = searching.stub.TailLogs(search_pb2.TailLogsRequest(parent=PARENT, query="x"))
    tail = aiter(call)
    async with asyncio.timeout(10):
        assert list((await anext(tail)).hits) == []
        assert list((await anext(tail)).hits) == []  # the heartbeat
        await searching.publish(Source(lines("new x", "other", "newer x"), "bb"))
        found: list[search_pb2.Hit] = []
        async for response in tail:
            found += response.hits
            if len(found) == 2:
                break
    assert texts(found) == ["new x", "newer x"]
    assert [len(hit.highlights) for hit in found] == [1, 1]
    call.cancel()


async def test_a_tail_of_a_workspace_that_goes_away_ends(searching: Searching) -> None:
    call = searching.stub.TailLogs(search_pb2.TailLogsRequest(parent=PARENT))
    tail = aiter(call)
    await anext(tail)
    searching.workspaces.known.clear()
    await searching.stub.DeleteLogs(search_pb2.DeleteLogsRequest(parent=PARENT))
    async with asyncio.timeout(10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in tail:
                pass
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
