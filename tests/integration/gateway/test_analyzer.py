"""The log analyzer's own routes over HTTP: what of a request reaches its services, and how they answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.api import httpbody_pb2
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from kit.errors import FieldViolation, InvalidArgument
from loganalyzer.importer.v1 import importer_pb2
from loganalyzer.search.v1 import query_pb2, search_pb2
from loganalyzer.workspace.v1 import workspace_pb2
from tests.integration.gateway.door import Door, analyzer

HOME = "/v1/workspaces/ab12"
LINE = b'{"id":"s-1","text":"one"}\n'


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    async with analyzer() as one:
        yield one


def answering(door: Door, method: str, answer: Any) -> list[Any]:
    """Has a unary method answer so, and gives the list that its requests will be put into."""
    seen: list[Any] = []

    async def handle(request: Any, context: Any) -> Any:
        seen.append(request)
        return answer

    door.upstream.handlers[method] = handle
    return seen


async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
    """As the search service refuses a query that it cannot read."""
    sentence = 'expected ")" at character 7\n(error\n      ^'
    error = InvalidArgument(
        f"query: {sentence}",
        reason="QUERY_SYNTAX",
        domain="loganalyzer",
        metadata={"position": "6"},
        violations=[FieldViolation("query", sentence)],
    )
    context.set_trailing_metadata((("grpc-status-details-bin", error.to_status().SerializeToString()),))
    await context.abort(error.code, error.message)


async def refuse_stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
    if request.query:
        await refuse(request, context)
    yield httpbody_pb2.HttpBody()


async def test_a_batch_is_one_post_and_one_answer_for_each_query(door: Door) -> None:
    results = [
        search_pb2.BatchSearchResult(response=search_pb2.SearchResponse(total_size=7)),
        search_pb2.BatchSearchResult(error=status_pb2.Status(code=3, message="expected a term")),
    ]
    seen = answering(door, "BatchSearch", search_pb2.BatchSearchResponse(results=results))
    body = {"requests": [{"query": "a", "pageSize": 1}, {"query": "("}], "countOnly": True}
    answer = await door.client.post(f"{HOME}/logs:batchSearch", json=body)
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["results"]
    assert first["response"]["totalSize"] == "7"
    assert second["error"]["message"] == "expected a term"
    (request,) = seen
    assert (request.parent, request.count_only) == ("workspaces/ab12", True)
    assert [one.query for one in request.requests] == ["a", "("]


async def test_a_plan_tells_the_tree_and_the_steps(door: Door) -> None:
    plan = search_pb2.QueryPlan(
        normal_form="a",
        tree=query_pb2.Query(term=query_pb2.Term(text="a")),
        steps=[search_pb2.PlanStep(part="a", method="index", estimate=-1)],
    )
    seen = answering(door, "ExplainQuery", plan)
    answer = await door.client.get(f"{HOME}/logs:explain", params={"query": "A", "startTime": "2024-05-01T00:00:00Z"})
    document = answer.json()
    assert document["tree"] == {"term": {"text": "a"}}
    assert document["steps"] == [{"part": "a", "method": "index", "estimate": "-1"}]
    assert (seen[0].query, seen[0].start_time.seconds) == ("A", 1714521600)


async def test_top_values_and_templates_take_their_parameters(door: Door) -> None:
    values = search_pb2.TopValues(values=[search_pb2.ValueCount(value="GET", count=3)], total_size=4)
    seen = answering(door, "GetTopValues", values)
    answer = await door.client.get(f"{HOME}/logs:topValues", params={"field": "user.id", "limit": "3"})
    assert answer.json()["values"] == [{"value": "GET", "count": "3"}]
    assert (seen[0].field, seen[0].limit) == ("user.id", 3)
    found = search_pb2.Templates(templates=[search_pb2.Template(text="user <*>", count=2)], lines_read=9)
    seen = answering(door, "GetTemplates", found)
    answer = await door.client.get(f"{HOME}/logs:templates", params={"query": "x", "limit": "5"})
    assert answer.json()["templates"][0]["text"] == "user <*>"
    assert seen[0].limit == 5


async def test_an_export_is_one_body_of_ndjson(door: Door) -> None:
    async def export(request: Any, context: Any) -> AsyncIterator[Any]:
        assert (request.query, request.limit, request.order_by) == ("x", 3, "timestamp")
        yield httpbody_pb2.HttpBody(content_type="application/x-ndjson")
        for _ in range(3):
            yield httpbody_pb2.HttpBody(data=LINE)

    door.upstream.handlers["ExportLogs"] = export
    params = {"query": "x", "limit": "3", "orderBy": "timestamp"}
    for accept in ("*/*", "text/html,application/xhtml+xml", "application/json", "text/csv"):
        answer = await door.client.get(f"{HOME}/logs:export", params=params, headers={"accept": accept})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.content == LINE * 3


async def test_an_export_of_nothing_is_an_empty_body(door: Door) -> None:
    async def export(request: Any, context: Any) -> AsyncIterator[Any]:
        yield httpbody_pb2.HttpBody(content_type="application/x-ndjson")

    door.upstream.handlers["ExportLogs"] = export
    answer = await door.client.get(f"{HOME}/logs:export")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_an_export_that_breaks_on_its_way_is_cut_off_and_not_ended(door: Door) -> None:
    async def export(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        yield httpbody_pb2.HttpBody(content_type="application/x-ndjson", data=LINE)
        await context.abort(grpc.StatusCode.DATA_LOSS, "a frame is damaged")

    door.upstream.handlers["ExportLogs"] = export
    with pytest.raises(httpx.RemoteProtocolError):
        await door.client.get(f"{HOME}/logs:export")


async def test_a_slow_reader_of_an_export_holds_the_service_back_and_its_going_ends_the_call(door: Door) -> None:
    sent = 0
    ended = asyncio.Event()

    async def export(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal sent
        try:
            while True:
                yield httpbody_pb2.HttpBody(content_type="application/x-ndjson", data=b"x" * 99_999 + b"\n")
                sent += 1
        finally:
            ended.set()

    door.upstream.handlers["ExportLogs"] = export
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1 << 16)
    writer.write(f"GET {HOME}/logs:export HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        await reader.readuntil(b"\r\n\r\n")
        # Nobody reads on: the sender must come to rest. It has when many turns of the loop change nothing.
        still, last = 0, -1
        while still < 200:
            still, last = (still + 1, last) if sent == last else (0, sent)
            await door.client.get("/livez")
        assert sent < 1000
        writer.close()
        await writer.wait_closed()
        await ended.wait()


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("logs:search", "Search"),
        ("logs:explain", "ExplainQuery"),
        ("logs:topValues", "GetTopValues"),
        ("logs:templates", "GetTemplates"),
        ("logs:histogram", "GetHistogram"),
    ],
)
async def test_a_query_that_cannot_be_read_reaches_the_client_with_its_place(
    door: Door, path: str, method: str
) -> None:
    door.upstream.handlers[method] = refuse
    _refused(await door.client.get(f"{HOME}/{path}", params={"query": "(error"}))


@pytest.mark.parametrize(
    ("path", "method"),
    [("logs:search", "StreamSearch"), ("logs:export", "ExportLogs"), ("logs:tail", "TailLogs")],
)
async def test_so_it_does_from_a_stream_before_its_first_byte(door: Door, path: str, method: str) -> None:
    door.upstream.handlers[method] = refuse_stream
    headers = {"accept": "application/x-ndjson"}
    _refused(await door.client.get(f"{HOME}/{path}", params={"query": "(error"}, headers=headers))


def _refused(answer: httpx.Response) -> None:
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["reason"], problem["metadata"]) == ("QUERY_SYNTAX", {"position": "6"})
    assert [one["field"] for one in problem["violations"]] == ["query"]
    assert problem["detail"].splitlines()[1:] == ["(error", "      ^"]


async def test_sources_are_listed_and_deleted(door: Door) -> None:
    listed = search_pb2.ListLogSourcesResponse(
        log_sources=[search_pb2.LogSource(name="workspaces/ab12/logSources/s1", source="/a.zip!/b.log", line_count=2)]
    )
    seen = answering(door, "ListLogSources", listed)
    answer = await door.client.get(f"{HOME}/logSources", params={"contains": ".log", "pageSize": "9"})
    assert answer.json()["logSources"][0]["lineCount"] == "2"
    assert (seen[0].contains, seen[0].page_size) == (".log", 9)
    seen = answering(door, "DeleteLogSource", search_pb2.DeleteLogSourceResponse(line_count=2))
    assert (await door.client.delete(f"{HOME}/logSources/s1")).json() == {"lineCount": "2"}
    assert seen[0].name == "workspaces/ab12/logSources/s1"


async def test_the_logs_are_checked_and_repaired(door: Door) -> None:
    bad = search_pb2.SplitProblem(split_id="x", message="terms are damaged", repairable=True)
    answering(door, "CheckLogs", search_pb2.CheckLogsResponse(split_count=1, problems=[bad]))
    assert (await door.client.get(f"{HOME}/logs:check")).json()["problems"][0]["repairable"] is True
    answering(door, "RepairLogs", search_pb2.RepairLogsResponse(repaired_count=1))
    assert (await door.client.post(f"{HOME}/logs:repair")).json() == {"repairedCount": "1", "problems": []}


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
async def test_an_import_is_paused_resumed_and_cancelled(door: Door, verb: str) -> None:
    paused = importer_pb2.Import(name="workspaces/ab12/imports/i1", state=importer_pb2.Import.PAUSED)
    seen = answering(door, f"{verb.capitalize()}Import", paused)
    answer = await door.client.post(f"{HOME}/imports/i1:{verb}")
    assert answer.json()["state"] == "PAUSED"
    assert seen[0].name == "workspaces/ab12/imports/i1"


async def test_an_import_follows_and_reads_everything_where_the_body_says_so(door: Door) -> None:
    seen = answering(door, "CreateImport", importer_pb2.Import(name="workspaces/ab12/imports/i1", follow=True))
    body = {"sources": [{"path": "/var/log"}], "follow": True, "mode": "FULL"}
    answer = await door.client.post(f"{HOME}/imports", json=body)
    assert answer.json()["follow"] is True
    assert (getattr(seen[0], "import").follow, getattr(seen[0], "import").mode) == (True, importer_pb2.Import.FULL)


async def test_the_files_of_an_import_are_listed(door: Door) -> None:
    file = importer_pb2.ImportFile(
        path="a.log",
        line_count=2,
        format="iso",
        encoding="utf-8",
        levels=[importer_pb2.ImportLevelCount(level="ERROR", count=1)],
        state=importer_pb2.ImportFile.APPENDED,
    )
    seen = answering(door, "ListImportFiles", importer_pb2.ListImportFilesResponse(files=[file]))
    answer = await door.client.get(f"{HOME}/imports/i1/files", params={"pageSize": "1000"})
    (found,) = answer.json()["files"]
    assert (found["state"], found["levels"]) == ("APPENDED", [{"level": "ERROR", "count": "1"}])
    assert (seen[0].parent, seen[0].page_size) == ("workspaces/ab12/imports/i1", 1000)


async def test_saved_queries_are_made_listed_changed_and_deleted(door: Door) -> None:
    one = workspace_pb2.SavedQuery(name="workspaces/ab12/savedQueries/q1", display_name="Slow", query="x")
    seen = answering(door, "CreateSavedQuery", one)
    made = await door.client.post(f"{HOME}/savedQueries", json={"displayName": "Slow", "query": "x"})
    assert made.json()["displayName"] == "Slow"
    assert (seen[0].parent, seen[0].saved_query.query) == ("workspaces/ab12", "x")
    answering(door, "ListSavedQueries", workspace_pb2.ListSavedQueriesResponse(saved_queries=[one]))
    assert (await door.client.get(f"{HOME}/savedQueries")).json()["savedQueries"][0]["query"] == "x"
    seen = answering(door, "UpdateSavedQuery", one)
    await door.client.patch(f"{HOME}/savedQueries/q1", json={"query": "y"})
    assert (list(seen[0].update_mask.paths), seen[0].saved_query.name) == (["query"], one.name)
    answering(door, "DeleteSavedQuery", empty_pb2.Empty())
    assert (await door.client.delete(f"{HOME}/savedQueries/q1")).json() == {}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"retention": {"maxAge": "604800s"}}, ["retention.max_age"]),
        ({"retention": {"maxAge": "604800s", "maxBytes": "5"}}, ["retention.max_age", "retention.max_bytes"]),
        ({"retention": None}, ["retention"]),
        ({"retention": {}}, ["retention"]),
    ],
)
async def test_the_mask_of_a_retention_is_what_the_body_names(
    door: Door, body: dict[str, Any], paths: list[str]
) -> None:
    seen = answering(door, "UpdateWorkspace", workspace_pb2.Workspace(name="workspaces/ab12"))
    assert (await door.client.patch(HOME, json=body)).status_code == 200
    assert list(seen[0].update_mask.paths) == paths


async def test_head_is_answered_as_get_without_the_body(door: Door) -> None:
    answering(door, "GetLogStats", search_pb2.LogStats(line_count=5))
    get, head = [await door.client.request(method, f"{HOME}/logs:stats") for method in ("GET", "HEAD")]
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]
    door.upstream.handlers["Search"] = refuse
    refused = await door.client.head(f"{HOME}/logs:search", params={"query": "("})
    assert (refused.status_code, refused.content) == (400, b"")
    # The connection is still good.
    assert (await door.client.get(f"{HOME}/logs:stats")).json() == get.json()


async def test_head_on_a_stream_does_not_wait_for_its_end(door: Door) -> None:
    ended = asyncio.Event()

    async def tail(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield search_pb2.TailLogsResponse()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def export(request: Any, context: Any) -> AsyncIterator[Any]:
        yield httpbody_pb2.HttpBody(content_type="application/x-ndjson", data=LINE)

    door.upstream.handlers |= {"TailLogs": tail, "ExportLogs": export}
    async with asyncio.timeout(10):
        answer = await door.client.head(f"{HOME}/logs:tail")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
        await ended.wait()
        answer = await door.client.head(f"{HOME}/logs:export")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")


async def test_head_where_nothing_can_be_got_is_refused_and_told(door: Door) -> None:
    answer = await door.client.head(f"{HOME}/logs:repair")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = await door.client.put(f"{HOME}/logs:stats")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert json.loads(answer.content)["detail"] == "PUT cannot be used here; GET, HEAD can."
