"""Pages of a query whose times are so long ago: they all count from when the first one was asked for."""

from __future__ import annotations

import base64

import grpc
import pytest

from kit.testing import VirtualClock
from loganalyzer.search.v1 import search_pb2
from tests.integration.search.conftest import PARENT, Searching, texts
from tests.integration.search.test_tails import tailing
from tests.unit.search.splits import Row, Source

NOW = 1_700_000_000
#: One line a minute, the newest a minute old.
ROWS = [Row(f"n{minute} x".encode(), (NOW - minute * 60) * 1_000_000) for minute in range(30, 0, -1)]
NEWEST = [f"n{minute} x" for minute in range(1, 16)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(wall=NOW + 0.7)


@pytest.mark.parametrize(
    "query", ["last:15m", "x time:>=-15m", "time:-15m..now x", "time:[now-15m TO *]", "last:15m last:20m"]
)
async def test_a_page_goes_on_where_the_one_before_ended_however_late_it_is_asked_for(
    searching: Searching, clock: VirtualClock, query: str
) -> None:
    await searching.publish(Source(ROWS))
    found, token = list[str](), ""
    for size in (4, 4, 4, 3):
        page = await searching.search(query, page_size=4, page_token=token)
        found += texts(page.hits)
        token = page.next_page_token
        assert (page.total_size, len(page.hits)) == (15, size)
        await clock.advance(61)
    assert (found, token) == (NEWEST, "")
    # Four minutes have passed for who asks anew.
    assert (await searching.search(query, page_size=4)).total_size < 15


async def test_a_stream_and_a_batch_go_on_from_a_token_too(searching: Searching, clock: VirtualClock) -> None:
    await searching.publish(Source(ROWS))
    first = await searching.search("last:15m", page_size=10)
    await clock.advance(3600)
    token = first.next_page_token
    responses = await searching.stream("last:15m", page_token=token)
    assert [hit.text for response in responses for hit in response.hits.hits] == NEWEST[10:]
    request = search_pb2.SearchRequest(query="last:15m", page_token=token)
    batch = search_pb2.BatchSearchRequest(parent=PARENT, requests=[request])
    (result,) = (await searching.stub.BatchSearch(batch)).results
    assert texts(result.response.hits) == NEWEST[10:]


async def test_a_tail_of_the_last_minutes_goes_on(searching: Searching, clock: VirtualClock) -> None:
    async with tailing(searching, "last:15m") as tail:
        await searching.importer.read(Source([Row(b"x later", (NOW + 60) * 1_000_000)]))
        assert await tail.until(1) == ["x later"]


async def test_a_token_holds_for_its_query_and_its_time_only(searching: Searching, clock: VirtualClock) -> None:
    await searching.publish(Source(ROWS))
    token = (await searching.search("last:15m", page_size=10)).next_page_token
    packed = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    packed[16] ^= 1
    moved = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    for query, wrong in (("last:16m", token), ("last:15m", moved), ("x", token)):
        with pytest.raises(grpc.aio.AioRpcError, match="belongs to another query"):
            await searching.search(query, page_token=wrong)
    for size in (1, 9, 16, 17):
        cut = base64.urlsafe_b64encode(packed[:size]).decode().rstrip("=")
        with pytest.raises(grpc.aio.AioRpcError, match="not a token"):
            await searching.search("last:15m", page_token=cut)


async def test_the_token_of_a_query_without_relative_times_is_the_same_at_any_time(
    searching: Searching, clock: VirtualClock
) -> None:
    """Answers are kept by token, and so serve later callers as well."""
    await searching.publish(Source(ROWS))
    for query in ("x", 'x OR "last:15m"', "x OR time:2016-12-19", "x OR known"):
        token = (await searching.search(query, page_size=10)).next_page_token
        await clock.advance(5)
        assert (await searching.search(query, page_size=10)).next_page_token == token
