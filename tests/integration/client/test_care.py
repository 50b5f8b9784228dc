"""What a channel does for its connections between calls: warm-up, reconnecting, statistics, and how that ends."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel, HealthCheck, guards
from kit.client.events import Reconnected, ReconnectFailed, WarmedUp
from kit.discovery import Registry
from kit.errors import UsageError
from kit.server import Server
from kit.testing import Fault, LoopClock, VirtualClock, run_virtually
from kit.testing._simulated import SimulatedChannel, World
from kit.testing.plan import FaultPlan, Outage
from tests.integration.client.caring import CHECK, Clock, Half, Servers, Told, eventually, free_address
from tests.integration.client.echo import UNARY, Echo, EchoStub, add_echo, text

IN_TURN = kit.MethodPolicy(balance=kit.BalancePolicy(kind=kit.policy.BalanceKind.ROUND_ROBIN))
ONCE = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1))
State = grpc.ChannelConnectivity
PROJECT = Path(kit.__file__).parent.parent


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def dead_address() -> str:
    return free_address()


async def until(channel: Channel, wanted: State) -> None:
    """Follows the state of the only endpoint. (The channel's own looks at its clock as well, which stands still.)"""
    (endpoint,) = channel._endpoints.all
    async with asyncio.timeout(10):
        while (state := endpoint.state()) is not wanted:
            await endpoint.left(state)


# Warm-up


async def test_a_channel_is_connected_a_tenth_of_a_second_after_it_was_opened(servers: Servers) -> None:
    server, faults = await servers.start()
    told, clock = Told(), VirtualClock()
    async with Channel(server.address, clock=clock, on_event=told, warm_up=True) as channel:
        await clock.advance(0.09)
        assert channel.get_state() is State.IDLE
        await clock.advance(0.01)
        warmed = await told.one(WarmedUp)
        assert (warmed.connected, warmed.failed) == ((server.address,), ())
        assert channel.get_state() is State.READY
        assert str(warmed) == f"{server.address}: warmed up, 1 connected in 0 ms"
    assert faults.seen == []


async def test_warm_up_is_what_kit_channel_does_unless_it_is_told_not_to(servers: Servers) -> None:
    server, _ = await servers.start()
    told = Told()
    async with kit.channel(server.address, on_event=told), kit.channel(server.address, warm_up=False) as cold:
        assert (await told.one(WarmedUp)).connected == (server.address,)
        assert cold.get_state() is State.IDLE


async def test_warm_up_says_what_failed_and_why(servers: Servers, dead_address: str) -> None:
    server, _ = await servers.start()
    told, clock = Told(), VirtualClock()
    async with Channel([server.address, dead_address], clock=clock, on_event=told, warm_up=True):
        await clock.advance(0.1)
        warmed = await told.one(WarmedUp)
    assert warmed.connected == (server.address,)
    ((address, why),) = warmed.failed
    assert address == dead_address
    assert "Connection refused" in why
    assert f"{address} failed: {why}" in str(warmed)


async def test_warm_up_says_that_there_is_no_endpoint(tmp_path: Path) -> None:
    told, clock = Told(), VirtualClock(autojump=True)
    async with Channel("local:///nobody", registry=Registry(tmp_path), clock=clock, on_event=told, warm_up=True):
        warmed = await told.one(WarmedUp)
    assert warmed.failed == (("local:///nobody", "no instance of 'nobody' is registered on this machine"),)


async def test_an_instance_that_comes_later_is_connected_too(tmp_path: Path) -> None:
    registry, told, clock = Registry(tmp_path), Told(), VirtualClock()
    async with AsyncExitStack() as stack:
        first, second = (
            Server("echo", listen="127.0.0.1:0", register=True, registry=registry, grace=0.0).add(Echo(), add_echo)
            for _ in range(2)
        )
        await stack.enter_async_context(first)
        channel = Channel("local:///echo", registry=registry, clock=clock, on_event=told, warm_up=True)
        await stack.enter_async_context(channel)
        await clock.advance(0.1)
        await told.one(WarmedUp)
        await stack.enter_async_context(second)
        channel.get_state()
        await eventually(lambda: all(one.connects == 1 for one in channel.statistics().endpoints))
        assert {one.address for one in channel.statistics().endpoints} == {first.address, second.address}
        await second.stop(0)
        channel.get_state()
        assert [one.address for one in channel.statistics().endpoints] == [first.address]


async def test_a_channel_that_is_closed_at_once_has_done_nothing(servers: Servers) -> None:
    server, faults = await servers.start()
    told = Told()
    before = asyncio.all_tasks()
    async with kit.channel(server.address, on_event=told, health=kit.HealthCheck()):
        pass
    assert asyncio.all_tasks() == before
    assert (told.events, faults.seen) == ([], [])


# Reconnecting


async def test_a_connection_that_is_lost_while_nothing_calls_is_made_again(servers: Servers) -> None:
    server, _ = await servers.start()
    told, clock = Told(), Clock()
    async with Channel(server.address, clock=clock, rng=Half(), on_event=told, warm_up=True) as channel:
        await clock.rest()
        await clock.advance(0.1)
        await told.one(WarmedUp)
        await server.stop(0)
        await clock.rest()
        assert channel.get_state() is State.IDLE
        await servers.start(server.address)
        await clock.advance(0.99)
        assert channel.get_state() is State.IDLE
        await clock.advance(0.02)
        await until(channel, State.READY)
        await eventually(lambda: channel.statistics().endpoints[0].connects == 2)
        assert channel.statistics().reconnects == 1
    assert told.of(Reconnected) == []


class Simulated:
    """A channel to one endpoint that is away for a while, in virtual time."""

    def __init__(self, clock: LoopClock, *outages: Outage) -> None:
        self.told: list[tuple[float, object]] = []
        world = World(FaultPlan(endpoints=1, outages=outages), random.Random(0), "/simulated.Service/Call")
        self.channel = Channel(
            ["simulated:1"],
            clock=clock,
            rng=Half(),
            on_event=lambda event: self.told.append((clock.now(), event)),
            open_channel=lambda _: SimulatedChannel(world, 0),
            warm_up=True,
        )

    def of(self, kind: type) -> list[tuple[float, Any]]:
        return [(when, event) for when, event in self.told if isinstance(event, kind)]


def test_an_endpoint_is_given_up_after_ten_tries_and_welcomed_when_it_is_back() -> None:
    async def main(clock: LoopClock) -> Simulated:
        seen = Simulated(clock, Outage(start=0, duration=1000), Outage(start=2000, duration=20))
        async with seen.channel as channel:
            await clock.sleep(1500)
            assert channel.statistics().endpoints[0].failures == 10
            await clock.sleep(1500)
            assert channel.statistics().endpoints[0].connects == 2
            assert channel.statistics().reconnects == 1
        return seen

    seen = run_virtually(main)
    ((when, failed),) = seen.of(ReconnectFailed)
    # The first at once; before the others 1 s, 2 s, 4 s, 8 s, 16 s and four times 30 s.
    assert when == pytest.approx(0.1 + 31 + 4 * 30)
    assert failed.tries == 10
    assert "given up after 10 tries: simulated UNAVAILABLE at endpoint 0" in str(failed)
    ((back_at, back),) = seen.of(Reconnected)
    assert back_at == pytest.approx(1000)
    assert back.after == pytest.approx(1000 - when)


async def given_up(clock: Clock, told: Told) -> ReconnectFailed:
    """Lets time pass until an endpoint is given up."""
    await clock.advance(0.1)
    await told.one(WarmedUp)
    while not told.of(ReconnectFailed):
        resting = asyncio.create_task(clock.rest())
        failing = asyncio.create_task(told.one(ReconnectFailed))
        await asyncio.wait({resting, failing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (resting, failing):
            task.cancel()
        await clock.advance(40)
    return told.of(ReconnectFailed)[0]


async def test_an_endpoint_that_was_given_up_rests_until_somebody_calls(servers: Servers, dead_address: str) -> None:
    told, clock = Told(), Clock()
    async with Channel(dead_address, clock=clock, on_event=told, warm_up=True, policy=ONCE) as channel:
        assert "Connection refused" in (await given_up(clock, told)).why
        assert channel.get_state() is State.IDLE
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(channel).Unsafe(text())
        assert channel.get_state() is State.TRANSIENT_FAILURE
        await clock.rest()
        await servers.start(dead_address)
        await clock.advance(1.3)
        # grpc tries by itself as well now, as soon as its own pause is over.
        await told.one(Reconnected)
        assert (await EchoStub(channel).Unsafe(text())).value == "hello"
    assert len(told.of(ReconnectFailed)) == 1


async def test_a_call_that_waits_for_the_server_outlives_giving_up(servers: Servers, dead_address: str) -> None:
    told, clock = Told(), Clock()
    async with Channel(dead_address, clock=clock, on_event=told, warm_up=True) as channel:
        waiting = asyncio.ensure_future(EchoStub(channel).Unary(text(), wait_for_ready=True).code())
        await given_up(clock, told)
        await servers.start(dead_address)
        async with asyncio.timeout(10):
            assert await waiting is grpc.StatusCode.OK


async def test_a_forced_reconnect_is_a_new_connection_and_calls_in_flight_end_over_the_old(servers: Servers) -> None:
    (one, faults), (other, _) = await servers.start(), await servers.start()
    go = asyncio.Event()
    faults.script(UNARY, [Fault(until=go)])
    told, clock = Told(), VirtualClock()
    addresses = [one.address, other.address]
    async with Channel(addresses, clock=clock, on_event=told, warm_up=True, policy=IN_TURN) as channel:
        await clock.advance(0.1)
        await told.one(WarmedUp)
        calls = [EchoStub(channel).Unary(text()) for _ in range(2)]
        await faults.arrived(UNARY)
        channel.force_reconnect()
        await eventually(lambda: all(seen.connects == 2 for seen in channel.statistics().endpoints))
        assert channel.statistics().reconnects == 2
        go.set()
        assert [(await call).value for call in calls] == ["hello", "hello"]
        channel.force_reconnect(one.address)
        await eventually(lambda: channel.statistics().endpoints[0].connects == 3)
        assert [seen.connects for seen in channel.statistics().endpoints] == [3, 2]


async def test_a_forced_reconnect_gets_past_the_pause_between_tries(servers: Servers, dead_address: str) -> None:
    told, clock = Told(), Clock()
    # grpc's own pause is long as well.
    options = (("grpc.initial_reconnect_backoff_ms", 60_000), ("grpc.max_reconnect_backoff_ms", 60_000))
    async with Channel(dead_address, clock=clock, on_event=told, warm_up=True, options=options) as channel:
        await clock.rest()
        await clock.advance(0.1)
        await told.one(WarmedUp)
        await servers.start(dead_address)
        channel.force_reconnect()
        await until(channel, State.READY)


async def test_an_address_that_the_channel_has_not_cannot_be_forced(servers: Servers) -> None:
    server, _ = await servers.start()
    channel = kit.channel(server.address)
    with pytest.raises(UsageError, match=rf"no endpoint 'h:1'; it has {server.address}"):
        channel.force_reconnect("h:1")
    await channel.close()
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        channel.force_reconnect()


# Statistics


async def test_statistics_say_what_is_known_of_every_endpoint(servers: Servers, dead_address: str) -> None:
    server, faults = await servers.start()
    go = asyncio.Event()
    faults.script(UNARY, [Fault(until=go)])
    told, clock = Told(), VirtualClock()
    addresses = [server.address, dead_address]
    async with Channel(addresses, clock=clock, on_event=told, warm_up=True, policy=IN_TURN) as channel:
        cold = channel.statistics()
        assert [(one.connects, one.failures, one.health.value) for one in cold.endpoints] == [(0, 0, "unknown")] * 2
        await clock.advance(0.1)
        await told.one(WarmedUp)
        call = EchoStub(channel).Unary(text())
        await faults.arrived(UNARY)
        up, down = channel.statistics().endpoints
        assert (up.address, up.state, up.connects, up.failures, up.last_error) == (
            server.address,
            State.READY,
            1,
            0,
            "",
        )
        assert (down.address, down.state, down.connects, down.failures) == (
            dead_address,
            State.TRANSIENT_FAILURE,
            0,
            1,
        )
        assert "Connection refused" in down.last_error
        assert (up.calls_in_flight, down.calls_in_flight) == (1, 0)
        assert not any((up.ejected, down.ejected, up.passed_over, down.passed_over))
        go.set()
        await call
        assert channel.statistics().endpoints[0].calls_in_flight == 0


async def test_statistics_name_an_endpoint_that_is_ejected(servers: Servers) -> None:
    (bad, faults), (good, _) = await servers.start(), await servers.start()
    faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE)] * 3)
    outlier = kit.OutlierPolicy(consecutive_errors=3, max_ejection_percent=50)
    policy = kit.MethodPolicy(outlier=outlier, balance=IN_TURN.balance)
    async with Channel([bad.address, good.address], policy=policy) as channel:
        stub = EchoStub(channel)
        while faults.count(UNARY) < 3:
            await stub.Unary(text())
        assert [one.ejected for one in channel.statistics().endpoints] == [True, False]


# How it ends


async def warmed(*addresses: str) -> Channel:
    """A channel with all that can run in the background, once it runs."""
    told, clock = Told(), VirtualClock()
    channel = Channel(addresses, clock=clock, on_event=told, warm_up=True, health=HealthCheck(interval=1))
    await clock.advance(0.1)
    await told.one(WarmedUp)
    return channel


async def test_closing_leaves_no_task(servers: Servers, dead_address: str) -> None:
    before = asyncio.all_tasks()
    channel = await warmed(dead_address, free_address())
    assert asyncio.all_tasks() > before
    await channel.close()
    assert asyncio.all_tasks() == before
    await channel.close()
    # A server in the same loop has tasks of its own.
    server, _ = await servers.start()
    channel = await warmed(server.address)
    assert channel._care._tasks._running
    await channel.close()
    assert not channel._care._tasks._running


async def test_a_channel_that_is_dropped_takes_its_tasks_along(servers: Servers) -> None:
    server, _ = await servers.start()
    channel = await warmed(server.address)
    running, stub = channel._care._tasks._running, EchoStub(channel)
    assert running
    del channel
    await eventually(lambda: not running)
    assert (await stub.Unary(text())).value == "hello"


async def test_a_listener_that_knows_the_channel_does_not_keep_it_alive(dead_address: str) -> None:
    class Owner:
        def __init__(self) -> None:
            self.warm = asyncio.Event()
            self.channel = kit.channel(dead_address, on_event=self.hear, health=HealthCheck())

        def hear(self, event: object) -> None:
            if isinstance(event, WarmedUp):
                self.warm.set()

    owner = Owner()
    async with asyncio.timeout(10):
        await owner.warm.wait()
    running = owner.channel._care._tasks._running
    assert running
    del owner
    await eventually(lambda: gc.collect() >= 0 and not running)


PROGRAM = """
import asyncio, gc, logging
import kit

logging.disable(logging.WARNING)
kept = []

async def main():
    warm = asyncio.Event()
    channel = kit.channel(["127.0.0.1:1", "127.0.0.1:2"], on_event=lambda _: warm.set(), health=kit.HealthCheck())
    if {warm}:
        await warm.wait()
    if {keep}:
        kept.append(channel)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
kept.clear()
gc.collect()
"""


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_a_loop_that_is_closed_under_a_channel_says_nothing(warm: bool, keep: bool) -> None:
    program = PROGRAM.format(warm=warm, keep=keep)
    environment = {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos' / 'gen'}"}
    found = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stderr == ""


async def test_in_a_forked_child_nothing_is_done(servers: Servers) -> None:
    server, faults = await servers.start()
    clock = VirtualClock()
    async with Channel(server.address, clock=clock, warm_up=True, health=HealthCheck()) as channel:
        channel._home.loop = guards._FORKED  # what the child of a fork notes
        await clock.advance(100)
        assert channel.get_state() is State.IDLE
        with pytest.raises(UsageError, match="before the fork"):
            channel.force_reconnect()
    assert faults.count(CHECK) == 0


async def test_another_loop_is_refused(servers: Servers) -> None:
    server, _ = await servers.start()
    async with kit.channel(server.address) as channel:
        for ask in (channel.check_now, channel.wait_for_healthy):
            with pytest.raises(UsageError, match="another event loop"):
                await asyncio.to_thread(lambda ask=ask: asyncio.run(ask()))  # type: ignore[misc]


async def test_an_idle_channel_stays_small(servers: Servers) -> None:
    server, _ = await servers.start()
    told = Told()
    clock = VirtualClock()
    count = 20

    async def python_memory(**options: Any) -> float:
        gc.collect()
        tracemalloc.start()
        channels = [Channel(server.address, clock=clock, on_event=told, **options) for _ in range(count)]
        if options:
            told.events.clear()
            await clock.advance(0.1)
            await told.one(WarmedUp, count)
            await eventually(lambda: all(channel.statistics().heartbeats for channel in channels))
            told.events.clear()
        else:
            for channel in channels:
                await channel.channel_ready()
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        for channel in channels:
            await channel.close()
        return used / count

    await python_memory()
    bare, cared_for = await python_memory(), await python_memory(warm_up=True, health=HealthCheck())
    assert cared_for - bare < 16 * 1024
