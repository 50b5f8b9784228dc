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
from kit.client.endpoints import Endpoint
from kit.client.events import ChannelEvent, EndpointsChanged
from kit.discovery import Registry
from kit.errors import CallRefused, NoEndpoint
from kit.policy import BalanceKind
from kit.server import Server
from kit.testing import Fault, Faults, VirtualClock
from tests.integration.client.echo import UNARY, UNSAFE, Context, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
IN_TURN = kit.MethodPolicy(balance=kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN))


class Group:
    """Echo servers of one test, each with its faults."""

    def __init__(self, stack: AsyncExitStack, registry: Registry) -> None:
        self._stack = stack
        self.registry = registry

    async def start(self, *, register: bool = False, weight: float = 1.0) -> tuple[Server, Faults]:
        faults = Faults()
        server = Server(
            "echo",
            listen="127.0.0.1:0",
            register=register,
            registry=self.registry,
            interceptors=(faults,),
            grace=0.0,
            weight=weight,
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


async def test_an_instance_gets_calls_by_the_weight_that_it_is_registered_with(group: Group) -> None:
    _, light = await group.start(register=True)
    _, heavy = await group.start(register=True, weight=3.0)
    policy = kit.MethodPolicy(balance=kit.BalancePolicy(kind=BalanceKind.WEIGHTED))
    async with kit.channel("local:///echo", registry=group.registry, policy=policy) as channel:
        for _ in range(8):
            await EchoStub(channel).Unary(text())
    assert (light.count(UNARY), heavy.count(UNARY)) == (2, 6)


async def test_a_weight_that_changes_is_heeded(group: Group) -> None:
    servers = [await group.start(register=True) for _ in range(2)]
    clock = VirtualClock()
    policy = kit.MethodPolicy(balance=kit.BalancePolicy(kind=BalanceKind.WEIGHTED))
    async with Channel("local:///echo", registry=group.registry, policy=policy, clock=clock) as channel:
        for _ in range(2):
            await EchoStub(channel).Unary(text())
        registration = servers[0][0]._registration
        assert registration is not None
        registration.update(weight=7.0)
        await clock.advance(0.2)
        before = [faults.count(UNARY) for _, faults in servers]
        for _ in range(16):
            await EchoStub(channel).Unary(text())
        after = [faults.count(UNARY) - count for (_, faults), count in zip(servers, before, strict=True)]
    assert after == [14, 2]


async def test_an_endpoint_that_is_dialled_again_gets_a_new_connection_and_calls_in_flight_end_over_the_old_one() -> (
    None
):
    peers: list[str] = []
    go = asyncio.Event()

    async def act(name: str, context: Context) -> None:
        peers.append(context.peer())
        if len(peers) == 1:
            arrived.set()
            await go.wait()

    arrived = asyncio.Event()
    server = Server("echo", listen="127.0.0.1:0", register=False, grace=0.0).add(Echo(act), add_echo)
    async with server, kit.channel(server.address) as channel:
        stub = EchoStub(channel)
        in_flight = stub.Unary(text())
        await arrived.wait()
        stream = stub.Both()
        await stream.write(text("before"))
        assert (await stream.read()).value == "before"
        endpoints = channel._endpoints
        (endpoint,) = endpoints.all
        endpoints.redial(endpoint)
        assert endpoints.all == [endpoint]
        await stub.Unary(text())
        await stream.write(text("after"))
        assert (await stream.read()).value == "after"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        go.set()
        assert (await in_flight).value == "hello"
    assert peers[0] == peers[1] != peers[2]


async def test_an_old_connection_is_closed_with_its_last_call(group: Group) -> None:
    server, faults = await group.start()
    go = asyncio.Event()
    faults.script(UNARY, [Fault(until=go)])
    async with kit.channel(server.address) as channel:
        in_flight = EchoStub(channel).Unary(text())
        await faults.arrived(UNARY)
        (endpoint,) = channel._endpoints.all
        old = endpoint.channel
        channel._endpoints.redial(endpoint)
        (closing,) = channel._endpoints._retiring
        go.set()
        await in_flight
        async with asyncio.timeout(5):
            await closing
        assert old.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_waiting_for_a_connection_goes_on_over_the_new_one(group: Group) -> None:
    server, _ = await group.start()
    # It listens, but nobody answers: the connection never stands.
    reached: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    silent = await asyncio.start_server(lambda _, writer: reached.set_result(writer), "127.0.0.1", 0)
    opened = [f"127.0.0.1:{silent.sockets[0].getsockname()[1]}", server.address]
    async with Channel("h:1", open_channel=lambda _: grpc.aio.insecure_channel(opened.pop(0))) as channel:
        call = EchoStub(channel).Unsafe(text())
        waiting = asyncio.ensure_future(call.code())
        (endpoint,) = channel._endpoints.all
        nobody = await reached
        channel._endpoints.redial(endpoint)
        assert (await call).value == "hello"
        assert await waiting is grpc.StatusCode.OK
    nobody.close()
    silent.close()
    await silent.wait_closed()


async def test_an_endpoint_that_has_gone_is_not_dialled_again(group: Group) -> None:
    server, _ = await group.start()
    async with kit.channel(server.address) as channel:
        stranger = Endpoint("h:1", grpc.aio.insecure_channel("h:1"))
        channel._endpoints.redial(stranger)
        assert not channel._endpoints._retiring
        await stranger.channel.close()
    channel._endpoints.redial(channel._endpoints.all[0])
    assert not channel._endpoints._retiring


@pytest.mark.parametrize("grace", [None, 0.0, 0.01])
async def test_closing_the_channel_ends_what_is_still_on_its_way_over_an_old_connection(
    group: Group, grace: float | None
) -> None:
    server, faults = await group.start()
    faults.script(UNARY, [Fault(until=asyncio.Event())])
    channel = kit.channel(server.address)
    call = EchoStub(channel).Unary(text())
    seen = await faults.arrived(UNARY)
    (endpoint,) = channel._endpoints.all
    old = endpoint.channel
    channel._endpoints.redial(endpoint)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await channel.close(grace)
        with pytest.raises(asyncio.CancelledError):
            await call
        await seen.cancelled.wait()
    assert old.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_closing_the_channel_with_grace_waits_for_old_connections_too(group: Group) -> None:
    server, faults = await group.start()
    go = asyncio.Event()
    faults.script(UNARY, [Fault(until=go)])
    channel = kit.channel(server.address)
    call = EchoStub(channel).Unary(text())
    await faults.arrived(UNARY)
    channel._endpoints.redial(channel._endpoints.all[0])
    await asyncio.sleep(0)
    closing = asyncio.create_task(channel.close(grace=5))
    await asyncio.sleep(0)
    go.set()
    assert (await call).value == "hello"
    await closing


async def test_what_comes_and_goes_is_told(group: Group) -> None:
    first, _ = await group.start(register=True)
    events: list[ChannelEvent] = []
    new: list[Endpoint] = []
    async with kit.channel("local:///echo", registry=group.registry, on_event=events.append, warm_up=False) as channel:
        channel._endpoints.on_new.append(new.append)
        second, _ = await group.start(register=True)
        await first.stop(0)
        await EchoStub(channel).Unary(text())
        assert new == channel._endpoints.all
    changes = [event for event in events if isinstance(event, EndpointsChanged)]
    assert changes[0].added == (first.address,)
    assert changes[-1].removed == (first.address,)
    assert second.address in str(changes[1:])


async def test_where_nobody_of_a_list_can_be_connected_the_error_names_all_of_them(dead_address: str) -> None:
    other = dead_address.replace("127.0.0.1", "127.0.0.2")
    async with kit.channel([dead_address, other]) as channel:
        with pytest.raises(NoEndpoint) as failure:
            await EchoStub(channel).Unsafe(text())
    details = failure.value.details() or ""
    assert f"tried {dead_address} TRANSIENT_FAILURE, {other} TRANSIENT_FAILURE" in details
    assert "Connection refused" in details
    assert "nothing was sent" in details


async def test_a_call_that_may_wait_waits_for_a_service_as_long_as_its_deadline(group: Group) -> None:
    clock = VirtualClock()
    async with Channel("local:///echo", registry=group.registry, clock=clock) as channel:
        call = EchoStub(channel).Unary(text(), wait_for_ready=True)
        waiting = asyncio.ensure_future(call.code())
        await clock.advance(10.0)
        assert not waiting.done()
        await group.start(register=True)
        await clock.advance(0.1)
        assert (await call).value == "hello"
        assert await waiting is grpc.StatusCode.OK


async def test_what_fails_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise RuntimeError("on purpose")

    async with kit.channel("h:1") as channel:
        task = channel._endpoints.background(fails())
        await asyncio.wait({task})
        await asyncio.sleep(0)
    assert "on purpose" in caplog.text
