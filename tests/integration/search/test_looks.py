"""Batches, plans, top values, templates, exports, sources: what is asked beside single pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from kit.errors import details_of
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import batches, exports, requests, templates
from services.search.query import render
from services.search.split_search import Searches
from tests.integration.search.conftest import PARENT, Searching, texts
from tests.unit.search.splits import EPOCH, Row, Source, lines


def asked(*queries: str, **fields: object) -> search_pb2.BatchSearchRequest:
    requests = [search_pb2.SearchRequest(query=query) for query in queries]
    return search_pb2.BatchSearchRequest(parent=PARENT, requests=requests, **fields)  # type: ignore[arg-type]


async def test_a_batch_answers_each_search_as_if_it_were_alone(searching: Searching) -> None:
    await searching.publish(Source(lines("a x", "b x", "c y")))
    await searching.publish(Source(lines("d x", start=EPOCH + 10**9), "bb"))
    batch = asked("x", "(", "y", "nothing", "x NOT a")
    batch.requests[0].page_size = 2
    batch.requests.add(query="x", parent="workspaces/other")
    batch.requests.add(query="x", page_size=5000)
    batch.requests.add(query="x", parent=PARENT, start_time=Timestamp(seconds=EPOCH // 10**6 + 500))
    found = (await searching.stub.BatchSearch(batch)).results
    assert [result.WhichOneof("result") for result in found] == [
        *("response", "error", "response", "response", "response"),
        *("error", "error", "response"),
    ]
    alone = await searching.search("x", page_size=2)
    first = found[0].response
    assert (list(first.hits), first.total_size) == (list(alone.hits), 3)
    assert first.next_page_token == alone.next_page_token
    assert found[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "query" in found[1].error.message
    assert [found[at].response.total_size for at in (2, 3, 4)] == [1, 0, 2]
    assert texts(found[7].response.hits) == ["d x"]


@pytest.mark.parametrize("count_only", [False, True])
@pytest.mark.parametrize("place", ["understanding", "searching", "writing"])
async def test_a_defect_that_one_search_of_a_batch_meets_is_its_own(
    searching: Searching,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
    count_only: bool,
) -> None:
    places: dict[str, tuple[Any, str, Callable[..., str]]] = {
        "understanding": (requests, "query_of", lambda text, *rest: text),
        "searching": (Searches, "_answer", lambda self, view, plan, flag: render(plan.query)),
        "writing": (batches, "fill", lambda answer, found, job, plan: render(job.query)),
    }
    owner, name, text_of = places[place]
    whole = getattr(owner, name)

    def failing(*given: Any, **more: Any) -> Any:
        if text_of(*given) == "bad":
            raise RuntimeError("a secret")
        return whole(*given, **more)

    monkeypatch.setattr(owner, name, failing)
    await searching.publish(Source(lines("a x", "b x bad", "c y")))
    found = (await searching.stub.BatchSearch(asked("x", "bad", "(", "y", count_only=count_only))).results
    assert [result.WhichOneof("result") for result in found] == ["response", "error", "error", "response"]
    assert [found[at].response.total_size for at in (0, 3)] == [2, 1]
    assert found[1].error.code == grpc.StatusCode.INTERNAL.value[0]
    said, _, error_id = found[1].error.message.rpartition(" ")
    assert said == "internal error, id"
    (record,) = [record for record in caplog.records if "a search of a batch failed" in record.getMessage()]
    assert f"error_id='{error_id}'" in record.getMessage()
    assert record.exc_info


async def test_a_batch_of_counts_reads_no_lines(searching: Searching) -> None:
    await searching.publish(Source(lines("a x", "b x", "c y")))
    found = (await searching.stub.BatchSearch(asked("x", "y", "z", count_only=True))).results
    assert [(result.response.total_size, len(result.response.hits)) for result in found] == [(2, 0), (1, 0), (0, 0)]
    assert found[0].response.stats.splits_searched == 1


async def test_a_batch_whose_answers_are_too_large_for_a_message_is_cut(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ANSWER_BYTES", 1000)
    await searching.publish(Source(lines(*["x" + " y" * 200] * 3)))
    found = (await searching.stub.BatchSearch(asked(*["x"] * 5))).results
    assert 1 <= len(found) < 5


async def test_a_batch_of_too_many_is_refused(searching: Searching) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.stub.BatchSearch(asked(*["x"] * 1001))
    assert [violation.field for violation in details_of(caught.value).violations] == ["requests"]


async def test_a_query_is_explained(searching: Searching) -> None:
    await searching.publish(Source(lines("disk user=a", "disk user=b", "y")))
    request = search_pb2.ExplainQueryRequest(parent=PARENT, query="  user:a   disk ")
    plan = await searching.stub.ExplainQuery(request)
    assert (plan.splits, plan.splits_pruned, plan.lines, plan.reads_lines) == (1, 0, 3, True)
    assert 1 <= plan.candidate_lines <= 2
    assert {step.part for step in plan.steps} == {"disk", "user:a"}
    assert (await searching.search(plan.normal_form)).total_size == 1
    assert plan.tree.WhichOneof("node") == "and"


async def test_top_values_are_the_most_frequent_ones(searching: Searching) -> None:
    rows = [Row(f"user={name} x".encode(), EPOCH, level) for name, level in (("a", 6), ("b", 6), ("a", 4), ("c", 0))]
    await searching.publish(Source([*rows[:2], Row(b"x")]))
    await searching.publish(Source(rows[2:], "bb", "b.log"))

    async def top(field: str, limit: int = 0) -> tuple[list[tuple[str, int]], int, int, bool]:
        request = search_pb2.GetTopValuesRequest(parent=PARENT, query="x", field=field, limit=limit)
        found = await searching.stub.GetTopValues(request)
        values = [(value.value, value.count) for value in found.values]
        return values, found.line_count, found.total_size, found.is_estimate

    assert await top("user") == ([("a", 2), ("b", 1), ("c", 1)], 4, 5, False)
    assert await top("user", 1) == ([("a", 2)], 4, 5, False)
    assert await top("level") == ([("ERROR", 2), ("NOTICE", 1)], 3, 5, False)
    assert await top("source") == ([("app.log", 3), ("b.log", 2)], 5, 5, False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await top("")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_export_is_what_protobuf_makes_of_the_hits(searching: Searching) -> None:
    rows = [Row(b'x \xff\xfe "quoted" \t' + str(number).encode(), EPOCH + number, number % 9) for number in range(250)]
    await searching.publish(Source([*rows, Row(b"x undated"), Row(b"x early", -62_135_596_800_000_000)]))
    request = search_pb2.ExportLogsRequest(parent=PARENT, query="x", order_by="timestamp")
    bodies = [body async for body in searching.stub.ExportLogs(request)]
    assert {body.content_type for body in bodies} == {"application/x-ndjson"}
    exported = [json.loads(line) for line in b"".join(body.data for body in bodies).splitlines()]
    hits = await searching.pages("x", order_by="timestamp", page_size=100)
    assert exported == [json_format.MessageToDict(hit, always_print_fields_with_no_presence=True) for hit in hits]
    assert len(exported) == 252
    limited = [body async for body in searching.stub.ExportLogs(search_pb2.ExportLogsRequest(parent=PARENT, limit=7))]
    assert len(b"".join(body.data for body in limited).splitlines()) == 7
    nothing = [b async for b in searching.stub.ExportLogs(search_pb2.ExportLogsRequest(parent=PARENT, query="zz"))]
    assert [body.data for body in nothing] == [b""]


async def test_an_export_is_cut_into_pieces(searching: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BODY_BYTES", 4000)
    await searching.publish(Source(lines(*[f"x {number}" for number in range(1000)])))
    call = searching.stub.ExportLogs(search_pb2.ExportLogsRequest(parent=PARENT))
    sizes = [len(body.data) async for body in call]
    assert len(sizes) > 5
    assert max(sizes) < 4000 + 100 * 300


async def test_templates_leave_out_what_varies(searching: Searching) -> None:
    texts_of = [f"user u{number}@example.com logged in from 10.0.0.{number} after {number} ms" for number in range(60)]
    texts_of += [f"disk sd{number % 3} failed with code 0x{number:04x}" for number in range(30)]
    await searching.publish(Source(lines(*texts_of)))
    found = await searching.stub.GetTemplates(search_pb2.GetTemplatesRequest(parent=PARENT))
    assert (found.lines_read, found.total_size) == (90, 90)
    assert [template.count for template in found.templates] == [60, 30]
    assert "logged in from <*> after <*> ms" in found.templates[0].text
    assert found.templates[1].example.text in texts_of
    one = await searching.stub.GetTemplates(search_pb2.GetTemplatesRequest(parent=PARENT, query="disk", limit=1))
    assert (len(one.templates), one.total_size) == (1, 30)


async def test_templates_of_many_lines_are_of_a_sample_from_all_over_them(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "SAMPLE_LINES", 100)
    rows = lines(*[f"{'first' if number < 1000 else 'second'} half {number}" for number in range(2000)])
    await searching.publish(Source([*rows, *[Row(b"undated line")] * 200]))
    found = await searching.stub.GetTemplates(search_pb2.GetTemplatesRequest(parent=PARENT))
    assert (found.total_size, found.lines_read <= 100) == (2200, True)
    counts = {template.text.split()[0]: template.count for template in found.templates}
    assert set(counts) == {"first", "second", "undated"}
    assert abs(counts["first"] - counts["second"]) < 10


async def test_sources_are_listed_in_pages_and_deleted(searching: Searching) -> None:
    for number in range(5):
        await searching.publish(Source(lines("x", "y"), f"a{number}", f"logs/{9 - number}.log"))
    listed: list[search_pb2.LogSource] = []
    token = ""
    while True:
        request = search_pb2.ListLogSourcesRequest(parent=PARENT, page_size=2, page_token=token)
        page = await searching.stub.ListLogSources(request)
        listed += page.log_sources
        token = page.next_page_token
        if not token:
            break
    assert [source.source for source in listed] == [f"logs/{number}.log" for number in range(5, 10)]
    assert (listed[0].name, listed[0].line_count, listed[0].byte_count) == (f"{PARENT}/logSources/a4", 2, 4)
    some = await searching.stub.ListLogSources(search_pb2.ListLogSourcesRequest(parent=PARENT, contains="/7"))
    assert [source.source for source in some.log_sources] == ["logs/7.log"]

    before = await searching.search("x")
    deletion = search_pb2.DeleteLogSourceRequest(name=listed[0].name)
    counts = [(await searching.stub.DeleteLogSource(deletion)).line_count for _ in range(2)]
    after = await searching.search("x")
    assert (counts, before.total_size, after.total_size) == ([2, 0], 5, 4)
    assert after.stats.served_from == "index"
    stats = await searching.stub.GetLogStats(search_pb2.GetLogStatsRequest(parent=PARENT))
    assert stats.line_count == 8
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await searching.stub.GetLogContext(search_pb2.GetLogContextRequest(name=f"{PARENT}/logs/a4-1"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    bars = await searching.stub.GetHistogram(search_pb2.GetHistogramRequest(parent=PARENT, query="x"))
    assert (bars.total_size, sum(bucket.count for bucket in bars.buckets)) == (4, 4)


async def test_logs_are_checked_and_repaired(searching: Searching) -> None:
    await searching.publish(Source(lines("x", "y")))
    found = await searching.stub.CheckLogs(search_pb2.CheckLogsRequest(parent=PARENT))
    assert (found.split_count, found.line_count, list(found.problems)) == (1, 2, [])
    repaired = await searching.stub.RepairLogs(search_pb2.RepairLogsRequest(parent=PARENT))
    assert (repaired.repaired_count, list(repaired.problems)) == (0, [])


async def test_an_answer_says_what_it_cost_however_often_it_is_given(searching: Searching) -> None:
    await searching.publish(Source(lines("x", level=query_pb2.ERROR)))
    answers = [await searching.search("x") for _ in range(3)]
    assert [answer.stats.served_from for answer in answers] == ["index", "cache", "cache"]
    assert len({answer.stats.cost.ToNanoseconds() for answer in answers}) == 1
    assert answers[0].stats.cost.ToNanoseconds() > 0
