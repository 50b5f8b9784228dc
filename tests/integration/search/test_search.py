"""Pages of hits over a real loopback service."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from kit.errors import details_of
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search.index import NO_TIME
from tests.integration.search.conftest import PARENT, Searching, hits_of, texts
from tests.unit.search.splits import EPOCH, Row, Source, lines


async def test_hits_come_newest_first_and_oldest_first_when_asked(searching: Searching) -> None:
    await searching.publish(Source(lines("one a", "two a", "three b")))
    await searching.publish(Source(lines("four a", start=EPOCH + 500_000), "bb"))
    assert texts((await searching.search("a")).hits) == ["two a", "four a", "one a"]
    assert texts((await searching.search("a", order_by="timestamp")).hits) == ["one a", "four a", "two a"]


async def test_a_hit_tells_where_it_stands_and_what_matched(searching: Searching) -> None:
    row = Row("É: Disk  FULL disk_full".encode(), EPOCH + 1, query_pb2.ERROR)
    await searching.publish(Source([*lines("before"), row], "ab12", "archive.zip!/app.log", first_line=7))
    (hit,) = (await searching.search('"disk full" OR é')).hits
    assert (hit.id, hit.record_id, hit.source, hit.line_number) == ("ab12-8", "ab12-8", "archive.zip!/app.log", 8)
    assert hit.timestamp.ToMicroseconds() == EPOCH + 1
    assert hit.level == query_pb2.ERROR
    assert [hit.text[mark.start : mark.end] for mark in hit.highlights] == ["É", "Disk  FULL", "disk_full"]


async def test_lines_of_a_record_share_its_id_also_across_splits(searching: Searching) -> None:
    head = [Row(b"Error: x", EPOCH), Row(b"  at a", EPOCH, starts=False)]
    tail = [Row(b"  at b", EPOCH, starts=False), Row(b"next", EPOCH)]
    await searching.publish(Source(head, "aa", complete=False))
    await searching.publish(Source(tail, "aa", first_line=3))
    hits = (await searching.search(order_by="timestamp")).hits
    assert [hit.record_id for hit in hits] == ["aa-1", "aa-1", "aa-1", "aa-4"]


async def test_total_size_is_exact_and_the_last_page_has_no_token(searching: Searching) -> None:
    await searching.publish(Source(lines(*[f"n{number} x" for number in range(25)])))
    first = await searching.search("x", page_size=10)
    assert (first.total_size, first.total_size_is_estimate, len(first.hits)) == (25, False, 10)
    second = await searching.search("x", page_size=10, page_token=first.next_page_token)
    third = await searching.search("x", page_size=10, page_token=second.next_page_token)
    assert (second.total_size, third.total_size, len(third.hits), third.next_page_token) == (25, 25, 5, "")


@pytest.mark.parametrize("order", ["timestamp desc", "timestamp"])
async def test_pages_and_stream_hold_every_hit_once_in_the_same_order(searching: Searching, order: str) -> None:
    # Three splits with overlapping and equal times, some lines without.
    for part in range(3):
        rows = [
            Row(f"p{part} n{number}".encode(), NO_TIME if number % 5 == 4 else EPOCH + (number // 4 + part) * 1000)
            for number in range(40)
        ]
        await searching.publish(Source(rows, f"a{part}"), segment_rows=16)
    paged = await searching.pages(order_by=order, page_size=7)
    assert len({hit.id for hit in paged}) == 120
    undated = [hit.HasField("timestamp") for hit in paged]
    assert undated == sorted(undated, reverse=True)
    streamed = hits_of(await searching.stream(order_by=order))
    assert [hit.id for hit in streamed] == [hit.id for hit in paged]
    times = [hit.timestamp.ToMicroseconds() for hit in paged if hit.HasField("timestamp")]
    assert times == sorted(times, reverse=order != "timestamp")


async def test_pages_stay_stable_while_new_splits_arrive(searching: Searching) -> None:
    await searching.publish(Source(lines(*[f"old {number}" for number in range(20)])))
    first = await searching.search("old", page_size=8)
    await searching.publish(Source(lines(*["old new"] * 5, start=EPOCH + 10**9), "bb"))
    await searching.publish(Source(lines("old between", start=EPOCH + 15_000_000), "cc"))
    rest = await searching.pages("old NOT new NOT between", page_size=100)
    second = await searching.search("old", page_size=100, page_token=first.next_page_token)
    assert texts([*first.hits, *second.hits]) == texts(rest)
    assert second.total_size == 26


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"parent": "workspaces/UPPER"}, "parent"),
        ({"parent": "default"}, "parent"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 1001}, "page_size"),
        ({"order_by": "level"}, "order_by"),
        ({"query": "a AND"}, "query"),
        ({"page_token": "nonsense!"}, "page_token"),
        ({"page_token": "AAAA"}, "page_token"),
        ({"start_time": {"seconds": 5}, "end_time": {"seconds": 4}}, "start_time"),
        ({"start_time": {"seconds": 2**60}}, "start_time"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_field(searching: Searching, fields: Any, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.search(**fields)
    details = details_of(caught.value)
    assert details.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details.violations] == [field]


async def test_a_syntax_error_shows_the_place(searching: Searching) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.search("(disk full")
    details = details_of(caught.value)
    assert "expected ')'" in details.message
    assert details.message.endswith("(disk full\n          ^")
    assert (details.reason, details.metadata) == ("QUERY_SYNTAX", {"position": "10"})


async def test_a_token_of_another_query_order_or_workspace_is_refused(searching: Searching) -> None:
    await searching.publish(Source(lines("a b", "a b")))
    token = (await searching.search("a", page_size=1)).next_page_token
    for fields in (
        {"query": "b"},
        {"query": "a", "order_by": "timestamp"},
        {"query": "a", "parent": "workspaces/other"},
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await searching.search(page_token=token, **fields)
        assert [violation.field for violation in details_of(caught.value).violations] == ["page_token"]
    # The same question in other words is the same question.
    assert len((await searching.search("(a) a", page_token=token)).hits) == 1


async def test_an_unknown_workspace_is_not_found_and_a_leaving_one_refused(searching: Searching) -> None:
    for name, code in [("unknown", "NOT_FOUND"), ("leaving", "FAILED_PRECONDITION")]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await searching.search(parent=f"workspaces/{name}")
        assert caught.value.code().name == code


async def test_an_existing_workspace_is_asked_for_once_in_a_while_only(searching: Searching) -> None:
    for _ in range(5):
        await searching.search()
    assert searching.workspaces.calls == 1


async def test_what_is_published_can_be_searched_without_the_workspace_service(searching: Searching) -> None:
    searching.workspaces.down = True
    await searching.publish(Source(lines("still here")))
    assert (await searching.search("here")).total_size == 1
    calls = searching.workspaces.calls
    assert (await searching.search("still")).total_size == 1
    # It is left alone for a while.
    assert searching.workspaces.calls == calls
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.search(parent="workspaces/other")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_times_narrow_a_search_and_prune_splits(searching: Searching) -> None:
    for part in range(4):
        await searching.publish(Source(lines("x", "x", start=EPOCH + part * 10_000_000), f"a{part}"))
    page = await searching.search(
        "x", start_time={"seconds": EPOCH // 10**6 + 10}, end_time={"seconds": EPOCH // 10**6 + 21}
    )
    assert page.total_size == 3
    assert (page.stats.splits_searched, page.stats.splits_pruned, page.stats.lines_scanned) == (2, 2, 4)


async def test_a_repeated_search_is_served_from_memory_until_something_is_published(searching: Searching) -> None:
    await searching.publish(Source(lines("x")))
    served = [(await searching.search(query)).stats.served_from for query in ("x", "(x)", "x AND x")]
    await searching.publish(Source(lines("x"), "bb"))
    after = await searching.search("x")
    assert (served, after.stats.served_from, after.total_size) == (["index", "cache", "cache"], "index", 2)


async def test_bytes_that_are_not_utf8_are_shown_and_searched_around(searching: Searching) -> None:
    await searching.publish(Source([Row(b"caf\xe9 \x00bar\r", EPOCH), Row(b"", EPOCH)]))
    page = await searching.search("caf bar")
    assert texts(page.hits) == ["caf\ufffd \x00bar\r"]


async def test_very_long_lines_are_cut_and_pages_made_short_enough_to_send(searching: Searching) -> None:
    rows = [Row(b"long " + b"\xff" * 5_000_000, EPOCH + number) for number in range(3)]
    await searching.publish(Source([*rows, Row(b"long end", EPOCH + 9)]))
    hits = await searching.pages("long")
    assert [(hit.line_number, hit.text_truncated) for hit in hits] == [(4, False), (3, True), (2, True), (1, True)]
    streamed = hits_of(await searching.stream("long"))
    assert streamed == hits
    context = await searching.stub.GetLogContext(search_pb2.GetLogContextRequest(name=f"{PARENT}/logs/aa-2"))
    assert context.hit.line_number == 2


async def test_levels_and_sources_narrow_a_search(searching: Searching) -> None:
    await searching.publish(
        Source([Row(b"a", EPOCH, query_pb2.WARN), Row(b"b", EPOCH, query_pb2.INFO)], "aa", "web/access.log"),
        Source([Row(b"c", EPOCH, query_pb2.FATAL), Row(b"d", EPOCH)], "bb", "db/slow.log"),
    )
    found = {
        query: sorted(texts((await searching.search(query)).hits))
        for query in (
            "level:>=warn",
            "level:info",
            "NOT level:..",
            "source:access",
            "source:.log level:>=warn",
            "source:Web",
        )
    }
    assert found == {
        "level:>=warn": ["a", "c"],
        "level:info": ["b"],
        "NOT level:..": ["d"],
        "source:access": ["a", "b"],
        "source:.log level:>=warn": ["a", "c"],
        "source:Web": [],
    }
