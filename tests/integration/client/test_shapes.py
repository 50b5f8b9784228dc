"""The four shapes of RPC through `kit.channel` and through the interceptors, as through a bare channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import Context, text


async def requests() -> AsyncIterator[StringValue]:
    for value in ("a", "b", "c"):
        yield text(value)


async def test_a_unary_call_gives_its_answer(client: Client) -> None:
    assert (await client.stub.Unary(text("hello"), timeout=5)).value == "hello"


async def test_a_call_tells_code_details_and_metadata(connect: Connect) -> None:
    async def act(_: str, context: Context) -> None:
        await context.send_initial_metadata((("first", "1"),))
        context.set_trailing_metadata((("last", "2"),))
        context.set_details("fine")

    client = await connect(act)
    call = client.stub.Unary(text())
    assert (await call.initial_metadata())["first"] == "1"
    assert (await call.trailing_metadata())["last"] == "2"
    assert await call.code() is grpc.StatusCode.OK
    assert (await call).value == "hello"
    assert call.done()
    assert not call.cancelled()


async def test_the_code_is_there_without_anybody_awaiting_the_call(client: Client) -> None:
    call = client.stub.Unary(text())
    async with asyncio.timeout(5):
        assert await call.code() is grpc.StatusCode.OK


async def test_a_call_may_be_awaited_twice_and_by_two(client: Client) -> None:
    call = client.stub.Unary(text())

    async def wait() -> str:
        return str((await call).value)

    assert set(await asyncio.gather(wait(), wait())) == {"hello"}
    assert (await call).value == "hello"


async def test_done_callbacks_run_once_with_the_call(client: Client) -> None:
    seen: list[Any] = []
    finished = asyncio.Event()
    call = client.stub.Unary(text())
    call.add_done_callback(seen.append)
    call.add_done_callback(lambda _: finished.set())
    async with asyncio.timeout(5):
        await finished.wait()
    await call
    assert seen == [call]
    call.add_done_callback(seen.append)
    assert seen == [call, call]


async def test_metadata_of_the_caller_arrives(client: Client) -> None:
    await client.stub.Unary(text(), metadata=(("who", "me"), ("raw-bin", b"\x00\x01")))
    await client.stub.Unary(text(), metadata=grpc.aio.Metadata(("who", "you")))
    assert [call.header("who") for call in client.faults.seen] == ["me", "you"]
    assert client.faults.seen[0].header("raw-bin") == b"\x00\x01"


async def test_an_answer_that_is_a_stream_can_be_iterated(client: Client) -> None:
    call = client.stub.Down(text("a b c"))
    assert [message.value async for message in call] == ["a", "b", "c"]
    assert await call.code() is grpc.StatusCode.OK
    assert call.done()


async def test_an_answer_that_is_a_stream_can_be_read(client: Client) -> None:
    call = client.stub.Down(text("a b"))
    assert [(await call.read()).value for _ in range(2)] == ["a", "b"]
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF


async def test_an_empty_stream_ends_at_once(client: Client) -> None:
    assert [message async for message in client.stub.Down(text(""))] == []


async def test_a_stream_of_requests_can_come_from_an_iterator(client: Client) -> None:
    assert (await client.stub.Up(requests())).value == "a b c"
    assert (await client.stub.Up(iter([text("x"), text("y")]))).value == "x y"


async def test_a_stream_of_requests_can_be_written(client: Client) -> None:
    call = client.stub.Up()
    for value in ("a", "b"):
        await call.write(text(value))
    await call.done_writing()
    assert (await call).value == "a b"


async def test_both_directions_can_be_iterated(client: Client) -> None:
    assert [message.value async for message in client.stub.Both(requests())] == ["a", "b", "c"]


async def test_both_directions_can_be_written_and_read_in_turn(client: Client) -> None:
    call = client.stub.Both()
    for value in ("a", "b"):
        await call.write(text(value))
        assert (await call.read()).value == value
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_done_callback_of_a_stream_runs_at_its_end(client: Client) -> None:
    ended = asyncio.Event()
    call = client.stub.Down(text("a b"))
    call.add_done_callback(lambda _: ended.set())
    assert (await call.read()).value == "a"
    assert not ended.is_set()
    assert [(await call.read()) is grpc.aio.EOF for _ in range(2)] == [False, True]
    async with asyncio.timeout(5):
        await ended.wait()


async def test_wait_for_connection_returns_when_the_server_is_reached(client: Client) -> None:
    for call in (client.stub.Unary(text()), client.stub.Down(text("a")), client.stub.Both()):
        async with asyncio.timeout(5):
            await call.wait_for_connection()
        call.cancel()
