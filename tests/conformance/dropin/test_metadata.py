"""Metadata that goes with a call, in all its forms, and what is refused."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conformance.dropin.conftest import Open
from tests.conformance.dropin.served import INITIAL, TRAILING, Served, Stub

PAIRS: tuple[tuple[str, str | bytes], ...] = (("question", "why"), ("question", "how"), ("raw-bin", b"\x07\x00\xff"))


@pytest.mark.parametrize(
    "metadata", [PAIRS, list(PAIRS), grpc.aio.Metadata(*PAIRS)], ids=["tuple", "list", "aio.Metadata"]
)
async def test_every_form_of_metadata_arrives_in_order(stub: Stub, served: Served, metadata: Any) -> None:
    await stub.Echo(b"x", metadata=metadata)
    assert [pair for pair in served.seen[0] if pair[0] in ("question", "raw-bin")] == list(PAIRS)


@pytest.mark.parametrize("metadata", [None, (), [], grpc.aio.Metadata()])
async def test_no_metadata_is_no_metadata(stub: Stub, served: Served, metadata: Any) -> None:
    await stub.Echo(b"x", metadata=metadata)
    assert {key for key, _ in served.seen[0]} <= {"user-agent"}


async def test_the_callers_metadata_is_not_changed(stub: Stub) -> None:
    metadata = grpc.aio.Metadata(("question", "why"))
    await stub.Echo(b"x", metadata=metadata)
    assert metadata == grpc.aio.Metadata(("question", "why"))


async def first_answer(call: Any) -> Any:
    return await (call if isinstance(call, (grpc.aio.UnaryUnaryCall, grpc.aio.StreamUnaryCall)) else call.read())


@pytest.mark.parametrize(
    "metadata",
    [((42, 42),), (({}, {}),), ((None, {}),), (("normal", object()),), (("normal", 7),)],
    ids=["number as key", "mapping as key", "no key", "object as value", "number as value"],
)
@pytest.mark.parametrize("method", ["Echo", "Words", "Join", "Relay"])
async def test_what_is_no_metadata_is_a_type_error(stub: Stub, served: Served, metadata: Any, method: str) -> None:
    make = getattr(stub, method)
    with pytest.raises(TypeError):
        await first_answer(make(b"x" if method in ("Echo", "Words") else iter([b"x"]), metadata=metadata))
    assert served.seen == []


@pytest.mark.parametrize(
    "metadata",
    [(("Upper", "x"),), (("with space", "x"),), (("ünicode", "x"),)],
    ids=["upper case", "space", "not ASCII"],
)
async def test_an_illegal_key_fails_the_call_before_it_is_sent(stub: Stub, served: Served, metadata: Any) -> None:
    with pytest.raises(grpc.aio.InternalError):
        await stub.Echo(b"x", metadata=metadata)
    assert served.seen == []


async def test_metadata_of_the_server_arrives_with_a_unary_call(stub: Stub) -> None:
    call = stub.Echo(b"x", metadata=(("metadata", "1"),))
    assert await call.initial_metadata() == grpc.aio.Metadata(*INITIAL)
    assert await call.trailing_metadata() == grpc.aio.Metadata(*TRAILING)
    assert isinstance(await call.initial_metadata(), grpc.aio.Metadata)
    assert await call == b"x"


async def test_the_user_agent_says_grpc_and_what_the_option_adds(open_channel: Open, served: Served) -> None:
    stub = Stub(open_channel(options=(("grpc.primary_user_agent", "mine/1"),)))
    await stub.Echo(b"x")
    agent = served.header("user-agent")
    assert isinstance(agent, str)
    assert agent.startswith("mine/1 grpc-python-asyncio/")
