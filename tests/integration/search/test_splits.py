"""Publishing, listing and deleting splits, and what is made of lines beside hits: context, histogram, figures."""

from __future__ import annotations

import asyncio
import itertools
import threading
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import kit
from kit.errors import details_of
from loganalyzer.search.v1 import query_pb2, search_pb2, search_pb2_grpc
from services.search.app import build
from services.search.catalog import Published
from services.search.index.split import SplitReader
from services.search.library import Library
from tests.integration.search.conftest import PARENT, Searching, texts
from tests.unit.search.splits import EPOCH, Row, Source, lines, write_split


async def test_publishing_twice_changes_nothing(searching: Searching) -> None:
    split = await searching.publish(Source(lines("x")))
    request = search_pb2.PublishSplitRequest(parent=PARENT, split=split)
    again = await asyncio.gather(*(searching.stub.PublishSplit(request) for _ in range(4)))
    assert [answer.already_published for answer in again] == [True] * 4
    assert (await searching.search("x")).total_size == 1


async def test_publishing_at_the_same_moment_publishes_once(searching: Searching) -> None:
    split = write_split(searching.config.splits, [Source(lines("x"))])
    request = search_pb2.PublishSplitRequest(parent=PARENT, split=split)
    answers = await asyncio.gather(*(searching.stub.PublishSplit(request) for _ in range(8)))
    assert sorted(answer.already_published for answer in answers) == [False] + [True] * 7
    assert (await searching.search("x")).total_size == 1


async def test_a_split_that_is_not_there_or_differs_or_is_damaged_is_refused(searching: Searching) -> None:
    split = write_split(searching.config.splits, [Source(lines("x"))])
    missing, other, newer = search_pb2.Split(), search_pb2.Split(), search_pb2.Split()
    for copy in (missing, other, newer):
        copy.CopyFrom(split)
    missing.id, other.line_count, newer.schema_version = "s2", 5, 99
    for wrong in (missing, other, newer):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await searching.stub.PublishSplit(search_pb2.PublishSplitRequest(parent=PARENT, split=wrong))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert [violation.field for violation in details_of(caught.value).violations] == ["split"]
    (searching.config.splits / "default" / "s1" / "raw.idx").unlink()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.stub.PublishSplit(search_pb2.PublishSplitRequest(parent=PARENT, split=split))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_split_id_cannot_lead_out_of_the_folder(searching: Searching) -> None:
    for split_id in ("../default/s1", ".tmp-s1", "", "a/b"):
        split = search_pb2.Split(id=split_id, schema_version=1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await searching.stub.PublishSplit(search_pb2.PublishSplitRequest(parent=PARENT, split=split))
        assert "not a split id" in (caught.value.details() or "")


async def test_published_splits_are_there_after_a_restart_and_other_folders_are_left_alone(
    searching: Searching, tmp_path: Path
) -> None:
    await searching.publish(Source(lines("kept x")))
    write_split(searching.config.splits, [Source(lines("not published x"))], split_id="s9")
    await searching.server.stop()
    server = build(searching.config)
    async with server, kit.channel(server.address) as channel:
        stub = search_pb2_grpc.SearchServiceStub(channel)
        page = await stub.Search(search_pb2.SearchRequest(parent=PARENT, query="x"))
    assert texts(page.hits) == ["kept x"]
    assert (searching.config.splits / "default" / "s9").is_dir()


async def test_splits_are_listed_in_pages_and_by_import(searching: Searching) -> None:
    for number in range(5):
        name = f"{PARENT}/imports/{'even' if number % 2 == 0 else 'odd'}"
        await searching.publish(Source(lines("x"), f"a{number}", import_name=name))
    listed: list[str] = []
    token = ""
    while True:
        request = search_pb2.ListSplitsRequest(parent=PARENT, page_size=2, page_token=token)
        page = await searching.stub.ListSplits(request)
        listed += [split.id for split in page.splits]
        token = page.next_page_token
        if not token:
            break
    odd = await searching.stub.ListSplits(
        search_pb2.ListSplitsRequest(parent=PARENT, import_name=f"{PARENT}/imports/odd")
    )
    assert (listed, [split.id for split in odd.splits]) == (["s1", "s2", "s3", "s4", "s5"], ["s2", "s4"])
    assert odd.splits[0] == searching.published[1]


async def test_deleting_removes_rows_and_folders_of_that_workspace_only(searching: Searching) -> None:
    await searching.publish(Source(lines("x")))
    await searching.publish(Source(lines("x")), workspace="other")
    await searching.search("x")
    answers = [
        (await searching.stub.DeleteLogs(search_pb2.DeleteLogsRequest(parent=PARENT))).split_count for _ in range(2)
    ]
    assert answers == [1, 0]
    assert not (searching.config.splits / "default").exists()
    assert (await searching.search("x")).total_size == 0
    assert (await searching.search("x", parent="workspaces/other")).total_size == 1


async def test_a_damaged_split_is_data_loss_and_not_an_empty_answer(searching: Searching) -> None:
    await searching.publish(Source(lines("x")))
    await searching.server.stop()
    (searching.config.splits / "default" / "s1" / "meta.json").write_text("{")
    server = build(searching.config)
    async with server, kit.channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await search_pb2_grpc.SearchServiceStub(channel).Search(search_pb2.SearchRequest(parent=PARENT))
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS


async def test_context_gives_the_neighbours_in_the_source_across_splits(searching: Searching) -> None:
    await searching.publish(
        Source(lines(*[f"other {number}" for number in range(9)]), "bb"),
        Source(lines(*[f"line {number}" for number in range(1, 8)]), "aa", complete=False),
    )
    await searching.publish(Source(lines(*[f"line {number}" for number in range(8, 13)]), "aa", first_line=8))

    async def context(line: int, **sides: int) -> list[list[str]]:
        request = search_pb2.GetLogContextRequest(name=f"{PARENT}/logs/aa-{line}", **sides)
        found = await searching.stub.GetLogContext(request)
        return [texts(found.before), [found.hit.text], texts(found.after)]

    assert await context(8, before=2, after=2) == [["line 6", "line 7"], ["line 8"], ["line 9", "line 10"]]
    assert await context(7, before=0, after=1) == [[], ["line 7"], ["line 8"]]
    assert await context(2) == [["line 1"], ["line 2"], [f"line {number}" for number in range(3, 8)]]
    assert await context(12) == [[f"line {number}" for number in range(7, 12)], ["line 12"], []]


@pytest.mark.parametrize(
    ("name", "sides", "code"),
    [
        (f"{PARENT}/logs/aa-99", {}, "NOT_FOUND"),
        (f"{PARENT}/logs/zz-1", {}, "NOT_FOUND"),
        ("workspaces/unknown/logs/aa-1", {}, "NOT_FOUND"),
        (f"{PARENT}/logs/aa", {}, "INVALID_ARGUMENT"),
        (f"{PARENT}/logs/aa-0", {}, "INVALID_ARGUMENT"),
        (f"{PARENT}/logs/aa-1", {"before": 501}, "INVALID_ARGUMENT"),
        (f"{PARENT}/logs/aa-1", {"after": -1}, "INVALID_ARGUMENT"),
    ],
)
async def test_a_wrong_context_is_refused(searching: Searching, name: str, sides: dict[str, int], code: str) -> None:
    await searching.publish(Source(lines("x")))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.stub.GetLogContext(search_pb2.GetLogContextRequest(name=name, **sides))
    assert caught.value.code().name == code


async def test_a_histogram_sums_up_to_the_lines_that_match(searching: Searching) -> None:
    rows = [Row(b"x", EPOCH + number * 60_000_000, number % 3 + 4) for number in range(200)]
    await searching.publish(Source([*rows[:120], Row(b"x undated", level=query_pb2.WARN)]))
    await searching.publish(Source([*rows[120:], Row(b"y", EPOCH)], "bb"))
    found = await searching.stub.GetHistogram(search_pb2.GetHistogramRequest(parent=PARENT, query="x", bucket_count=21))
    assert found.bucket_width.seconds == 600
    assert (found.total_size, found.undated_count) == (201, 1)
    assert sum(bucket.count for bucket in found.buckets) == 200
    assert len(found.buckets) <= 21
    for bucket in found.buckets:
        assert bucket.start_time.seconds % 600 == 0
        assert sum(level.count for level in bucket.levels) == bucket.count
    steps = {
        later.start_time.seconds - earlier.start_time.seconds for earlier, later in itertools.pairwise(found.buckets)
    }
    assert steps == {600}


async def test_a_histogram_covers_only_the_times_that_are_asked_for(searching: Searching) -> None:
    await searching.publish(Source([Row(b"x", EPOCH + number * 60_000_000) for number in range(200)] + [Row(b"x")]))
    request = search_pb2.GetHistogramRequest(
        parent=PARENT,
        start_time=Timestamp(seconds=EPOCH // 10**6 + 600),
        end_time=Timestamp(seconds=EPOCH // 10**6 + 1200),
    )
    found = await searching.stub.GetHistogram(request)
    assert (found.total_size, found.undated_count, sum(b.count for b in found.buckets)) == (10, 0, 10)
    assert found.buckets[0].start_time.seconds == EPOCH // 10**6 + 600


async def test_a_histogram_of_nothing_has_no_bars(searching: Searching) -> None:
    await searching.publish(Source([Row(b"undated")]))
    found = await searching.stub.GetHistogram(search_pb2.GetHistogramRequest(parent=PARENT))
    assert (len(found.buckets), found.total_size, found.undated_count) == (0, 1, 1)


async def test_figures_of_a_workspace_are_the_sums_of_its_splits(searching: Searching) -> None:
    await searching.publish(Source(lines("abc", "de")))
    await searching.publish(Source(lines("f", start=EPOCH + 10**9), "bb"))
    await searching.publish(Source([Row(b"undated")], "cc"))
    stats = await searching.stub.GetLogStats(search_pb2.GetLogStatsRequest(parent=PARENT))
    assert (stats.line_count, stats.raw_bytes, stats.split_count) == (4, 4 + 3 + 2 + 8, 3)
    assert stats.stored_bytes == sum(split.stored_bytes for split in searching.published)
    assert (stats.start_time.ToMicroseconds(), stats.end_time.ToMicroseconds()) == (EPOCH, EPOCH + 10**9)
    empty = await searching.stub.GetLogStats(search_pb2.GetLogStatsRequest(parent="workspaces/other"))
    assert empty == search_pb2.LogStats()


async def test_a_search_whose_splits_are_deleted_meanwhile_is_aborted(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    await searching.publish(Source(lines("x")))
    begun, deleted = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def late(library: Library, published: Published) -> SplitReader:
        loop.call_soon_threadsafe(begun.set)
        assert deleted.wait(5)
        return library._open(published.workspace, published.split)

    monkeypatch.setattr(Library, "reader", late)
    search = asyncio.ensure_future(searching.search("x"))
    async with asyncio.timeout(10):
        await begun.wait()
        await searching.stub.DeleteLogs(search_pb2.DeleteLogsRequest(parent=PARENT))
        deleted.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await search
    assert caught.value.code() is grpc.StatusCode.ABORTED
