"""A server with every layer that there is: what the layers leave behind, and a client that is no kit's and no aio's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from kit.errors import details_of
from tests.conformance.interop.conftest import SERVICERS, Served, everything
from tests.conformance.interop.service import INITIAL_KEY, TRAILING_KEY, Generated
from tests.conformance.interop.test_cases import LIMIT, REQUEST_SIZES, RESPONSE_SIZES


@pytest.fixture(scope="module", params=list(SERVICERS))
async def whole(request: pytest.FixtureRequest, generated: Generated) -> AsyncIterator[Served]:
    async with everything(generated, request.param) as served:
        yield served


@pytest.fixture(scope="module")
async def stub(whole: Served, generated: Generated) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(whole.address) as channel:
        yield generated.rpc.TestServiceStub(channel)


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == name]


async def test_a_call_has_its_line_in_the_access_log_and_in_the_audit(
    stub: Any, generated: Generated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await stub.EmptyCall(generated.pb.EmptyCallRequest(), timeout=LIMIT, metadata=(("x-request-id", "r7"),))
    for name in ("kit.access", "kit.audit"):
        (line,) = lines(caplog, name)
        assert "/kitinterop.v1.TestService/EmptyCall" in line
        assert "anybody" in line
        assert "trace_id=" in line
    assert "request_id='r7'" in lines(caplog, "kit.access")[0]


async def test_a_request_that_breaks_a_rule_is_refused_in_every_shape_that_has_rules(
    stub: Any, generated: Generated
) -> None:
    pb = generated.pb

    async def unary() -> None:
        await stub.UnaryCall(pb.UnaryCallRequest(response_status=pb.EchoStatus(code=99)), timeout=LIMIT)

    async def output() -> None:
        await stub.StreamingOutputCall(pb.StreamingOutputCallRequest(response_sizes=[1, -1]), timeout=LIMIT).read()

    async def input_() -> None:
        async def requests() -> AsyncIterator[Any]:
            yield pb.StreamingInputCallRequest(payload=pb.Payload())
            yield pb.StreamingInputCallRequest()

        await stub.StreamingInputCall(requests(), timeout=LIMIT)

    async def duplex() -> None:
        call = stub.FullDuplexCall(timeout=LIMIT)
        await call.write(pb.FullDuplexCallRequest(response_sizes=[-1]))
        await call.read()

    fields = []
    for act in (unary, output, input_, duplex):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await act()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        fields += [violation.field for violation in details_of(refused.value).violations]
    assert fields == ["response_status.code", "response_sizes[1]", "payload", "response_sizes[0]"]


async def test_a_message_of_a_stream_that_is_none_is_the_clients_fault(whole: Served) -> None:
    async with grpc.aio.insecure_channel(whole.address) as channel:
        for method in ("StreamingInputCall", "FullDuplexCall"):
            call: Any = channel.stream_stream(f"/kitinterop.v1.TestService/{method}")(timeout=LIMIT)
            await call.write(b"\xff\xff\xff")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "not a message of the type" in (refused.value.details() or "")


async def test_a_key_that_was_used_gives_the_same_answer(stub: Any, generated: Generated) -> None:
    request = generated.pb.UnaryCallRequest(response_size=3)
    metadata = (("idempotency-key", "k-1"), (INITIAL_KEY, "x"))
    answers = [await stub.UnaryCall(request, timeout=LIMIT, metadata=metadata) for _ in range(2)]
    assert answers[0] == answers[1]


async def test_a_method_that_nobody_wrote_is_unimplemented_with_a_status(whole: Served, generated: Generated) -> None:
    async with grpc.aio.insecure_channel(whole.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await generated.rpc.TestServiceStub(channel).UnimplementedCall(
                generated.pb.UnimplementedCallRequest(), timeout=LIMIT
            )
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert details_of(failed.value).message == failed.value.details()
    assert "Method not implemented!" not in (failed.value.details() or "")


async def test_a_synchronous_client_of_stock_grpc_is_served_in_every_shape(whole: Served, generated: Generated) -> None:
    pb = generated.pb

    def play() -> None:
        with grpc.insecure_channel(whole.address) as channel:
            stub = generated.rpc.TestServiceStub(channel)
            metadata = ((INITIAL_KEY, "initial"), (TRAILING_KEY, b"\xab"))
            response, call = stub.UnaryCall.with_call(
                pb.UnaryCallRequest(response_size=5), timeout=LIMIT, metadata=metadata
            )
            assert response.payload.body == bytes(5)
            assert dict(call.initial_metadata())[INITIAL_KEY] == "initial"
            assert dict(call.trailing_metadata())[TRAILING_KEY] == b"\xab"
            sent = (pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(size))) for size in REQUEST_SIZES)
            assert stub.StreamingInputCall(sent, timeout=LIMIT).aggregated_payload_size == sum(REQUEST_SIZES)
            wanted = pb.StreamingOutputCallRequest(response_sizes=RESPONSE_SIZES)
            answers = stub.StreamingOutputCall(wanted, timeout=LIMIT)
            assert [len(one.payload.body) for one in answers] == list(RESPONSE_SIZES)
            assert [len(one.payload.body) for one in stub.FullDuplexCall(asked(), timeout=LIMIT)] == [1, 2]
            status = pb.EchoStatus(code=5, message="no such thing")
            with pytest.raises(grpc.RpcError) as failed:
                stub.UnaryCall(pb.UnaryCallRequest(response_status=status), timeout=LIMIT)
            error: Any = failed.value
            assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")

    def asked() -> Iterator[Any]:
        for size in (1, 2):
            yield pb.FullDuplexCallRequest(response_sizes=[size])

    await asyncio.to_thread(play)
