"""One message in, one out, over real HTTP and real gRPC."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import kit
from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound, ResourceExhausted, StatusError
from tests.integration.gateway.door import Door, opened
from tests.unit.gateway.shelf import message


def _problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


async def _get_book(request: Any, context: Any) -> Any:
    return message("Book", name=request.name, title="T", pages=3)


async def test_a_message_comes_back_as_json(door: Door) -> None:
    door.upstream.handlers["GetBook"] = _get_book
    answer = await door.client.get("/v1/shelves/a/books/b%2Fc")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"name": "shelves/a/books/b%2Fc", "title": "T", "pages": "3", "tags": []}


async def test_path_query_and_body_reach_the_service(door: Door) -> None:
    async def create(request: Any, context: Any) -> Any:
        assert (request.parent, request.book_id) == ("shelves/a", "b")
        return request.book

    door.upstream.handlers["CreateBook"] = create
    answer = await door.client.post("/v1/shelves/a/books", params={"bookId": "b"}, json={"title": "T", "tags": ["x"]})
    assert answer.json() == {"name": "", "title": "T", "pages": "0", "tags": ["x"]}


async def test_an_empty_body_is_an_empty_message(door: Door) -> None:
    door.upstream.handlers["ArchiveBook"] = _get_book
    assert (await door.client.post("/v1/shelves/a/books/b:archive")).json()["name"] == "shelves/a/books/b"


async def test_a_body_that_the_rule_does_not_name_is_not_read(door: Door) -> None:
    door.upstream.handlers["TouchBook"] = _get_book
    answer = await door.client.post("/v1/shelves/a/books/b:touch", content=b"{not json")
    assert answer.status_code == 200


async def test_rule_9_the_method_of_a_request_is_its_own(door: Door) -> None:
    door.upstream.handlers["ListBooks"] = lambda request, context: _listed()
    answer = await door.client.get("/v1/shelves/a/books", headers={"x-http-method-override": "POST"})
    assert answer.json() == {"books": [], "nextPageToken": ""}


async def _listed() -> Any:
    return message("ListBooksResponse")


async def test_bytes_go_both_ways_as_they_are(door: Door) -> None:
    async def put(request: Any, context: Any) -> Any:
        return message("Book", name=request.path, title=request.content.content_type, pages=len(request.content.data))

    async def get(request: Any, context: Any) -> Any:
        from google.api import httpbody_pb2

        return httpbody_pb2.HttpBody(content_type="image/x-made-up", data=b"\x00\xff" + request.path.encode())

    door.upstream.handlers |= {"PutFile": put, "GetFile": get}
    stored = await door.client.put("/v1/files/a/b", content=b"\xff" * 10, headers={"content-type": "image/png"})
    assert stored.json() == {"name": "a/b", "title": "image/png", "pages": "10", "tags": []}
    answer = await door.client.get("/v1/files/a/b")
    assert (answer.headers["content-type"], answer.content) == ("image/x-made-up", b"\x00\xffa/b")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("There is no book b."), 404),
        (InvalidArgument("title: too long", violations=[FieldViolation("title", "too long")]), 400),
        (ResourceExhausted("Too many books.", retry_after=2.5), 429),
    ],
)
async def test_the_services_own_refusal_is_passed_on(door: Door, error: StatusError, status: int) -> None:
    async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        context.set_trailing_metadata((("grpc-status-details-bin", error.to_status().SerializeToString()),))
        await context.abort(error.code, error.message)

    door.upstream.handlers["GetBook"] = refuse
    answer = await door.client.get("/v1/books/b")
    document = _problem(answer, status)
    assert document["detail"] == error.message
    assert document["code"] == error.code.name
    assert document["instance"] == "/v1/books/b"
    assert answer.headers.get("retry-after") == ("3" if error.retry_after else None)


async def test_a_defect_of_the_service_is_not_shown(door: Door) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise KeyError("secret")

    door.upstream.handlers["GetBook"] = fail
    document = _problem(await door.client.get("/v1/books/b"), 500)
    assert "secret" not in str(document)


async def test_a_service_that_is_not_there_is_503(tmp_path: Path) -> None:
    async with opened(tmp_path, target="127.0.0.1:1") as door:
        document = _problem(await door.client.get("/v1/books/b", headers={"x-request-timeout": "5"}), 503)
        assert document["code"] == "UNAVAILABLE"
        assert "127.0.0.1" not in document["detail"]


async def test_the_time_that_a_client_gives_bounds_the_call(door: Door) -> None:
    async def hang(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        assert 0 < context.time_remaining() < 60
        await asyncio.Event().wait()

    door.upstream.handlers["GetBook"] = hang
    for header, value in (("x-request-timeout", "0.05"), ("grpc-timeout", "50m")):
        answer = await door.client.get("/v1/books/b", headers={header: value})
        assert "in time" in _problem(answer, 504)["detail"]
    for header, value in (("x-request-timeout", "soon"), ("x-request-timeout", "-1"), ("grpc-timeout", "5")):
        _problem(await door.client.get("/v1/books/b", headers={header: value}), 400)


async def test_the_call_ends_when_the_client_goes(door: Door) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang(request: Any, context: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    door.upstream.handlers["GetBook"] = hang
    asking = asyncio.create_task(door.client.get("/v1/books/b"))
    async with asyncio.timeout(10):
        await began.wait()
        asking.cancel()
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    ("path", "options", "status", "words"),
    [
        ("/v1/nothing", {}, 404, "nothing at /v1/nothing"),
        ("/v1/shelves/a/books", {"method": "DELETE"}, 405, "GET, HEAD, POST"),
        ("/v1/books/b", {"params": {"colour": "red"}}, 400, "colour is not a parameter"),
        ("/v1/books/b", {"headers": {"accept": "text/event-stream"}}, 406, "application/json"),
        ("/v1/shelves/a/books", {"method": "POST", "content": b"{no"}, 400, "column 2"),
        (
            "/v1/shelves/a/books",
            {"method": "POST", "content": b"<x/>", "headers": {"content-type": "text/xml"}},
            415,
            "application/json",
        ),
        (
            "/v1/shelves/a/books",
            {"method": "POST", "content": b"{}", "headers": {"content-type": "application/json; charset=latin-1"}},
            415,
            "UTF-8",
        ),
        (
            "/v1/shelves/a/books",
            {"method": "POST", "content": b"{}", "headers": {"content-encoding": "gzip"}},
            415,
            "Content-Encoding",
        ),
        ("/v1/books/b", {"headers": {"host": "evil.example"}}, 421, "allowed_hosts"),
        ("/v1/books/b", {"headers": {"origin": "http://evil.example"}}, 403, "origin"),
    ],
)
async def test_a_wrong_request_gets_its_status_and_a_sentence(
    door: Door, path: str, options: dict[str, Any], status: int, words: str
) -> None:
    options = {"method": "GET", **options}
    answer = await door.client.request(url=path, **options)
    assert words in _problem(answer, status)["detail"]
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_a_body_that_is_too_large_is_refused_whether_announced_or_not(tmp_path: Path) -> None:
    async def pieces() -> Any:
        for _ in range(4):
            yield b" " * 500

    async with opened(tmp_path, max_body_bytes=1000) as door:
        _problem(await door.client.post("/v1/shelves/a/books", content=b" " * 1001), 413)
        _problem(await door.client.post("/v1/shelves/a/books", content=pieces()), 413)
        door.upstream.handlers["CreateBook"] = lambda request, context: _created()
        assert (await door.client.post("/v1/shelves/a/books", content=b"{}" + b" " * 998)).status_code == 200


async def _created() -> Any:
    return message("Book")


async def test_the_request_id_is_taken_over_and_handed_on(door: Door) -> None:
    seen: list[str] = []

    async def get(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        seen.extend(str(value) for key, value in context.invocation_metadata() or () if key == "x-request-id")
        return message("Book")

    door.upstream.handlers["GetBook"] = get
    answer = await door.client.get("/v1/books/b", headers={"x-request-id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    assert seen == ["abc-1"]
    odd = await door.client.get("/v1/books/b", headers={"x-request-id": "a b"})
    assert odd.headers["x-request-id"] not in {"", "a b"}


async def test_every_answer_of_the_api_tells_the_limit_and_the_one_too_many_is_refused(tmp_path: Path) -> None:
    limit = kit_limit(rate=0.01, burst=5)
    async with opened(tmp_path, limit=limit) as door:
        door.upstream.handlers["GetBook"] = _get_book
        answers = [await door.client.get("/v1/books/b") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"burst";q=5;w=500'
        assert answers[0].headers["ratelimit"] == '"burst";r=3;t=200'
        document = _problem(answers[2], 429)
        assert document["type"].endswith("#quota-exceeded")
        assert document["reason"] == "QUOTA_EXCEEDED"
        wait = int(answers[2].headers["retry-after"])
        assert wait >= int(answers[2].headers["ratelimit"].rpartition("t=")[2]) > 0
        # What costs nothing is still served, and so are the health checks.
        door.upstream.handlers["ListBooks"] = lambda request, context: _listed()
        assert (await door.client.get("/v1/shelves/a/books")).status_code == 200
        assert (await door.client.get("/livez")).status_code == 200


def kit_limit(**options: Any) -> Any:
    from gateway.ratelimit import Limit

    return Limit(**options)


async def test_live_is_not_ready_while_a_service_is_not(tmp_path: Path) -> None:
    from grpc_health.v1 import health_pb2

    async with opened(tmp_path) as door:
        ready = await door.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        door.gateway.readiness.forget()
        await door.upstream.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        answer = await door.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["services"] == {"shelf": {"status": "NOT_SERVING", "required": True}}
        assert (await door.client.get("/livez")).json() == {"status": "live"}
        assert (await door.client.post("/livez")).status_code == 405


async def test_the_console_is_served_under_a_strict_policy(door: Door) -> None:
    page = await door.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for path in ("/assets/console.js", "/assets/console.css", "/assets/icon.svg"):
        assert path in page.text
        asset = await door.client.get(path)
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert "https://" not in asset.text.replace("https://preactjs.com", "")
        same = await door.client.get(path, headers={"if-none-match": asset.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
    head = await door.client.head("/")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_trace_goes_through_the_gateway(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    telemetry = kit.observe.setup("gateway", exporter=exporter)
    assert telemetry is not None
    seen: list[str] = []

    async def get(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        seen.extend(str(value) for key, value in context.invocation_metadata() or () if key == "traceparent")
        return message("Book")

    try:
        async with opened(tmp_path) as door:
            door.upstream.handlers["GetBook"] = get
            trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
            headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
            await door.client.get("/v1/books/b", headers=headers)
    finally:
        telemetry.shutdown()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    server = spans["GET /v1/books/{name}"]
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert f"{server.context.trace_id:032x}" == trace_id
    assert server.attributes is not None
    assert server.attributes["http.response.status_code"] == 200
    call = spans["shelf.v1.Shelf/GetBook"]
    assert call.parent is not None
    assert call.parent.span_id == server.context.span_id
    assert seen[0].split("-")[1] == trace_id


async def _key_as_title(request: Any, context: Any) -> Any:
    keys = [value for key, value in context.invocation_metadata() if key == "idempotency-key"]
    return message("Book", title=" ".join(keys))


@pytest.mark.parametrize("header", ["a-key", '"a-key"'])
async def test_an_idempotency_key_is_passed_on(door: Door, header: str) -> None:
    door.upstream.handlers["SellBook"] = _key_as_title
    answer = await door.client.post("/v1/shelves/a/books/b:sell", headers={"idempotency-key": header})
    assert answer.json()["title"] == "a-key"


async def test_a_key_is_not_passed_to_a_method_that_declares_none(door: Door) -> None:
    door.upstream.handlers["TouchBook"] = _key_as_title
    answer = await door.client.post("/v1/shelves/a/books/b:touch", headers={"idempotency-key": "a-key"})
    assert answer.json()["title"] == ""


async def test_a_method_takes_calls_without_a_key_where_it_is_optional(door: Door) -> None:
    door.upstream.handlers["CreateBook"] = _key_as_title
    assert (await door.client.post("/v1/shelves/a/books", json={})).status_code == 200


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({}, "is required"),
        ({"idempotency-key": "two words"}, "visible ASCII"),
        ({"idempotency-key": '""'}, "is required"),
    ],
)
async def test_a_required_key_that_is_missing_or_none_is_a_400(door: Door, header: dict[str, str], says: str) -> None:
    door.upstream.handlers["SellBook"] = _key_as_title
    document = _problem(await door.client.post("/v1/shelves/a/books/b:sell", headers=header), 400)
    assert says in document["detail"]
    assert document["violations"][0]["field"] == "Idempotency-Key"


async def test_requests_are_counted_by_route_and_status(door: Door) -> None:
    door.upstream.handlers["GetBook"] = _get_book
    await door.client.get("/v1/shelves/a/books/b")
    await door.client.get("/nowhere/at/all")
    answer = await door.client.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    samples = [
        sample
        for family in text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
        if family.name == "http_server_request_duration_seconds"
        for sample in family.samples
        if sample.name.endswith("_count")
    ]
    counted = {(one.labels["http_route"], one.labels["http_response_status_code"]): one.value for one in samples}
    assert counted["/v1/{name=shelves/*/books/*}", "200"] >= 1
    assert counted["none", "404"] >= 1


async def test_a_key_that_was_sent_with_another_request_is_a_422(door: Door) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        error = FailedPrecondition("used before", reason="IDEMPOTENCY_KEY_REUSED", domain="kit")
        await context.abort(
            error.code, error.message, (("grpc-status-details-bin", error.to_status().SerializeToString()),)
        )

    door.upstream.handlers["SellBook"] = refuse
    answer = await door.client.post("/v1/shelves/a/books/b:sell", headers={"idempotency-key": "k"})
    assert _problem(answer, 422)["reason"] == "IDEMPOTENCY_KEY_REUSED"
