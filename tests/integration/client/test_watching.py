"""A channel whose endpoints tell of their health at once (`HealthCheck(watch=True)`), over real loopback gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client.events import EndpointHealthy, EndpointUnhealthy
from kit.health import OVERALL
from kit.server import Server
from tests.integration.client.caring import Servers, Told, eventually
from tests.integration.client.echo import UNARY, Echo, EchoStub, add_echo, text

#: No check comes by itself within the time of a test.
WATCHED = kit.HealthCheck(watch=True, interval=3600.0)
IN_TURN = kit.MethodPolicy(balance=kit.BalancePolicy(kind=kit.policy.BalanceKind.ROUND_ROBIN))


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(stack)


def passed_over(channel: Any) -> list[bool]:
    return [seen.passed_over for seen in channel.statistics().endpoints]


def watchers(server: Server) -> int:
    """How many listen to what the server says of its health."""
    return sum(len(watching) for watching in server.health._watchers.values())


async def test_an_endpoint_is_left_as_soon_as_it_says_that_it_does_not_serve(servers: Servers) -> None:
    (one, _), (other, other_saw) = await servers.start(), await servers.start()
    told = Told()
    async with kit.channel([one.address, other.address], health=WATCHED, policy=IN_TURN, on_event=told) as channel:
        await channel.wait_for_healthy(30, all_endpoints=True)
        await eventually(lambda: watchers(one) > 0)
        one.health.set(OVERALL, serving=False)
        down = await told.one(EndpointUnhealthy)
        assert down.address == one.address
        assert down.why == "tells that it does not serve"
        assert passed_over(channel) == [True, False]
        before = other_saw.count(UNARY)
        for _ in range(4):
            await EchoStub(channel).Unary(text())
        assert other_saw.count(UNARY) == before + 4
        one.health.set(OVERALL, serving=True)
        assert (await told.one(EndpointHealthy)).address == one.address
        assert passed_over(channel) == [False, False]


async def test_a_server_that_stops_is_left_before_it_lets_go_of_its_connections(servers: Servers) -> None:
    (one, one_saw), (other, _) = await servers.start(), await servers.start()
    told = Told()
    async with kit.channel([one.address, other.address], health=WATCHED, policy=IN_TURN, on_event=told) as channel:
        await channel.wait_for_healthy(30, all_endpoints=True)
        await eventually(lambda: watchers(one) > 0)
        stopping = asyncio.create_task(one.stop(drain_delay=1000))
        await told.one(EndpointUnhealthy)
        before = one_saw.count(UNARY)
        for _ in range(4):
            await EchoStub(channel).Unary(text())
        assert one_saw.count(UNARY) == before
        one.hasten()
        await stopping
        # The next one at its address is used as soon as it says that it serves.
        async with Server("echo", listen=one.address, register=False, grace=0).add(Echo(), add_echo):
            async with asyncio.timeout(30):
                await told.one(EndpointHealthy)
            assert passed_over(channel) == [False, False]


async def test_an_endpoint_without_the_health_service_is_not_asked_again() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_echo(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with kit.channel(f"127.0.0.1:{port}", health=WATCHED) as channel:
        await EchoStub(channel).Unary(text())
        watching = channel._care._watches
        await eventually(lambda: bool(watching) and all(task.done() for task in watching.values()))
        assert passed_over(channel) == [False]
    await server.stop(0)


async def test_listening_ends_with_the_channel(servers: Servers) -> None:
    server, _ = await servers.start()
    async with kit.channel(server.address, health=WATCHED):
        await eventually(lambda: watchers(server) > 0)
    await eventually(lambda: watchers(server) == 0)
