"""Time-outs, what is left of them, and waiting for a server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conformance.dropin.conftest import Open
from tests.conformance.dropin.served import Served, Stub


def start(stub: Stub, method: str, timeout: float | None) -> Any:
    """A call that no server would end."""
    if method == "Hold":
        return stub.Hold(b"x", timeout=timeout)
    if method == "Words":
        return stub.Words(b"...", timeout=timeout)
    return getattr(stub, method)(timeout=timeout)


async def answer(call: Any, method: str) -> Any:
    return await (call if method in ("Hold", "Join") else call.read())


@pytest.mark.parametrize("method", ["Hold", "Words", "Join", "Relay"])
@pytest.mark.parametrize("timeout", [-1, 0, 0.001, 0.1])
async def test_a_call_ends_when_its_time_is_over(stub: Stub, method: str, timeout: float) -> None:
    call = start(stub, method, timeout)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await answer(call, method)
    assert failure.value.code() is await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert failure.value.details() == await call.details()
    assert failure.value.initial_metadata() is not None
    assert failure.value.trailing_metadata() is not None
    assert call.done()
    assert not call.cancelled()
    assert not call.cancel()


@pytest.mark.parametrize("method", ["Hold", "Words", "Join", "Relay"])
async def test_time_remaining_is_what_is_left(stub: Stub, method: str) -> None:
    call = start(stub, method, 9)
    first = call.time_remaining()
    assert 8 < first <= 9
    assert call.time_remaining() <= first
    call.cancel()


async def test_time_remaining_is_none_or_a_number_without_a_time_out(stub: Stub) -> None:
    # A bare channel knows no time-out; the kit's policy does.
    call = stub.Echo(b"x")
    remaining = call.time_remaining()
    assert remaining is None or remaining > 0
    await call


async def test_a_stream_that_has_begun_ends_when_its_time_is_over(stub: Stub) -> None:
    call = stub.Words(b"a ...", timeout=0.3)
    assert await call.read() == b"a"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_to_nobody_fails_at_once_or_waits_as_it_is_told(open_channel: Open, nowhere: str) -> None:
    stub = Stub(open_channel(nowhere))
    for wait_for_ready in (None, False):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.Echo(b"x", wait_for_ready=wait_for_ready, timeout=10)
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Echo(b"x", wait_for_ready=True, timeout=0.2)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("method", ["Echo", "Words", "Join", "Relay"])
async def test_a_call_that_waits_is_answered_when_the_server_comes(
    open_channel: Open, nowhere: str, method: str
) -> None:
    channel = open_channel(nowhere, options=(("grpc.initial_reconnect_backoff_ms", 100),))
    make = getattr(Stub(channel), method)
    call = make(b"x" if method in ("Echo", "Words") else iter([b"x"]), wait_for_ready=True, timeout=20)
    state = channel.get_state()
    async with asyncio.timeout(10):
        while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
    assert not call.done()
    late = Served()
    server = await late.start(address=nowhere)
    try:
        if method in ("Echo", "Join"):
            assert await call == b"x"
        else:
            assert [message async for message in call] == [b"x"]
    finally:
        await server.stop(0)
