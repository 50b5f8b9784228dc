"""Streams: their forms, their errors before and after the first message, heartbeats, and their ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from kit.errors import NotFound
from tests.integration.gateway.door import Door, lines, opened
from tests.unit.gateway.shelf import message

NDJSON = {"accept": "application/x-ndjson"}
SSE = {"accept": "text/event-stream"}


def _found(title: str) -> Any:
    return message("Found", book=message("Book", title=title))


async def _three(request: Any, context: Any) -> AsyncIterator[Any]:
    for title in ("a", "b\n\u2028", "ü"):
        yield _found(title)


async def _one_then_fails(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
    yield _found("a")
    error = NotFound("The shelf was taken away.", reason="GONE", domain="shelf")
    context.set_trailing_metadata((("grpc-status-details-bin", error.to_status().SerializeToString()),))
    await context.abort(error.code, error.message)


async def test_the_accept_header_chooses_between_the_pair(door: Door) -> None:
    async def search(request: Any, context: Any) -> Any:
        return message("SearchResponse", total_size=3)

    door.upstream.handlers |= {"Search": search, "StreamSearch": _three}
    page = await door.client.get("/v1/books:search", params={"query": "x"})
    assert page.json() == {"books": [], "totalSize": "3"}
    stream = await door.client.get("/v1/books:search", headers=NDJSON)
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["cache-control"] == "no-cache"
    titles = [json.loads(line)["book"]["title"] for line in stream.content.split(b"\n") if line]
    assert titles == ["a", "b\n\u2028", "ü"]


async def test_events_carry_the_messages_and_an_end(door: Door) -> None:
    door.upstream.handlers["StreamSearch"] = _three
    answer = await door.client.get("/v1/books:search", headers=SSE)
    assert answer.headers["content-type"] == "text/event-stream"
    events = answer.text.split("\n\n")
    assert [json.loads(event.removeprefix("data: "))["book"]["title"] for event in events[:3]] == [
        "a",
        "b\n\u2028",
        "ü",
    ]
    assert events[3:] == ["event: end\ndata: {}", ""]


async def test_a_stream_alone_is_an_array_where_json_is_wanted(door: Door) -> None:
    door.upstream.handlers["Tail"] = _three
    answer = await door.client.get("/v1/books:tail", headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert [one["book"]["title"] for one in answer.json()] == ["a", "b\n\u2028", "ü"]
    assert (await door.client.get("/v1/books:tail")).headers["content-type"] == "application/x-ndjson"


async def test_an_empty_stream_is_an_empty_answer(door: Door) -> None:
    async def nothing(request: Any, context: Any) -> AsyncIterator[Any]:
        for title in request.query:
            yield _found(title)

    door.upstream.handlers["Tail"] = nothing
    assert (await door.client.get("/v1/books:tail", headers=NDJSON)).content == b""
    assert (await door.client.get("/v1/books:tail", headers={"accept": "application/json"})).json() == []


async def test_an_error_before_the_first_message_is_a_real_status(door: Door) -> None:
    async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        if not request.query:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such shelf.")
        yield _found("never")

    door.upstream.handlers["Tail"] = refuse
    answer = await door.client.get("/v1/books:tail", headers=NDJSON)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "There is no such shelf."


async def test_an_error_after_the_first_message_is_the_last_record(door: Door) -> None:
    door.upstream.handlers["Tail"] = _one_then_fails
    answer = await door.client.get("/v1/books:tail", headers=NDJSON)
    assert answer.status_code == 200
    first, last = (json.loads(line) for line in answer.content.split(b"\n") if line)
    assert first["book"]["title"] == "a"
    assert list(last) == ["error"]
    assert (last["error"]["status"], last["error"]["reason"]) == (404, "GONE")
    assert last["error"]["request_id"] == answer.headers["x-request-id"]
    events = (await door.client.get("/v1/books:tail", headers=SSE)).text.split("\n\n")
    assert events[1].startswith('event: error\ndata: {"error":{')
    assert events[2:] == [""]
    array = (await door.client.get("/v1/books:tail", headers={"accept": "application/json"})).json()
    assert array[-1]["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("before", [0, 1])
async def test_the_call_ends_when_the_client_goes_also_while_nothing_comes(door: Door, before: int) -> None:
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def hang(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            for _ in range(before):
                yield _found("a")
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    door.upstream.handlers["Tail"] = hang

    async def read() -> None:
        async with door.client.stream("GET", "/v1/books:tail", headers=NDJSON) as answer:
            async for _ in lines(answer):
                pass

    reading = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await waiting.wait()
        reading.cancel()
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize(("headers", "sign"), [(NDJSON, ""), (SSE, ": ping")])
async def test_a_silent_stream_shows_signs_of_life(tmp_path: Path, headers: dict[str, str], sign: str) -> None:
    release = asyncio.Event()

    async def quiet(request: Any, context: Any) -> AsyncIterator[Any]:
        await release.wait()
        yield _found("late")

    async with opened(tmp_path, heartbeat=0.01) as door:
        door.upstream.handlers["Tail"] = quiet
        async with asyncio.timeout(10), door.client.stream("GET", "/v1/books:tail", headers=headers) as answer:
            assert answer.status_code == 200
            arriving = lines(answer)
            for _ in range(3):
                assert await anext(arriving) == sign
                if sign:
                    assert await anext(arriving) == ""
            release.set()
            assert any(["late" in line async for line in arriving])


async def test_a_slow_reader_holds_the_service_back(door: Door) -> None:
    sent = 0

    async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal sent
        while True:
            yield _found("x" * 100_000)
            sent += 1

    door.upstream.handlers["Tail"] = endless
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1 << 16)
    request = f"GET /v1/books:tail HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n"
    writer.write(request.encode())
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


async def test_when_the_gateway_stops_a_stream_ends_with_a_record_that_says_so(tmp_path: Path) -> None:
    async def hang(request: Any, context: Any) -> AsyncIterator[Any]:
        yield _found("a")
        await asyncio.Event().wait()

    async with opened(tmp_path) as door:
        door.upstream.handlers["Tail"] = hang
        async with asyncio.timeout(10), door.client.stream("GET", "/v1/books:tail", headers=NDJSON) as answer:
            arriving = lines(answer)
            assert "book" in await anext(arriving)
            door.gateway.streams.stop()
            door.server.should_exit = True
            last = json.loads(await anext(arriving))
            assert last["error"]["reason"] == "GATEWAY_STOPPING"
            assert last["error"]["status"] == 503
            assert [line async for line in arriving] == []


async def test_a_stream_of_bytes_is_one_body(door: Door) -> None:
    async def download(request: Any, context: Any) -> AsyncIterator[Any]:
        from google.api import httpbody_pb2

        yield httpbody_pb2.HttpBody(content_type="text/x-log", data=b"one\n")
        yield httpbody_pb2.HttpBody(data=b"two\n")

    door.upstream.handlers["Download"] = download
    answer = await door.client.get("/v1/downloads/x")
    assert (answer.headers["content-type"], answer.content) == ("text/x-log", b"one\ntwo\n")
