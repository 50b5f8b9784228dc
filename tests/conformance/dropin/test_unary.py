"""Calls with one request and one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conformance.dropin.conftest import Open
from tests.conformance.dropin.served import ECHO, INITIAL, TRAILING, Served, Stub

CANCELLED_DETAILS = "Locally cancelled by application!"


async def test_a_call_is_a_call_of_grpc_aio_and_no_other(stub: Stub) -> None:
    call = stub.Echo(b"x")
    assert isinstance(call, grpc.aio.UnaryUnaryCall)
    assert not isinstance(call, (grpc.aio.UnaryStreamCall, grpc.aio.StreamUnaryCall, grpc.aio.StreamStreamCall))
    await call


async def test_a_call_is_done_when_it_was_awaited_and_keeps_its_answer(stub: Stub) -> None:
    call = stub.Echo(b"x")
    assert not call.done()
    answer = await call
    assert call.done()
    assert not call.cancelled()
    assert answer == b"x"
    assert await call is answer


async def test_code_details_and_metadata_can_be_asked_before_the_answer(stub: Stub) -> None:
    assert await stub.Echo(b"x").code() is grpc.StatusCode.OK
    assert await stub.Echo(b"x").details() == ""
    assert await stub.Echo(b"x").initial_metadata() == ()
    assert await stub.Echo(b"x").trailing_metadata() == ()
    assert await stub.Echo(b"x").debug_error_string() == ""


async def test_a_failure_tells_all_and_is_the_same_each_time(stub: Stub) -> None:
    call = stub.Fail(b"x")
    with pytest.raises(grpc.aio.AioRpcError) as first:
        await call
    with pytest.raises(grpc.RpcError) as second:
        await call
    error = first.value
    assert error.code() is await call.code() is second.value.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == await call.details() == second.value.details() == "no such thing"
    assert error.initial_metadata() == await call.initial_metadata() == grpc.aio.Metadata(*INITIAL)
    assert error.trailing_metadata() == await call.trailing_metadata() == grpc.aio.Metadata(*TRAILING)
    assert "no such thing" in (error.debug_error_string() or "")
    assert error.debug_error_string() == await call.debug_error_string()
    assert "NOT_FOUND" in str(error)
    assert call.done()
    assert not call.cancelled()
    assert not call.cancel()


async def test_cancelling_at_once_cancels(stub: Stub) -> None:
    call = stub.Echo(b"x")
    assert not call.cancelled()
    assert call.cancel()
    assert not call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    assert call.done()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == CANCELLED_DETAILS
    assert await call.initial_metadata() == ()
    assert await call.trailing_metadata() == ()


async def test_cancelling_while_the_server_works_reaches_it(stub: Stub, served: Served) -> None:
    call = stub.Hold(b"x")
    await served.arrived.wait()
    assert call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    async with asyncio.timeout(5):
        await served.cancelled.wait()


async def test_cancelling_after_the_end_changes_nothing(stub: Stub) -> None:
    call = stub.Echo(b"x")
    await call
    assert not call.cancel()
    assert not call.cancelled()
    assert await call.code() is grpc.StatusCode.OK
    assert await call == b"x"


async def test_cancelling_the_task_that_awaits_cancels_the_call(stub: Stub, served: Served) -> None:
    call = stub.Hold(b"x")

    async def wait() -> object:
        return await call

    task = asyncio.create_task(wait())
    await served.arrived.wait()
    task.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.cancelled()
    async with asyncio.timeout(5):
        await served.cancelled.wait()


async def test_a_call_that_is_cancelled_ends_all_who_await_it(stub: Stub, served: Served) -> None:
    call = stub.Hold(b"x")

    async def wait() -> object:
        return await call

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await served.arrived.wait()
    assert call.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError)


async def test_asyncio_timeout_around_a_call_cancels_it(stub: Stub, served: Served) -> None:
    call = stub.Hold(b"x")
    await served.arrived.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await call
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert call.cancelled()


async def test_asking_for_the_code_and_being_cancelled_leaves_the_call_alone(stub: Stub, served: Served) -> None:
    call = stub.Hold(b"x")
    asking = asyncio.create_task(call.code())
    await served.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not call.done()
    served.release.set()
    assert await call == b"x"


async def test_a_call_runs_without_being_awaited(stub: Stub, served: Served) -> None:
    call = stub.Hold(b"x")
    async with asyncio.timeout(5):
        await served.arrived.wait()
    served.release.set()
    assert await call == b"x"


async def test_wait_for_connection_swallows_nothing(stub: Stub) -> None:
    call = stub.Echo(b"x")
    await call.wait_for_connection()
    assert await call == b"x"


async def test_nobody_there_is_unavailable(open_channel: Open, nowhere: str) -> None:
    call = Stub(open_channel(nowhere)).Echo(b"x", wait_for_ready=False)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.wait_for_connection()
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_an_answer_that_cannot_be_read_is_none(channel: grpc.aio.Channel) -> None:
    def refuse(_message: bytes) -> object:
        raise ValueError("no")

    make: Any = channel.unary_unary(ECHO, response_deserializer=refuse)
    call = make(b"x")
    assert await call is None
    assert await call.code() is grpc.StatusCode.OK


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    for path in ("/dropin.Calls/Nothing", "/nobody/Nothing"):
        make: Any = channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await make(b"x")
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_can_be_represented(stub: Stub) -> None:
    call = stub.Echo(b"x")
    assert repr(call)
    assert str(call)
    await call
