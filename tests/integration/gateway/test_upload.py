"""Uploads: a body of any size as a stream of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.gateway.door import Door, opened
from tests.unit.gateway.shelf import message

PATH = "/v1/shelves/a/books:upload"


async def _collect(requests: AsyncIterator[Any], context: Any) -> Any:
    """Answers with what the messages held: the first one's fields and the sizes of all."""
    messages = [one async for one in requests]
    first = messages[0]
    sizes = [len(one.content.data) for one in messages]
    assert all(not one.parent and not one.content.content_type for one in messages[1:])
    return message(
        "Book",
        name=first.parent,
        title=f"{first.title}|{first.content.content_type}",
        pages=sum(sizes),
        tags=[str(max(sizes)), "ordered" if b"".join(one.content.data for one in messages) == _BODY else "mixed"],
    )


_BODY = bytes(index * 7 % 251 for index in range(1_000_003))


async def test_a_body_arrives_whole_in_pieces_of_at_most_256_kb(door: Door) -> None:
    door.upstream.handlers["Upload"] = _collect
    answer = await door.client.post(
        PATH, params={"title": "T"}, content=_BODY, headers={"content-type": "application/gzip"}
    )
    assert answer.status_code == 200, answer.text
    book = answer.json()
    assert (book["name"], book["title"], book["pages"]) == ("shelves/a", "T|application/gzip", str(len(_BODY)))
    assert int(book["tags"][0]) <= 256 << 10
    assert book["tags"][1] == "ordered"


async def test_an_empty_body_is_one_message(door: Door) -> None:
    door.upstream.handlers["Upload"] = _collect
    book = (await door.client.post(PATH)).json()
    assert (book["pages"], book["title"]) == ("0", "|application/octet-stream")


async def test_an_unknown_parameter_is_refused_before_anything_is_sent(door: Door) -> None:
    assert (await door.client.post(PATH, params={"colour": "red"}, content=b"x")).status_code == 400


async def test_a_refusal_reaches_a_client_that_is_still_sending(door: Door) -> None:
    async def refuse(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await anext(aiter(requests))
        await context.abort(grpc.StatusCode.NOT_FOUND, "There is no shelf a.")

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    door.upstream.handlers["Upload"] = refuse
    answer = await door.client.post(PATH, content=body())
    assert answer.status_code == 404, answer.text
    assert answer.json()["detail"] == "There is no shelf a."
    # The connection cannot be used again; the next request gets another.
    door.upstream.handlers["Upload"] = _collect
    assert (await door.client.post(PATH, content=b"x")).status_code == 200


async def test_a_body_above_the_limit_is_refused(tmp_path: Path) -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def collect(requests: AsyncIterator[Any], context: Any) -> Any:
        try:
            async for _ in requests:
                pass
            # The requests of a cancelled call just end; only the next await tells.
            await asyncio.Event().wait()
        finally:
            ended.set_result("cancelled")

    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    async with opened(tmp_path, max_upload_bytes=10_000) as door:
        door.upstream.handlers["Upload"] = collect
        assert (await door.client.post(PATH, content=b"x" * 10_001)).status_code == 413
        assert not ended.done()
        assert (await door.client.post(PATH, content=body())).status_code == 413
        async with asyncio.timeout(10):
            assert await ended == "cancelled"


async def test_the_service_holds_the_sender_back(door: Door) -> None:
    reading, release = asyncio.Event(), asyncio.Event()
    sent = 0

    async def slow(requests: AsyncIterator[Any], context: Any) -> Any:
        arriving = aiter(requests)
        await anext(arriving)
        reading.set()
        await release.wait()
        total = 0
        async for one in arriving:
            total += len(one.content.data)
        return message("Book", pages=total)

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(640):
            yield b"x" * 100_000
            sent += 1

    door.upstream.handlers["Upload"] = slow
    posting = asyncio.create_task(door.client.post(PATH, content=body()))
    async with asyncio.timeout(30):
        await reading.wait()
        still, last = 0, -1
        while still < 200:
            still, last = (still + 1, last) if sent == last else (0, sent)
            await door.client.get("/livez")
        assert sent < 600, "64 MB were not held back"
        release.set()
        answer = await posting
    assert answer.status_code == 200


async def test_the_call_ends_when_the_sender_goes(door: Door) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def collect(requests: AsyncIterator[Any], context: Any) -> Any:
        try:
            async for _ in requests:
                began.set()
        finally:
            ended.set()
        return message("Book")

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.Event().wait()

    door.upstream.handlers["Upload"] = collect
    posting = asyncio.create_task(door.client.post(PATH, content=body()))
    async with asyncio.timeout(10):
        await began.wait()
        posting.cancel()
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await posting


async def test_an_upload_of_which_nothing_comes_is_given_up(tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with opened(tmp_path, upload_idle=0.05) as door:
        door.upstream.handlers["Upload"] = _collect
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\ncontent-length: 10\r\n\r\nx"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            status = await reader.readline()
        assert status.startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()
