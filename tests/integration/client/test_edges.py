"""What a drop-in must do at the edges: options passed on, misuse refused as grpc.aio refuses it, states seen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.discovery import Registry
from kit.errors import CallFailed
from kit.testing import Fault, InProcess, VirtualClock
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


async def test_reading_and_iterating_may_not_be_mixed() -> None:
    async with InProcess(Echo(), add_echo) as process:
        call = EchoStub(process.channel).Down(text("a b"))
        await call.read()
        with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
            call.__aiter__()


async def test_the_iterator_of_a_stream_is_one(client: Client) -> None:
    call = client.stub.Down(text("a b"))
    assert [message.value async for message in call] == ["a", "b"]
    assert [message.value async for message in call] == []


async def test_compression_and_wait_for_ready_are_passed_on() -> None:
    async with InProcess(Echo(), add_echo) as process:
        stub = EchoStub(process.channel)
        big = "long " * 1000
        call = stub.Unary(text(big), compression=grpc.Compression.Gzip, wait_for_ready=True, timeout=5)
        assert (await call).value == big
        for make in (stub.Up, stub.Both):
            call = make(compression=grpc.Compression.Gzip, wait_for_ready=True)
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK


async def test_call_credentials_need_a_secure_channel_as_they_do_with_grpc() -> None:
    credentials = grpc.access_token_call_credentials("token")
    async with InProcess(Echo(), add_echo) as process:
        with pytest.raises(grpc.aio.UsageError, match="only valid on secure channels"):
            EchoStub(process.channel).Unary(text(), credentials=credentials, timeout=5)


async def test_wait_for_ready_waits_for_a_server_that_is_not_there_yet() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1", interceptors=kit.client_interceptors()) as channel:
        call = EchoStub(channel).Unsafe(text(), wait_for_ready=True, timeout=0.2)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with kit.channel("127.0.0.1:1") as channel:
        call = EchoStub(channel).Unsafe(text(), wait_for_ready=True, timeout=0.2)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_failed_call_tells_its_debug_string_and_metadata(client: Client) -> None:
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.ABORTED, pushback=7)])
    call = client.stub.Unary(text())
    with pytest.raises(CallFailed) as failure:
        await call
    assert "scripted" in (await call.debug_error_string() or "")
    assert "scripted" in (failure.value.debug_error_string() or "")
    assert (await call.trailing_metadata())["grpc-retry-pushback-ms"] == "7"
    assert failure.value.trailing_metadata()["grpc-retry-pushback-ms"] == "7"
    assert await call.details() == "scripted"


async def test_wait_for_connection_raises_what_went_wrong() -> None:
    async with kit.channel("127.0.0.1:1", policy=kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1))) as channel:
        stub = EchoStub(channel)
        for call in (stub.Unary(text()), stub.Up(), stub.Down(text()), stub.Both()):
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call.wait_for_connection()
            assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_writing_to_a_call_that_was_refused_raises_the_refusal(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    async with Channel("local:///nobody", registry=Registry(tmp_path), clock=clock) as channel:
        for call in (EchoStub(channel).Up(), EchoStub(channel).Both()):
            with pytest.raises(kit.errors.NoEndpoint):
                await call.write(text())
            with pytest.raises(kit.errors.NoEndpoint):
                await call.wait_for_connection()
            assert await call.initial_metadata() == grpc.aio.Metadata()
            assert await call.trailing_metadata() == grpc.aio.Metadata()
            assert call.done()


async def test_what_is_written_before_there_is_a_server_arrives(tmp_path: Path) -> None:
    clock = VirtualClock()
    registry = Registry(tmp_path)
    async with Channel("local:///late", registry=registry, clock=clock) as channel, InProcess(Echo(), add_echo) as late:
        call = EchoStub(channel).Up()
        writing = asyncio.create_task(call.write(text("early")))
        await clock.advance(0.2)
        assert not writing.done()
        with registry.register("late", late.address):
            await clock.advance(0.1)
            await writing
            await call.done_writing()
            assert (await call).value == "early"


async def test_a_call_that_waits_for_a_server_can_be_cancelled(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with Channel("local:///nobody", registry=Registry(tmp_path), clock=clock) as channel:
        call = EchoStub(channel).Unary(text())
        await clock.advance(0.2)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await call.code() is grpc.StatusCode.CANCELLED


async def test_done_is_seen_by_one_who_only_looks(connect: Connect) -> None:
    client = await connect()
    client.faults.script(UNARY, [UNAVAILABLE])
    call = client.stub.Unary(text())
    async with asyncio.timeout(5):
        while not call.done():  # noqa: ASYNC110 - looking is what is tested
            await asyncio.sleep(0)
    assert client.faults.count(UNARY) == 2
    assert (await call).value == "hello"


async def test_the_second_who_awaits_cancels_the_call_as_the_first_does(connect: Connect) -> None:
    client = await connect(lambda _name, _context: asyncio.Event().wait())
    call = client.stub.Unary(text())

    async def wait() -> object:
        return await call

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await client.faults.arrived(UNARY)
    second.cancel()
    for task in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()


async def test_callbacks_are_told_of_a_stream_that_never_opened(client: Client) -> None:
    client.faults.script(DOWN, [Fault(code=grpc.StatusCode.NOT_FOUND)])
    told = asyncio.Event()
    call = client.stub.Down(text("a"))
    call.add_done_callback(lambda _: told.set())
    async with asyncio.timeout(5):
        await told.wait()
    assert await call.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(CallFailed):
        await call.read()


async def test_time_remaining_is_what_is_left_of_the_call() -> None:
    async with InProcess(Echo(), add_echo) as process:
        stub = EchoStub(process.channel)
        call = stub.Unary(text(), timeout=9)
        assert 8 < call.time_remaining() <= 9
        await call
        # The policy's 20 s hold where the code names nothing.
        assert 19 < stub.Unary(text()).time_remaining() <= 20


async def test_states_are_watched_over_every_endpoint() -> None:
    async with InProcess(Echo(), add_echo) as process:
        seen = [process.channel.get_state(try_to_connect=True)]
        async with asyncio.timeout(5):
            while seen[-1] is not grpc.ChannelConnectivity.READY:
                await process.channel.wait_for_state_change(seen[-1])
                seen.append(process.channel.get_state())
        await process.channel.close()
        with pytest.raises(grpc.aio.UsageError, match="closed"):
            await process.channel.channel_ready()


async def test_messages_over_the_channels_options_are_refused_as_with_grpc() -> None:
    async with InProcess(Echo(), add_echo) as process:
        options = (("grpc.max_receive_message_length", 100),)
        async with kit.channel(process.address, options=options) as channel:
            with pytest.raises(CallFailed) as failure:
                await EchoStub(channel).Unary(text("x" * 1000))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
