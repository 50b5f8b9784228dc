"""Health checks of a channel's endpoints by grpc.health.v1, over real loopback gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel, Health, HealthCheck
from kit.client.events import ChannelEvent, EndpointHealthy, EndpointUnhealthy
from kit.discovery import Registry
from kit.errors import NoEndpoint, UsageTypeError
from kit.health import OVERALL
from kit.testing import Fault, Faults, VirtualClock
from tests.integration.client.caring import CHECK, Half, Servers, Told, eventually, free_address
from tests.integration.client.echo import UNARY, EchoStub, text

IN_TURN = kit.MethodPolicy(balance=kit.BalancePolicy(kind=kit.policy.BalanceKind.ROUND_ROBIN))
DOWN = Fault(code=grpc.StatusCode.UNAVAILABLE, details="out of order")


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(stack)


class Watched:
    """A channel whose heart beats when the test lets time pass."""

    def __init__(self, *addresses: str, health: HealthCheck | None = None) -> None:
        self.told = Told()
        self.clock = VirtualClock()
        self.channel = Channel(
            addresses,
            clock=self.clock,
            rng=Half(),
            on_event=self.told,
            health=HealthCheck() if health is None else health,
            policy=IN_TURN,
        )
        self._beats = 0

    async def beat(self, times: int = 1) -> None:
        """The next heartbeat, to its end."""
        endpoints = len(self.channel.statistics().endpoints)
        for _ in range(times):
            self._beats += endpoints
            await self.clock.advance(30 if self._beats > endpoints else 0.1)
            await eventually(lambda: self.channel.statistics().heartbeats == self._beats)

    @property
    def events(self) -> list[ChannelEvent]:
        return self.told.events

    async def calls(self, count: int) -> None:
        for _ in range(count):
            await EchoStub(self.channel).Unary(text())


async def passing(clock: VirtualClock, holds: Callable[[], bool]) -> None:
    """Lets time pass until it holds."""
    async with asyncio.timeout(10):
        while not holds():
            await clock.advance(0.01)
            await asyncio.to_thread(bool)


def counts(*all_faults: Faults) -> list[int]:
    return [faults.count(UNARY) for faults in all_faults]


# Heartbeats


async def test_every_endpoint_is_checked_with_the_warm_up_and_every_thirty_seconds(servers: Servers) -> None:
    (one, one_saw), (other, other_saw) = await servers.start(), await servers.start()
    watched = Watched(one.address, other.address)
    async with watched.channel as channel:
        await watched.clock.advance(0.09)
        assert (one_saw.count(CHECK), other_saw.count(CHECK)) == (0, 0)
        await watched.beat()
        await watched.clock.advance(29.9)
        assert (one_saw.count(CHECK), other_saw.count(CHECK)) == (1, 1)
        await watched.clock.advance(0.2)
        await eventually(lambda: channel.statistics().heartbeats == 4)
        statistics = channel.statistics()
        assert [seen.health for seen in statistics.endpoints] == [Health.HEALTHY] * 2
        assert (statistics.heartbeats, statistics.heartbeats_failed) == (4, 0)
    assert watched.events == []


async def test_without_being_asked_a_channel_makes_no_call(servers: Servers) -> None:
    server, faults = await servers.start()
    clock = VirtualClock()
    async with Channel(server.address, clock=clock, warm_up=True) as channel:
        await clock.advance(100)
        await channel.channel_ready()
        await EchoStub(channel).Unary(text())
    assert [call.method for call in faults.seen] == [UNARY]


async def test_an_endpoint_that_does_not_serve_gets_no_calls_until_it_does(servers: Servers) -> None:
    (one, one_saw), (other, other_saw) = await servers.start(), await servers.start()
    watched = Watched(one.address, other.address)
    async with watched.channel as channel:
        await watched.beat()
        await watched.calls(4)
        assert counts(one_saw, other_saw) == [2, 2]
        one.health.set(OVERALL, serving=False)
        await watched.beat()
        assert [seen.passed_over for seen in channel.statistics().endpoints] == [True, False]
        await watched.calls(4)
        assert counts(one_saw, other_saw) == [2, 6]
        one.health.set(OVERALL, serving=True)
        await watched.beat()
        await watched.calls(4)
        assert counts(one_saw, other_saw) == [4, 8]
    down, up = watched.events
    assert isinstance(down, EndpointUnhealthy)
    assert (down.address, down.failures, down.why) == (one.address, 1, "answers NOT_SERVING")
    assert str(down).endswith(f"{one.address} is unhealthy after 1 check: answers NOT_SERVING")
    assert isinstance(up, EndpointHealthy)
    assert up.address == one.address
    assert up.after == pytest.approx(30)


async def test_where_all_are_unhealthy_all_are_used(servers: Servers) -> None:
    started = [await servers.start() for _ in range(2)]
    watched = Watched(*(server.address for server, _ in started))
    async with watched.channel as channel:
        for server, _ in started:
            server.health.set(OVERALL, serving=False)
        await watched.beat()
        assert all(seen.passed_over for seen in channel.statistics().endpoints)
        await watched.calls(4)
    assert counts(*(faults for _, faults in started)) == [2, 2]


async def test_an_unhealthy_endpoint_is_used_where_the_breakers_of_the_others_refuse(servers: Servers) -> None:
    (sick, sick_saw), (well, well_saw) = await servers.start(), await servers.start()
    well_saw.script(UNARY, [DOWN])
    policy = kit.MethodPolicy(
        breaker=kit.BreakerPolicy(failure_threshold=1), retry=kit.RetryPolicy(max_attempts=1), balance=IN_TURN.balance
    )
    told, clock = Told(), VirtualClock()
    addresses = [sick.address, well.address]
    async with Channel(addresses, clock=clock, on_event=told, health=HealthCheck(), policy=policy) as channel:
        sick.health.set(OVERALL, serving=False)
        await clock.advance(0.1)
        await told.one(EndpointUnhealthy)
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(channel).Unary(text())
        assert (await EchoStub(channel).Unary(text())).value == "hello"
    assert counts(sick_saw, well_saw) == [1, 1]


async def test_three_failures_in_a_row_are_told_once_and_so_is_the_recovery(servers: Servers) -> None:
    (one, one_saw), (other, other_saw) = await servers.start(), await servers.start()
    ok = Fault()
    one_saw.script(CHECK, [DOWN, DOWN, ok, DOWN, DOWN, DOWN, DOWN, DOWN])
    watched = Watched(one.address, other.address)
    async with watched.channel as channel:
        seen = []
        for _ in range(9):
            await watched.beat()
            first = channel.statistics().endpoints[0]
            seen.append((first.health.value, first.failed_checks, first.passed_over))
    assert seen == [
        ("degraded", 1, False),
        ("degraded", 2, False),
        ("healthy", 0, False),
        ("degraded", 1, False),
        ("degraded", 2, False),
        ("unhealthy", 3, True),
        ("unhealthy", 4, True),
        ("unhealthy", 5, True),
        ("healthy", 0, False),
    ]
    down, up = watched.events
    assert isinstance(down, EndpointUnhealthy)
    assert (down.failures, down.why) == (3, "UNAVAILABLE: out of order")
    assert isinstance(up, EndpointHealthy)
    assert up.after == pytest.approx(90)
    assert str(up).endswith(f"{one.address} is healthy again after 90.0 s")
    assert channel.statistics().heartbeats_failed == 7
    assert counts(one_saw, other_saw) == [0, 0]


async def test_a_server_that_dies_and_starts_again_on_its_port_is_healthy_again(servers: Servers) -> None:
    server, _ = await servers.start()
    watched = Watched(server.address, health=HealthCheck(unhealthy_after=1))
    async with watched.channel:
        await watched.beat()
        await server.stop(0)
        await watched.beat()
        (down,) = watched.events
        assert isinstance(down, EndpointUnhealthy)
        assert "Connection refused" in down.why
        await servers.start(server.address)
        # grpc makes a pause of its own before it connects again.
        async with asyncio.timeout(10):
            await watched.channel.channel_ready()
        await watched.beat()
        await watched.calls(1)
    assert isinstance(watched.events[-1], EndpointHealthy)


async def test_a_server_without_a_health_service_is_healthy_if_it_answers() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with kit.channel(f"127.0.0.1:{port}") as channel:
        (seen,) = (await channel.check_now()).endpoints
    assert (seen.status, seen.message) == (Health.HEALTHY, "answers, and has no health service")
    await server.stop(0)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, Health.HEALTHY),
        (grpc.StatusCode.UNAUTHENTICATED, Health.HEALTHY),
        (grpc.StatusCode.PERMISSION_DENIED, Health.HEALTHY),
        (grpc.StatusCode.NOT_FOUND, Health.UNHEALTHY),
        (grpc.StatusCode.INTERNAL, Health.UNHEALTHY),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Health.UNHEALTHY),
    ],
)
async def test_what_a_status_says_of_an_endpoint(servers: Servers, code: grpc.StatusCode, status: Health) -> None:
    server, faults = await servers.start()
    faults.script(CHECK, [Fault(code=code)])
    async with kit.channel(server.address) as channel:
        assert (await channel.check_now()).status is status


async def test_the_status_of_one_service_can_be_asked_for(servers: Servers) -> None:
    server, _ = await servers.start()
    name = server.services[0]
    server.health.set(name, serving=False)
    async with (
        Channel(server.address, health=HealthCheck(service=name)) as one,
        Channel(server.address) as whole,
        Channel(server.address, health=HealthCheck(service="no.such.Service")) as none,
    ):
        assert (await whole.check_now()).status is Health.HEALTHY
        assert (await one.check_now()).endpoints[0].message == "answers NOT_SERVING"
        assert (await none.check_now()).endpoints[0].message == "knows no service 'no.such.Service'"


async def test_a_check_that_gets_no_answer_in_time_has_failed(servers: Servers) -> None:
    server, faults = await servers.start()
    faults.script(CHECK, [Fault(until=asyncio.Event())])
    async with Channel(server.address, health=HealthCheck(timeout=0.05)) as channel:
        (seen,) = (await channel.check_now()).endpoints
    assert (seen.status, seen.message) == (Health.UNHEALTHY, "no answer within 0.05 s")


# Asked for


async def test_a_check_says_what_there_is_to_say(servers: Servers, dead_address: str) -> None:
    server, _ = await servers.start()
    clock = VirtualClock()
    async with Channel([server.address, dead_address], clock=clock) as channel:
        await channel.check_now()
        report = await channel.check_now()
        up, down = report.endpoints
        assert (up.address, up.status, up.message, up.failures) == (server.address, Health.HEALTHY, "SERVING", 0)
        assert (down.address, down.status, down.failures) == (dead_address, Health.UNHEALTHY, 2)
        assert "Connection refused" in down.message
        assert up.timestamp == report.timestamp == clock.wall()
        assert report.status is Health.DEGRADED
        first, *lines = str(report).splitlines()
        assert first == f"{server.address},{dead_address} is degraded"
        assert lines[0] == f"{server.address} healthy in 0 ms: SERVING"
    assert channel.statistics().heartbeats == 0


async def test_an_endpoint_that_answers_slowly_is_degraded(servers: Servers) -> None:
    server, faults = await servers.start()
    go = asyncio.Event()
    faults.script(CHECK, [Fault(until=go)])
    clock = VirtualClock()
    async with Channel(server.address, clock=clock) as channel:
        checking = asyncio.ensure_future(channel.check_now())
        await faults.arrived(CHECK)
        await clock.advance(1.2)
        go.set()
        (seen,) = (await checking).endpoints
        assert seen.latency == pytest.approx(1.2)
        assert seen.status is Health.DEGRADED
        assert seen.serving


async def test_where_nobody_beats_nobody_is_passed_over(servers: Servers) -> None:
    (one, one_saw), (other, other_saw) = await servers.start(), await servers.start()
    one.health.set(OVERALL, serving=False)
    told = Told()
    async with Channel([one.address, other.address], on_event=told, policy=IN_TURN) as channel:
        await channel.check_now()
        await told.one(EndpointUnhealthy)
        for _ in range(2):
            await EchoStub(channel).Unary(text())
        assert not channel.statistics().endpoints[0].passed_over
    assert counts(one_saw, other_saw) == [1, 1]


async def test_waiting_for_a_healthy_endpoint_ends_with_the_first(servers: Servers, dead_address: str) -> None:
    server, _ = await servers.start()
    async with kit.channel([dead_address, server.address]) as channel:
        assert (await channel.wait_for_healthy()).address == server.address


async def test_waiting_for_all_endpoints_ends_with_the_last(servers: Servers, dead_address: str) -> None:
    clock = VirtualClock()
    server, faults = await servers.start()
    async with Channel([dead_address, server.address], clock=clock) as channel:
        waiting = asyncio.ensure_future(channel.wait_for_healthy(60, all_endpoints=True))
        await passing(clock, lambda: faults.count(CHECK) > 0)
        await eventually(lambda: channel.get_state() is grpc.ChannelConnectivity.READY)
        assert not waiting.done()
        await servers.start(dead_address)
        await passing(clock, waiting.done)
        report = await waiting
    # Not HEALTHY: one may seem slow, as time passes while it is checked.
    assert [(found.address, found.serving) for found in report.endpoints] == [
        (dead_address, True),
        (server.address, True),
    ]


async def test_waiting_for_all_endpoints_in_vain_says_which_is_not_healthy(servers: Servers, dead_address: str) -> None:
    server, _ = await servers.start()
    async with Channel([server.address, dead_address]) as channel:
        with pytest.raises(NoEndpoint) as failure:
            await channel.wait_for_healthy(0.3, all_endpoints=True)
    details = failure.value.details() or ""
    assert details.startswith(f"not every endpoint of {server.address},{dead_address} is healthy after 0.3 s: ")
    assert f"{server.address}: healthy; {dead_address}: UNAVAILABLE: " in details


async def test_all_endpoints_is_said_by_a_bool() -> None:
    async with Channel("127.0.0.1:1") as channel:
        with pytest.raises(UsageTypeError, match="all_endpoints='yes' is neither True nor False"):
            await channel.wait_for_healthy(1.0, all_endpoints="yes")  # type: ignore[call-overload]


async def test_waiting_ends_when_the_server_comes_or_begins_to_serve(servers: Servers, dead_address: str) -> None:
    told, clock = Told(), VirtualClock()
    async with Channel(dead_address, clock=clock, on_event=told) as channel:
        waiting = asyncio.ensure_future(channel.wait_for_healthy(60))
        await eventually(lambda: channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE)
        server, faults = await servers.start(dead_address)
        server.health.set(OVERALL, serving=False)
        await passing(clock, lambda: faults.count(CHECK) > 0)
        assert not waiting.done()
        server.health.set(OVERALL, serving=True)
        await passing(clock, waiting.done)
        # Not HEALTHY: it may seem slow, as time passes while the check is under way.
        assert (await waiting).serving
    # What fails while somebody waits for it is no news.
    assert told.events == []


async def test_waiting_in_vain_names_every_endpoint_and_why(servers: Servers, dead_address: str) -> None:
    server, _ = await servers.start()
    server.health.set(OVERALL, serving=False)
    before = asyncio.all_tasks()
    async with Channel([server.address, dead_address]) as channel:
        with pytest.raises(NoEndpoint) as failure:
            await channel.wait_for_healthy(0.3)
    details = failure.value.details() or ""
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert details.startswith(f"no endpoint of {server.address},{dead_address} is healthy after 0.3 s: ")
    assert f"{server.address}: answers NOT_SERVING" in details
    assert f"{dead_address}: UNAVAILABLE: " in details
    assert "Connection refused" in details
    await eventually(lambda: asyncio.all_tasks() <= before | server_tasks())


def server_tasks() -> set[asyncio.Task[object]]:
    """Those that grpc.aio's server runs in this loop."""
    return {task for task in asyncio.all_tasks() if "kit/client" not in repr(task.get_coro())}


async def test_waiting_for_a_service_that_nobody_offers_says_so(tmp_path: Path) -> None:
    clock = VirtualClock(autojump=True)
    async with Channel("local:///nobody", registry=Registry(tmp_path), clock=clock) as channel:
        with pytest.raises(NoEndpoint, match=r"no instance of 'nobody' is registered .*; waited 5 s"):
            await channel.wait_for_healthy()


async def test_a_server_that_does_not_answer_is_said_not_to_have_answered(servers: Servers) -> None:
    server, faults = await servers.start()
    faults.script(CHECK, [Fault(until=asyncio.Event())])
    async with Channel(server.address) as channel:
        with pytest.raises(NoEndpoint, match=rf"{server.address}: no answer (yet|within 0\.\d+ s)"):
            await channel.wait_for_healthy(0.1)


async def test_a_closed_channel_cannot_be_asked(servers: Servers) -> None:
    server, _ = await servers.start()
    channel = kit.channel(server.address)
    await channel.close()
    for ask in (channel.check_now, channel.wait_for_healthy):
        with pytest.raises(grpc.aio.UsageError, match="closed"):
            await ask()


@pytest.fixture
def dead_address() -> str:
    return free_address()
