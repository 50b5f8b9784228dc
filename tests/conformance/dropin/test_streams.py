"""Calls of which a side, or both, is a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conformance.dropin.served import INITIAL, TRAILING, Served, Stub
from tests.conformance.dropin.test_unary import CANCELLED_DETAILS

WITH_METADATA = (("metadata", "1"),)


@pytest.fixture(params=["grpc.aio", "kit.channel", "retried", "hedged"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def letters(*values: bytes) -> AsyncIterator[bytes]:
    for value in values:
        yield value


async def collect(call: Any, into: list[bytes]) -> None:
    async for message in call:
        into.append(message)  # noqa: PERF401 - what came before a failure is kept


# One request, many answers


async def test_answers_are_iterated(stub: Stub) -> None:
    call = stub.Words(b"a b c")
    assert isinstance(call, grpc.aio.UnaryStreamCall)
    assert [word async for word in call] == [b"a", b"b", b"c"]
    assert await call.code() is grpc.StatusCode.OK
    assert call.done()


async def test_an_iteration_is_taken_up_where_it_was_left(stub: Stub) -> None:
    call = stub.Words(b"a b c")
    async for word in call:
        assert word == b"a"
        break
    assert [word async for word in call] == [b"b", b"c"]


async def test_answers_are_read_and_then_there_is_eof_for_ever(stub: Stub) -> None:
    call = stub.Words(b"a b")
    assert [await call.read(), await call.read()] == [b"a", b"b"]
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert await call.read() is grpc.aio.EOF


async def test_reading_after_iterating_is_refused(stub: Stub) -> None:
    call = stub.Words(b"a b ...")
    async for word in call:
        assert word == b"a"
        break
    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        await call.read()
    call.cancel()


async def test_iterating_after_reading_is_refused(stub: Stub) -> None:
    call = stub.Words(b"a b ...")
    await call.read()
    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        call.__aiter__()
    call.cancel()


async def test_a_finished_stream_may_be_read_and_then_iterated(stub: Stub) -> None:
    call = stub.Words(b"")
    assert await call.code() is grpc.StatusCode.OK
    assert await call.read() is grpc.aio.EOF
    assert [word async for word in call] == []


async def test_a_finished_stream_that_was_iterated_reads_eof(stub: Stub) -> None:
    call = stub.Words(b"a")
    assert [word async for word in call] == [b"a"]
    assert await call.code() is grpc.StatusCode.OK
    assert await call.read() is grpc.aio.EOF


async def test_a_stream_that_breaks_off_raises_after_what_came(stub: Stub) -> None:
    call = stub.Words(b"a !")
    got: list[bytes] = []
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await collect(call, got)
    assert got == [b"a"]
    assert failure.value.code() is await call.code() is grpc.StatusCode.ABORTED
    assert failure.value.details() == await call.details() == "broken off"
    assert failure.value.trailing_metadata() == await call.trailing_metadata() == grpc.aio.Metadata(*TRAILING)


async def test_a_broken_stream_raises_at_each_further_read(stub: Stub) -> None:
    call = stub.Words(b"a !")
    assert await call.read() == b"a"
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call.read()
        assert failure.value.code() is grpc.StatusCode.ABORTED


async def test_cancelling_a_stream_before_its_first_answer(stub: Stub) -> None:
    call = stub.Words(b"a b ...")
    assert not call.cancelled()
    assert call.cancel()
    assert not call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == CANCELLED_DETAILS


async def test_cancelling_a_stream_between_its_answers(stub: Stub, served: Served) -> None:
    call = stub.Words(b"a ...")
    assert await call.read() == b"a"
    assert call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == CANCELLED_DETAILS
    assert not call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert call.cancelled()
    async with asyncio.timeout(5):
        await served.cancelled.wait()


async def test_cancelling_a_stream_that_is_iterated_raises_there(stub: Stub) -> None:
    call = stub.Words(b"a ...")

    async def cancel_at_the_first() -> None:
        async for _ in call:
            call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await cancel_at_the_first()
    assert await call.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("style", ["read", "iterate"])
async def test_cancelling_the_task_that_reads_cancels_the_stream(stub: Stub, served: Served, style: str) -> None:
    call = stub.Words(b"...")

    async def receive() -> None:
        if style == "read":
            await call.read()
        else:
            async for _ in call:
                pass

    task = asyncio.create_task(receive())
    await served.arrived.wait()
    task.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await served.cancelled.wait()


# Many requests, one answer


@pytest.mark.parametrize("make", [letters, lambda *values: iter(values), lambda *values: list(values)])
async def test_requests_come_from_what_can_be_iterated(stub: Stub, make: Callable[..., Any]) -> None:
    assert await stub.Join(make(b"a", b"b")) == b"ab"


async def test_requests_are_written(stub: Stub) -> None:
    call = stub.Join()
    assert isinstance(call, grpc.aio.StreamUnaryCall)
    await call.write(b"a")
    await call.write(b"b")
    await call.done_writing()
    await call.done_writing()
    with pytest.raises(asyncio.InvalidStateError, match="half closed"):
        await call.write(b"c")
    assert await call == b"ab"
    assert await call.code() is grpc.StatusCode.OK
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(b"c")
    await call.done_writing()


@pytest.mark.parametrize("method", ["Join", "Relay"])
async def test_writing_beside_an_iterator_is_refused(stub: Stub, method: str) -> None:
    call = getattr(stub, method)(letters(b"a"))
    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        await call.write(b"b")
    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        await call.done_writing()
    call.cancel()


@pytest.mark.parametrize("method", ["Join", "Relay"])
async def test_a_stream_of_requests_cancelled_at_once_takes_no_more(stub: Stub, method: str) -> None:
    call = getattr(stub, method)()
    assert not call.done()
    assert call.cancel()
    assert call.cancelled()
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(b"a")
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await (call if method == "Join" else call.read())


async def test_cancelling_between_writes(stub: Stub) -> None:
    call = stub.Join()
    await call.write(b"a")
    assert not call.done()
    assert call.cancel()
    assert call.cancelled()
    await call.done_writing()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("method", ["Join", "Relay"])
async def test_a_request_iterator_is_told_of_the_cancellation(stub: Stub, method: str) -> None:
    waits, told = asyncio.Event(), asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield b"a"
        try:
            waits.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.set()
            raise

    call = getattr(stub, method)(requests())
    async with asyncio.timeout(5):
        await waits.wait()
        call.cancel()
        await told.wait()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_a_request_iterator_that_raises_cancels_the_call(stub: Stub) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError("no more")

    call = stub.Join(requests())
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED
    both = stub.Relay(requests())
    assert await both.code() is grpc.StatusCode.CANCELLED


async def test_a_stream_of_requests_that_is_refused_tells_why(stub: Stub) -> None:
    call = stub.Refuse()
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    assert failure.value.code() is await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(b"a")


async def test_wait_for_connection_leaves_a_stream_of_requests_open(stub: Stub) -> None:
    call = stub.Join()
    await call.wait_for_connection()
    await call.write(b"a")
    await call.done_writing()
    assert await call == b"a"


# Many requests, many answers


async def test_writing_and_reading_in_turn(stub: Stub) -> None:
    call = stub.Relay()
    assert isinstance(call, grpc.aio.StreamStreamCall)
    for value in (b"a", b"b"):
        await call.write(value)
        assert await call.read() == value
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert not call.cancel()
    assert not call.cancelled()
    assert await call.code() is grpc.StatusCode.OK


async def test_reading_goes_on_after_done_writing(stub: Stub) -> None:
    call = stub.Relay()
    await call.write(b"a")
    await call.write(b"b")
    await call.done_writing()
    with pytest.raises(asyncio.InvalidStateError, match="half closed"):
        await call.write(b"c")
    assert [await call.read(), await call.read()] == [b"a", b"b"]
    assert await call.code() is grpc.StatusCode.OK


async def test_both_sides_are_iterated(stub: Stub) -> None:
    call = stub.Relay(letters(b"a", b"b"))
    assert [message async for message in call] == [b"a", b"b"]
    assert await call.code() is grpc.StatusCode.OK


async def test_requests_from_an_iterator_and_answers_read(stub: Stub) -> None:
    call = stub.Relay(letters(b"a", b"b"))
    assert [await call.read(), await call.read()] == [b"a", b"b"]
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF


async def test_requests_written_and_answers_iterated(stub: Stub) -> None:
    call = stub.Relay()
    await call.write(b"a")
    await call.write(b"b")
    await call.done_writing()
    assert [message async for message in call] == [b"a", b"b"]


async def test_cancelling_a_read_that_waits(stub: Stub, served: Served) -> None:
    call = stub.Relay()
    reading = asyncio.create_task(call.read())
    await served.arrived.wait()
    assert not call.done()
    assert call.cancel()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_cancelling_after_done_writing(stub: Stub) -> None:
    call = stub.Relay()
    await call.done_writing()
    assert not call.done()
    assert call.cancel()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_a_failure_while_both_stream(stub: Stub) -> None:
    call = stub.Relay()
    await call.write(b"a")
    assert await call.read() == b"a"
    await call.write(b"!")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    assert failure.value.code() is await call.code() is grpc.StatusCode.ABORTED
    assert failure.value.details() == "broken off"
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(b"b")


@pytest.mark.parametrize("method", ["Words", "Join", "Relay"])
async def test_metadata_of_both_kinds_arrives_on_a_stream(stub: Stub, method: str) -> None:
    request = b"a" if method == "Words" else letters(b"a")
    call = getattr(stub, method)(request, metadata=WITH_METADATA)
    assert await call.initial_metadata() == grpc.aio.Metadata(*INITIAL)
    if method == "Join":
        assert await call == b"a"
    else:
        assert [message async for message in call] == [b"a"]
    assert await call.trailing_metadata() == grpc.aio.Metadata(*TRAILING)
    assert await call.code() is grpc.StatusCode.OK


async def test_initial_metadata_is_there_before_the_first_answer(stub: Stub) -> None:
    call = stub.Words(b"... a", metadata=WITH_METADATA)
    async with asyncio.timeout(5):
        assert await call.initial_metadata() == grpc.aio.Metadata(*INITIAL)
    assert not call.done()
    call.cancel()
