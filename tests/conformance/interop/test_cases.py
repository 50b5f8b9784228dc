"""gRPC's interop client cases, by their names, between every kind of client and every kind of server.

The numbers are those of the cases' description.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conformance.interop.conftest import Pair
from tests.conformance.interop.service import INITIAL_KEY, TRAILING_KEY

#: Seconds after which a case hangs.
LIMIT = 10

UNARY_SIZES = (271828, 314159)
REQUEST_SIZES = (27182, 8, 1828, 45904)
RESPONSE_SIZES = (31415, 9, 2653, 58979)
METADATA: Any = ((INITIAL_KEY, "test_initial_metadata_value"), (TRAILING_KEY, b"\xab\xab\xab"))
SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


def ping(pair: Pair, request_size: int, response_size: int) -> Any:
    """A request of a full-duplex call."""
    return pair.pb.FullDuplexCallRequest(
        response_sizes=[response_size], payload=pair.pb.Payload(body=bytes(request_size))
    )


async def test_empty_unary(pair: Pair) -> None:
    assert await pair.stub.EmptyCall(pair.pb.EmptyCallRequest(), timeout=LIMIT) == pair.pb.EmptyCallResponse()


async def test_large_unary(pair: Pair) -> None:
    sent, wanted = UNARY_SIZES
    request = pair.pb.UnaryCallRequest(response_size=wanted, payload=pair.pb.Payload(body=bytes(sent)))
    response = await pair.stub.UnaryCall(request, timeout=LIMIT)
    assert response.payload.body == bytes(wanted)


async def test_client_streaming(pair: Pair) -> None:
    async def requests() -> AsyncIterator[Any]:
        for size in REQUEST_SIZES:
            yield pair.pb.StreamingInputCallRequest(payload=pair.pb.Payload(body=bytes(size)))

    response = await pair.stub.StreamingInputCall(requests(), timeout=LIMIT)
    assert response.aggregated_payload_size == 74922


async def test_server_streaming(pair: Pair) -> None:
    request = pair.pb.StreamingOutputCallRequest(response_sizes=RESPONSE_SIZES)
    call = pair.stub.StreamingOutputCall(request, timeout=LIMIT)
    assert [len(response.payload.body) async for response in call] == list(RESPONSE_SIZES)
    assert await call.code() is grpc.StatusCode.OK


async def test_ping_pong(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall(timeout=LIMIT)
    for sent, wanted in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
        await call.write(ping(pair, sent, wanted))
        assert len((await call.read()).payload.body) == wanted
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_empty_stream(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall(timeout=LIMIT)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_custom_metadata_of_a_unary_call(pair: Pair) -> None:
    sent, wanted = UNARY_SIZES
    request = pair.pb.UnaryCallRequest(response_size=wanted, payload=pair.pb.Payload(body=bytes(sent)))
    call = pair.stub.UnaryCall(request, metadata=METADATA, timeout=LIMIT)
    assert len((await call).payload.body) == wanted
    assert (await call.initial_metadata())[INITIAL_KEY] == "test_initial_metadata_value"
    assert (await call.trailing_metadata())[TRAILING_KEY] == b"\xab\xab\xab"


async def test_custom_metadata_of_a_full_duplex_call(pair: Pair) -> None:
    sent, wanted = UNARY_SIZES
    call = pair.stub.FullDuplexCall(metadata=METADATA, timeout=LIMIT)
    await call.write(ping(pair, sent, wanted))
    assert (await call.initial_metadata())[INITIAL_KEY] == "test_initial_metadata_value"
    assert len((await call.read()).payload.body) == wanted
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert (await call.trailing_metadata())[TRAILING_KEY] == b"\xab\xab\xab"


async def test_status_code_and_message_of_a_unary_call(pair: Pair) -> None:
    status = pair.pb.EchoStatus(code=2, message="test status message")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await pair.stub.UnaryCall(pair.pb.UnaryCallRequest(response_status=status), timeout=LIMIT)
    assert failure.value.code() is grpc.StatusCode.UNKNOWN
    assert failure.value.details() == "test status message"


async def test_status_code_and_message_of_a_full_duplex_call(pair: Pair) -> None:
    status = pair.pb.EchoStatus(code=2, message="test status message")
    call = pair.stub.FullDuplexCall(timeout=LIMIT)
    await call.write(pair.pb.FullDuplexCallRequest(response_status=status))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    assert failure.value.code() is await call.code() is grpc.StatusCode.UNKNOWN
    assert failure.value.details() == await call.details() == "test status message"


async def test_special_status_message(pair: Pair) -> None:
    status = pair.pb.EchoStatus(code=2, message=SPECIAL_MESSAGE)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await pair.stub.UnaryCall(pair.pb.UnaryCallRequest(response_status=status), timeout=LIMIT)
    assert failure.value.code() is grpc.StatusCode.UNKNOWN
    assert failure.value.details() == SPECIAL_MESSAGE


async def test_unimplemented_method(pair: Pair) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await pair.stub.UnimplementedCall(pair.pb.UnimplementedCallRequest(), timeout=LIMIT)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_unimplemented_service(pair: Pair) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await pair.unimplemented.UnimplementedCall(pair.pb.UnimplementedCallRequest(), timeout=LIMIT)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_cancel_after_begin(pair: Pair) -> None:
    call = pair.stub.StreamingInputCall(timeout=LIMIT)
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancel_after_first_response(pair: Pair) -> None:
    call = pair.stub.FullDuplexCall(timeout=LIMIT)
    await call.write(ping(pair, REQUEST_SIZES[0], RESPONSE_SIZES[0]))
    assert len((await call.read()).payload.body) == RESPONSE_SIZES[0]
    # What earlier cases left behind.
    pair.servicer.ended.clear()
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    async with asyncio.timeout(LIMIT):
        await pair.servicer.ended.wait()


async def test_timeout_on_sleeping_server(pair: Pair) -> None:
    over = asyncio.Event()

    async def requests() -> AsyncIterator[Any]:
        yield pair.pb.FullDuplexCallRequest(payload=pair.pb.Payload(body=bytes(27182)))
        await over.wait()

    call = pair.stub.FullDuplexCall(requests(), timeout=0.001)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    over.set()
    # Where the server has ended the call before the first message was written, grpc.aio's own client now and then has
    # the failed write for the call's status; the kit's clients do not (`kit.client.streams`).
    lost = failure.value.code() is grpc.StatusCode.INTERNAL and "SendMessage" in (
        failure.value.debug_error_string() or ""
    )
    if not (lost and pair.client == "grpc.aio"):
        assert failure.value.code() is await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
