"""Where `kit.channel` does not do what a bare channel does. docs/dropin.md lists these with their reasons."""

from __future__ import annotations

import asyncio
import gc
import math
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.errors import CallFailed, CallRefused, ConfigurationError, InvalidMetadata, UsageError, UsageTypeError
from kit.policy import BalanceKind
from tests.conformance.dropin.conftest import bare
from tests.conformance.dropin.served import ECHO, Served, Stub

PAGE = Path(__file__).parents[3] / "docs" / "dropin.md"


@pytest.fixture
def is_kit(kind: str) -> bool:
    return kind == "kit.channel"


def test_the_page_has_a_section_for_each_difference() -> None:
    sections = [line for line in PAGE.read_text().splitlines() if line.startswith("## ")]
    tests = [name for name in globals() if name.startswith("test_")]
    assert len(sections) == len(tests) - 1  # this one


async def test_interceptors_are_no_argument_of_the_kits_channel(served: Served) -> None:
    channel: Any = kit.channel
    with pytest.raises(TypeError, match="interceptors"):
        channel(served.address, interceptors=[])


async def test_what_is_no_target_is_refused_when_the_channel_is_opened(is_kit: bool) -> None:
    target = "nonsense:99999999"
    if is_kit:
        with pytest.raises(ConfigurationError, match="is not an address"):
            kit.channel(target)
        return
    async with bare(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await Stub(channel).Echo(b"x", timeout=5)


async def test_calls_to_a_name_in_dns_go_to_all_its_addresses(served: Served) -> None:
    addresses = [served.address, served.address.replace("127.0.0.1", "localhost")]

    async def answer(host: str, port: int) -> list[str]:
        return addresses

    policy = kit.MethodPolicy(balance=kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN))
    async with Channel("dns:///served:1", resolver=answer, policy=policy) as channel:
        stub = Stub(channel)
        seen: set[str] = set()
        async with asyncio.timeout(10):
            while len(seen) < len(addresses):
                call = stub.Echo(b"x")
                await call
                seen.add(kit.report(call).attempts[0].endpoint)
    with pytest.raises(ConfigurationError, match="names a DNS server"):
        kit.channel("dns://127.0.0.1/served:1")


async def test_a_channel_is_opened_inside_the_event_loop(served: Served) -> None:
    def outside(make: Any) -> object:
        try:
            return make(served.address)
        except UsageError as error:
            return error

    # Another thread has no running loop. A bare channel would look for one there, and be tied to it.
    assert isinstance(await asyncio.to_thread(outside, kit.channel), UsageError)


async def test_a_channel_connects_by_itself_unless_it_is_told_not_to(served: Served) -> None:
    warm = asyncio.Event()
    async with (
        kit.channel(served.address, on_event=lambda _: warm.set()) as channel,
        kit.channel(served.address, warm_up=False) as cold,
        bare(served.address) as plain,
    ):
        assert channel.get_state() is grpc.ChannelConnectivity.IDLE
        async with asyncio.timeout(10):
            await warm.wait()
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        assert cold.get_state() is plain.get_state() is grpc.ChannelConnectivity.IDLE
    assert served.seen == []


async def test_a_failure_is_an_error_of_the_kit_with_a_report(stub: Stub, is_kit: bool) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Fail(b"x")
    assert type(failure.value) is (CallFailed if is_kit else grpc.aio.AioRpcError)
    assert (kit.report(failure.value) is not None) if is_kit else not hasattr(failure.value, "report")


async def test_a_call_without_a_time_out_has_the_policys(served: Served) -> None:
    async with kit.channel(served.address, policy=kit.MethodPolicy(timeout=20)) as channel:
        assert 19 < Stub(channel).Echo(b"x").time_remaining() <= 20
    async with kit.channel(served.address) as channel:
        assert Stub(channel).Echo(b"x").time_remaining() is None


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_call_whose_time_is_over_is_refused_here(served: Served, timeout: float) -> None:
    # Over a bare channel it may be sent, and even be answered.
    async with kit.channel(served.address) as channel:
        call = Stub(channel).Echo(b"x", timeout=timeout)
        with pytest.raises(CallRefused, match="nothing was sent") as failure:
            await call
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await call.initial_metadata() == await call.trailing_metadata() == grpc.aio.Metadata()
    assert served.seen == []


async def test_a_call_to_nobody_is_tried_again_where_the_policy_says_so(nowhere: str) -> None:
    policy = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=2, initial_backoff=0.001))
    async with kit.channel(nowhere, policy=policy) as channel:
        with pytest.raises(CallRefused, match="nothing was sent") as failure:
            await Stub(channel).Echo(b"x")
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stream_that_nobody_refers_to_is_cancelled(stub: Stub, served: Served, is_kit: bool) -> None:
    call = stub.Words(b"a ...")
    assert await call.read() == b"a"
    del call
    gc.collect()
    if is_kit:
        async with asyncio.timeout(5):
            await served.cancelled.wait()
    else:
        assert not served.cancelled.is_set()


async def write_for_ever(call: Any) -> None:
    while True:
        await call.write(bytes(1 << 20))


@pytest.mark.parametrize("client", ["kit.channel", "kit.client_interceptors"])
async def test_a_write_that_the_end_cuts_short_tells_the_servers_status(served: Served, client: str) -> None:
    # Over a bare channel about every third of these calls ends INTERNAL "Internal error from Core".
    channel: grpc.aio.Channel
    if client == "kit.channel":
        channel = kit.channel(served.address)
    else:
        channel = grpc.aio.insecure_channel(served.address, interceptors=kit.client_interceptors())
    async with channel:
        stub = Stub(channel)
        for _ in range(15):
            call = stub.Refuse()
            with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)) as failure:
                await write_for_ever(call)
            if isinstance(failure.value, grpc.aio.AioRpcError):
                assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await call.details() == "too much"
            assert (await call.trailing_metadata())["at-the-end"] == "trace"
            with pytest.raises(grpc.aio.AioRpcError) as answer:
                await call
            assert answer.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_over_the_limit_is_refused_before_it_is_sent(stub: Stub, served: Served, is_kit: bool) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.Echo(b"x", metadata=(("large", "x" * 20_000),))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert isinstance(failure.value, CallRefused) == is_kit
    assert served.seen == []


async def test_what_cannot_be_sent_is_refused_where_it_is_given(stub: Stub, served: Served, is_kit: bool) -> None:
    if is_kit:
        with pytest.raises(InvalidMetadata, match="write 'key'"):
            stub.Words(b"x", metadata=(("Key", "value"),))
        with pytest.raises(InvalidMetadata, match="give timeout= instead"):
            stub.Echo(b"x", metadata=(("grpc-timeout", "1n"),))
        assert await stub.Echo(b"x", timeout=math.inf) == b"x"
        return
    assert await stub.Words(b"x", metadata=(("Key", "value"),)).code() is grpc.StatusCode.INTERNAL
    assert await stub.Echo(b"x", timeout=math.inf).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert served.seen == []
    # Sent as it is: the server is told another deadline than the client keeps.
    assert await stub.Echo(b"x", metadata=(("grpc-timeout", "9S"),)) == b"x"


async def test_a_request_that_cannot_be_serialised_is_not_sent(
    channel: grpc.aio.Channel, served: Served, is_kit: bool
) -> None:
    def serialize(request: object) -> bytes:
        raise TypeError("not bytes")

    call: Any = channel.unary_unary(ECHO, serialize)(7)
    if is_kit:
        with pytest.raises(UsageTypeError, match=r"/dropin.Calls/Echo: the request, int 7, cannot be serialised"):
            await call
        assert served.seen == []
    else:
        assert await call == b""
