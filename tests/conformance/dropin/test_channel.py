"""The channel itself: its states, its end, compression, credentials."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conformance.dropin.conftest import Open
from tests.conformance.dropin.served import ECHO, Served, Stub

State = grpc.ChannelConnectivity


async def until(channel: grpc.aio.Channel, wanted: State) -> None:
    """Follows the channel's states to one."""
    async with asyncio.timeout(10):
        state = channel.get_state()
        while state is not wanted:
            await channel.wait_for_state_change(state)
            state = channel.get_state()


async def test_a_channel_is_a_channel_of_grpc_aio(channel: grpc.aio.Channel) -> None:
    assert isinstance(channel, grpc.aio.Channel)


async def test_a_stub_is_the_multi_callable_of_its_shape(channel: grpc.aio.Channel) -> None:
    assert isinstance(channel.unary_unary(ECHO), grpc.aio.UnaryUnaryMultiCallable)
    assert isinstance(channel.unary_stream(ECHO), grpc.aio.UnaryStreamMultiCallable)
    assert isinstance(channel.stream_unary(ECHO), grpc.aio.StreamUnaryMultiCallable)
    assert isinstance(channel.stream_stream(ECHO), grpc.aio.StreamStreamMultiCallable)


async def test_leaving_the_context_closes_the_channel(open_channel: Open) -> None:
    async with open_channel() as channel:
        assert await Stub(channel).Echo(b"x") == b"x"
        hanging = [Stub(channel).Hold(b"x") for _ in range(2)]
    assert channel.get_state() is State.SHUTDOWN
    assert all(call.cancelled() for call in hanging)


# States


async def test_a_new_channel_is_idle_until_it_is_asked_to_connect(channel: grpc.aio.Channel) -> None:
    assert channel.get_state() is State.IDLE
    assert channel.get_state(False) is State.IDLE
    assert channel.get_state(try_to_connect=True) is State.IDLE
    await until(channel, State.READY)


async def test_channel_ready_connects(channel: grpc.aio.Channel) -> None:
    async with asyncio.timeout(10):
        await channel.channel_ready()
    assert channel.get_state() is State.READY
    await channel.channel_ready()


async def test_a_call_makes_the_channel_ready(channel: grpc.aio.Channel) -> None:
    await Stub(channel).Echo(b"x")
    assert channel.get_state() is State.READY


async def test_nobody_there_is_a_transient_failure(open_channel: Open, nowhere: str) -> None:
    channel = open_channel(nowhere)
    assert channel.get_state(True) is State.IDLE
    await until(channel, State.TRANSIENT_FAILURE)


async def test_channel_ready_returns_when_the_server_comes(open_channel: Open, nowhere: str) -> None:
    channel = open_channel(nowhere, options=(("grpc.initial_reconnect_backoff_ms", 100),))
    ready = asyncio.create_task(channel.channel_ready())
    await until(channel, State.TRANSIENT_FAILURE)
    server = await Served().start(address=nowhere)
    try:
        async with asyncio.timeout(20):
            await ready
    finally:
        await server.stop(0)


async def test_waiting_for_another_state_waits_and_can_be_given_up(channel: grpc.aio.Channel) -> None:
    waiting = asyncio.create_task(channel.wait_for_state_change(State.IDLE))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.shield(waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_closed_channel_is_shut_down_and_takes_no_calls(channel: grpc.aio.Channel) -> None:
    stub = Stub(channel)
    assert await stub.Echo(b"x") == b"x"
    await channel.close()
    await channel.close()
    assert channel.get_state() is State.SHUTDOWN
    assert channel.get_state(try_to_connect=True) is State.SHUTDOWN
    makes: list[tuple[Any, list[Any]]] = [(stub.Echo, [b"x"]), (stub.Words, [b"x"]), (stub.Join, []), (stub.Relay, [])]
    for make, arguments in makes:
        with pytest.raises(grpc.aio.UsageError, match="closed"):
            make(*arguments)
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        await channel.wait_for_state_change(State.SHUTDOWN)
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        await channel.channel_ready()


# Closing


@pytest.mark.parametrize("grace", [None, 0, 0.01])
@pytest.mark.parametrize("method", ["Hold", "Words", "Join", "Relay"])
async def test_closing_cancels_calls_that_run(
    channel: grpc.aio.Channel, served: Served, method: str, grace: float | None
) -> None:
    make = getattr(Stub(channel), method)
    calls = [make(b"...") if method in ("Hold", "Words") else make() for _ in range(2)]
    async with asyncio.timeout(5):
        await served.arrived.wait()
    await channel.close(grace)
    for call in calls:
        assert call.cancelled()
        assert call.done()
        assert await call.code() is grpc.StatusCode.CANCELLED
        with pytest.raises(asyncio.CancelledError):
            await (call if method in ("Hold", "Join") else call.read())


@pytest.mark.parametrize("method", ["Echo", "Words", "Join", "Relay"])
async def test_closing_cancels_calls_that_have_just_begun(channel: grpc.aio.Channel, method: str) -> None:
    make = getattr(Stub(channel), method)
    calls = [make(b"x") if method in ("Echo", "Words") else make() for _ in range(2)]
    await channel.close()
    assert all(call.cancelled() for call in calls)


async def test_closing_with_grace_lets_calls_end(channel: grpc.aio.Channel, served: Served) -> None:
    call = Stub(channel).Hold(b"x")
    closing = asyncio.create_task(channel.close(60))
    async with asyncio.timeout(5):
        await served.arrived.wait()
    assert not closing.done()
    with pytest.raises(grpc.aio.UsageError, match="clos"):
        Stub(channel).Echo(b"x")
    served.release.set()
    async with asyncio.timeout(5):
        await closing
    assert await call.code() is grpc.StatusCode.OK
    assert await call == b"x"


async def test_a_negative_grace_is_refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        await channel.close(-1)


async def test_closing_one_channel_leaves_another_alone(open_channel: Open, served: Served) -> None:
    one, other = open_channel(), open_channel()
    stays, goes = Stub(one).Hold(b"x"), Stub(other).Hold(b"x")
    await other.close()
    assert goes.cancelled()
    assert not stays.cancelled()
    served.release.set()
    assert await stays == b"x"


# Compression and credentials

NO_GZIP = (("grpc.compression_enabled_algorithms_bitset", 3),)


@pytest.mark.parametrize("at", ["channel", "call"])
async def test_a_compression_that_the_server_has_switched_off_fails(open_channel: Open, at: str) -> None:
    picky = Served()
    server = await picky.start(options=NO_GZIP)
    big = b"x" * 1000

    def arguments(compression: grpc.Compression) -> tuple[dict[str, Any], dict[str, Any]]:
        given = {"compression": compression}
        return (given, {}) if at == "channel" else ({}, given)

    try:
        for_channel, for_call = arguments(grpc.Compression.Gzip)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await Stub(open_channel(picky.address, **for_channel)).Echo(big, **for_call)
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
        for_channel, for_call = arguments(grpc.Compression.Deflate)
        assert await Stub(open_channel(picky.address, **for_channel)).Echo(big, **for_call) == big
        assert await Stub(open_channel(picky.address)).Echo(big, compression=grpc.Compression.NoCompression) == big
    finally:
        await server.stop(0)


@pytest.mark.parametrize("method", ["Words", "Join", "Relay"])
async def test_streams_can_be_compressed(stub: Stub, method: str) -> None:
    make, gzip = getattr(stub, method), grpc.Compression.Gzip
    if method == "Join":
        assert await make(iter([b"x" * 1000]), compression=gzip) == b"x" * 1000
    else:
        sent = b"x" * 1000 if method == "Words" else iter([b"x" * 1000])
        assert [message async for message in make(sent, compression=gzip)] == [b"x" * 1000]


async def test_call_credentials_on_an_insecure_channel_are_refused(stub: Stub) -> None:
    with pytest.raises(grpc.aio.UsageError, match="only valid on secure channels"):
        stub.Echo(b"x", credentials=grpc.access_token_call_credentials("token"))


async def test_channel_credentials_make_a_secure_channel_whose_calls_carry_tokens(open_channel: Open) -> None:
    secure = Served()
    server = await secure.start(credentials=grpc.local_server_credentials())
    try:
        stub = Stub(open_channel(secure.address, credentials=grpc.local_channel_credentials()))
        assert await stub.Echo(b"x") == b"x"
        await stub.Echo(b"x", credentials=grpc.access_token_call_credentials("token"))
        assert secure.header("authorization") == "Bearer token"
    finally:
        await server.stop(0)


async def test_options_reach_the_connection(open_channel: Open) -> None:
    stub = Stub(open_channel(options=(("grpc.max_send_message_length", 10),)))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Echo(b"x" * 100)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
