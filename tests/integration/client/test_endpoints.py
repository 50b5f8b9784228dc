"""Where calls go: lists of endpoints, the local registry, and endpoints that come and go."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.discovery import Registry
from kit.errors import CallRefused, NoEndpoint
from kit.policy import BalanceKind
from kit.server import Server
from kit.testing import Fault, Faults, VirtualClock
from tests.integration.client.echo import UNARY, UNSAFE, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
IN_TURN = kit.MethodPolicy(balance=kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN))


class Group:
    """Echo servers of one test, each with its faults."""

    def __init__(self, stack: AsyncExitStack, registry: Registry) -> None:
        self._stack = stack
        self.registry = registry

    async def start(self, *, register: bool = False) -> tuple[Server, Faults]:
        faults = Faults()
        server = Server(
            "echo",
            listen="127.0.0.1:0",
            register=register,
            registry=self.registry,
            interceptors=(faults,),
            grace=0.0,
        ).add(Echo(), add_echo)
        await self._stack.enter_async_context(server)
        return server, faults


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    async with AsyncExitStack() as stack:
        yield Group(stack, Registry(tmp_path))


@pytest.fixture
def dead_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


async def test_calls_go_to_every_endpoint_in_turn(group: Group) -> None:
    servers = [await group.start() for _ in range(3)]
    async with kit.channel(",".join(server.address for server, _ in servers), policy=IN_TURN) as channel:
        for _ in range(6):
            await EchoStub(channel).Unary(text())
    assert [faults.count(UNARY) for _, faults in servers] == [2, 2, 2]


async def test_a_retry_goes_to_an_endpoint_that_has_not_failed(group: Group) -> None:
    (good, _), (bad, bad_faults) = await group.start(), await group.start()
    bad_faults.script(UNARY, [UNAVAILABLE] * 10)
    async with kit.channel([bad.address, good.address]) as channel:
        for _ in range(4):
            call = EchoStub(channel).Unary(text())
            await call
            assert kit.report(call).attempts[-1].endpoint == good.address
            assert len(kit.report(call).attempts) <= 2


async def test_when_every_endpoint_has_failed_it_is_at_least_not_the_same_one_again(group: Group) -> None:
    servers = [await group.start() for _ in range(2)]
    for _, faults in servers:
        faults.script(UNARY, [UNAVAILABLE] * 4)
    async with kit.channel([server.address for server, _ in servers]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await EchoStub(channel).Unary(text())
    tried = [attempt.endpoint for attempt in kit.report(failure.value).attempts]
    assert len(tried) == 4
    assert all(one != other for one, other in itertools.pairwise(tried))


async def test_an_endpoint_that_is_down_costs_a_safe_call_nothing_but_an_attempt(
    group: Group, dead_address: str
) -> None:
    server, _ = await group.start()
    async with kit.channel([dead_address, server.address]) as channel:
        for _ in range(4):
            assert (await EchoStub(channel).Unary(text())).value == "hello"


async def test_a_call_that_is_not_safe_moves_on_where_provably_nothing_was_sent(
    group: Group, dead_address: str
) -> None:
    server, faults = await group.start()
    async with kit.channel([dead_address, server.address]) as channel:
        for _ in range(4):
            call = EchoStub(channel).Unsafe(text())
            assert (await call).value == "hello"
    assert faults.count(UNSAFE) == 4
    # An attempt that was never sent is none that a server could have seen.
    assert all(seen.header("kit-previous-rpc-attempts") is None for seen in faults.seen)


async def test_a_call_that_is_not_safe_is_refused_when_nobody_can_be_reached(dead_address: str) -> None:
    async with kit.channel(dead_address) as channel:
        with pytest.raises(CallRefused) as failure:
            await EchoStub(channel).Unsafe(text())
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "nothing was sent" in (failure.value.details() or "")
    assert kit.report(failure.value).stop_reason == "ATTEMPTS_EXHAUSTED"


async def test_a_service_that_restarts_on_another_port_is_found_again(group: Group) -> None:
    first, _ = await group.start(register=True)
    async with kit.channel("local:///echo", registry=group.registry) as channel:
        stub = EchoStub(channel)
        await stub.Unary(text())
        await first.stop(0)
        second, faults = await group.start(register=True)
        assert second.address != first.address
        await stub.Unsafe(text())
        await stub.Unary(text())
        assert len(faults.seen) == 2


async def test_a_new_instance_gets_its_share(group: Group) -> None:
    await group.start(register=True)
    clock = VirtualClock()
    async with Channel("local:///echo", registry=group.registry, clock=clock, policy=IN_TURN) as channel:
        stub = EchoStub(channel)
        await stub.Unary(text())
        _, faults = await group.start(register=True)
        await clock.advance(0.2)
        for _ in range(2):
            await stub.Unary(text())
        assert faults.count(UNARY) == 1


async def test_a_call_waits_for_a_service_that_is_about_to_appear(group: Group) -> None:
    clock = VirtualClock()
    async with Channel("local:///echo", registry=group.registry, clock=clock) as channel:
        call = EchoStub(channel).Unary(text())
        waiting = asyncio.ensure_future(call.code())
        await clock.advance(0.5)
        assert not waiting.done()
        await group.start(register=True)
        await clock.advance(0.1)
        assert (await call).value == "hello"
        assert await waiting is grpc.StatusCode.OK


async def test_a_service_that_does_not_appear_is_named_after_two_seconds(group: Group) -> None:
    clock = VirtualClock(autojump=True)
    async with Channel("local:///nobody", registry=group.registry, clock=clock) as channel:
        with pytest.raises(NoEndpoint, match="no instance of 'nobody' is registered") as failure:
            await EchoStub(channel).Unary(text())
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert sum(clock.sleeps) == pytest.approx(2.0)
    assert kit.report(failure.value).stop_reason == "NO_ENDPOINT"


async def test_the_deadline_bounds_the_wait_for_a_service(group: Group) -> None:
    clock = VirtualClock(autojump=True)
    async with Channel("local:///nobody", registry=group.registry, clock=clock) as channel:
        with pytest.raises(NoEndpoint):
            await EchoStub(channel).Unary(text(), timeout=0.3)
    assert sum(clock.sleeps) == pytest.approx(0.3)


async def test_the_channels_state_is_the_best_of_its_endpoints(group: Group, dead_address: str) -> None:
    server, _ = await group.start()
    channel = kit.channel([dead_address, server.address])
    assert channel.get_state() is grpc.ChannelConnectivity.IDLE
    async with asyncio.timeout(5):
        await channel.channel_ready()
    assert channel.get_state() is grpc.ChannelConnectivity.READY
    await channel.close()
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_channel_that_is_closed_takes_no_calls(group: Group) -> None:
    server, _ = await group.start()
    channel = kit.channel(server.address)
    stub = EchoStub(channel)
    await channel.close()
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        stub.Unary(text())


async def test_closing_with_grace_lets_calls_in_flight_end(group: Group) -> None:
    server, faults = await group.start()
    go = asyncio.Event()
    faults.script(UNARY, [Fault(until=go)])
    channel = kit.channel(server.address)
    call = EchoStub(channel).Unary(text())
    await faults.arrived(UNARY)
    closing = asyncio.create_task(channel.close(grace=5))
    await asyncio.sleep(0)
    go.set()
    assert (await call).value == "hello"
    await closing


async def test_closing_without_grace_cancels_calls_in_flight(group: Group) -> None:
    server, faults = await group.start()
    faults.script(UNARY, [Fault(until=asyncio.Event())])
    channel = kit.channel(server.address)
    call = EchoStub(channel).Unary(text())
    seen = await faults.arrived(UNARY)
    await channel.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(5):
        await seen.cancelled.wait()
