"""Giving up: it reaches the server, wherever the call was."""

from __future__ import annotations

import asyncio
import gc
import logging

import grpc
import grpc.aio
import pytest

from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text


async def hold(_name: str, _context: object) -> None:
    await asyncio.Event().wait()


async def start_and_wait(client: Client, call: object) -> asyncio.Task[object]:
    async def wait() -> object:
        return await call  # type: ignore[misc]

    task = asyncio.create_task(wait())
    await client.faults.arrived(UNARY)
    return task


async def test_cancelling_the_task_that_awaits_reaches_the_handler(connect: Connect) -> None:
    client = await connect(hold)
    call = client.stub.Unary(text())
    task = await start_and_wait(client, call)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_cancelling_the_call_reaches_the_handler_and_whoever_awaits(connect: Connect) -> None:
    client = await connect(hold)
    call = client.stub.Unary(text())
    task = await start_and_wait(client, call)
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()
    assert call.done()
    assert not call.cancel()
    assert await call.details() == "Locally cancelled by application!"


async def test_cancelling_a_call_that_nobody_awaits_reaches_the_handler(connect: Connect) -> None:
    client = await connect(hold)
    call = client.stub.Unary(text())
    await client.faults.arrived(UNARY)
    assert call.cancel()
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelling_right_after_the_call_was_made_works(connect: Connect) -> None:
    client = await connect(hold)
    call = client.stub.Unary(text())
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_being_cancelled_while_waiting_for_the_code_does_not_cancel_the_call(connect: Connect) -> None:
    go = asyncio.Event()
    client = await connect(lambda _name, _context: go.wait())
    call = client.stub.Unary(text())
    waiting = asyncio.create_task(call.code())
    await client.faults.arrived(UNARY)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    assert (await call).value == "hello"


async def test_cancelling_between_two_attempts_ends_the_call(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=15_000)])
    call = client.stub.Unary(text())

    async def wait() -> object:
        return await call

    task = asyncio.create_task(wait())
    with caplog.at_level(logging.DEBUG, "kit.client"):
        async with asyncio.timeout(5):
            while not any("next in 15000 ms" in line for line in caplog.messages):  # noqa: ASYNC110 - a log sets no event
                await asyncio.sleep(0)
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.faults.count(UNARY) == 1
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_a_stream_that_is_cancelled_in_the_middle_ends_on_the_server(client: Client) -> None:
    call = client.stub.Down(text("a ..."))
    assert (await call.read()).value == "a"
    assert call.cancel()
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert call.cancelled()


async def test_a_task_that_is_cancelled_while_it_reads_cancels_the_stream(client: Client) -> None:
    call = client.stub.Down(text("..."))
    assert (await call.read()).value == "..."
    reading = asyncio.create_task(call.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()


async def test_a_stream_that_waits_for_its_first_message_can_be_cancelled(connect: Connect) -> None:
    client = await connect(hold)
    call = client.stub.Down(text("a"))
    reading = asyncio.create_task(call.read())
    await client.faults.arrived(DOWN)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()


async def test_a_stream_that_is_dropped_ends_on_the_server() -> None:
    echo = Echo()
    async with InProcess(echo, add_echo) as process:
        call = EchoStub(process.channel).Down(text("a ..."))
        assert (await call.read()).value == "a"
        del call
        gc.collect()
        async with asyncio.timeout(5):
            await echo.cancelled.wait()
