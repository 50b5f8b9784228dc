"""Which endpoint calls go to, over real loopback gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.policy import BalanceKind, policy_for
from kit.testing import Fault, InProcess, VirtualClock
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
ONCE = kit.RetryPolicy(max_attempts=1)


@pytest.fixture
async def three() -> AsyncIterator[list[InProcess]]:
    """Three servers."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(InProcess(Echo(), add_echo)) for _ in range(3)]


def over(servers: list[InProcess], clock: Any = None, **policy: Any) -> Channel:
    addresses = [server.address for server in servers]
    given = kit.MethodPolicy(**policy)
    return kit.channel(addresses, policy=given) if clock is None else Channel(addresses, policy=given, clock=clock)


def counts(servers: list[InProcess]) -> list[int]:
    return [server.faults.count(UNARY) for server in servers]


async def test_by_default_an_endpoint_that_is_stuck_gets_no_more_than_its_share_in_flight(
    three: list[InProcess],
) -> None:
    stuck, *others = three
    held = asyncio.Event()
    stuck.faults.script(UNARY, [Fault(until=held)] * 100)
    async with over(three) as channel:
        stub = EchoStub(channel)

        async def answer() -> None:
            await stub.Unary(text())

        waiting: list[asyncio.Task[None]] = []
        for _ in range(60):
            calling = asyncio.create_task(answer())
            sticking = asyncio.create_task(stuck.faults.arrived(UNARY, len(waiting) + 1))
            await asyncio.wait({calling, sticking}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                waiting.append(calling)
            sticking.cancel()
        # A third would be an even share. How far below it stays is a matter of how evenly fast the others are just now.
        assert len(waiting) < 20
        assert sum(counts(others)) > 40
        held.set()
        await asyncio.gather(*waiting)


async def test_round_robin_is_each_in_turn(three: list[InProcess]) -> None:
    async with over(three, balance=kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN)) as channel:
        for _ in range(9):
            await EchoStub(channel).Unary(text())
    assert counts(three) == [3, 3, 3]


async def test_equal_weights_share_equally(three: list[InProcess]) -> None:
    async with over(three, balance=kit.BalancePolicy(kind=BalanceKind.WEIGHTED)) as channel:
        for _ in range(9):
            await EchoStub(channel).Unary(text())
    assert counts(three) == [3, 3, 3]


async def test_a_retry_goes_to_another_endpoint(three: list[InProcess]) -> None:
    for server in three:
        server.faults.script(UNARY, [UNAVAILABLE])
    async with over(three, retry=kit.RetryPolicy(max_attempts=4)) as channel:
        with kit.reports() as seen:
            await EchoStub(channel).Unary(text())
    endpoints = [attempt.endpoint for attempt in seen[0].attempts]
    assert len(set(endpoints[:3])) == 3
    assert endpoints[3] != endpoints[2]


async def test_a_hedge_goes_to_another_endpoint(three: list[InProcess]) -> None:
    for server in three:
        server.faults.script(UNARY, [Fault(until=asyncio.Event())])
    hedging = kit.HedgingPolicy(max_attempts=4, hedging_delay=0.01)
    channel = kit.channel(
        [server.address for server in three], policy={UNARY: kit.MethodPolicy(retry=ONCE, hedging=hedging)}
    )
    async with channel:
        with kit.reports() as seen:
            await EchoStub(channel).Unary(text())
    endpoints = [attempt.endpoint for attempt in seen[0].attempts]
    assert len(endpoints) == 4
    assert len(set(endpoints[:3])) == 3


async def test_an_endpoint_that_fails_where_others_do_not_is_ejected_and_comes_back(
    three: list[InProcess], caplog: pytest.LogCaptureFixture
) -> None:
    bad = three[0]
    bad.faults.script(UNARY, [UNAVAILABLE] * 3)
    clock = VirtualClock()
    outlier = kit.OutlierPolicy(consecutive_errors=3, interval=1.0, base_ejection_time=5.0, max_ejection_percent=50)
    turns = kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN)
    async with over(three, clock, retry=ONCE, outlier=outlier, balance=turns) as channel:
        stub = EchoStub(channel)
        failed = 0
        with caplog.at_level(logging.WARNING, "kit.client"):
            for _ in range(30):
                try:
                    await stub.Unary(text())
                except grpc.aio.AioRpcError:
                    failed += 1
        assert (failed, bad.faults.count(UNARY)) == (3, 3)
        assert any(f"{bad.address} is ejected: 3 failures in a row" in record.getMessage() for record in caplog.records)
        await clock.advance(6.0)
        for _ in range(9):
            await stub.Unary(text())
        assert bad.faults.count(UNARY) > 3


async def test_the_cap_keeps_endpoints_in_when_all_of_them_fail(three: list[InProcess]) -> None:
    for server in three:
        server.faults.script(UNARY, [UNAVAILABLE] * 100)
    outlier = kit.OutlierPolicy(consecutive_errors=1, max_ejection_percent=10)
    async with over(three, retry=ONCE, outlier=outlier) as channel:
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await EchoStub(channel).Unary(text())
    assert sorted(count > 1 for count in counts(three)) == [False, True, True]


async def test_streams_are_in_flight_until_they_end(three: list[InProcess]) -> None:
    async with over(three) as channel:
        stub = EchoStub(channel)
        open_streams = [stub.Down(text("a ...")) for _ in range(6)]
        for stream in open_streams:
            await stream.read()
            assert stream.cancel()
            assert await stream.code() is grpc.StatusCode.CANCELLED
        assert [message.value async for message in stub.Down(text("a b"))] == ["a", "b"]
    assert sum(server.faults.count(DOWN) for server in three) == 7


def test_what_nothing_is_said_about_is_least_loaded_without_ejection() -> None:
    resolved = policy_for(UNARY)
    assert resolved.balance.kind is BalanceKind.LEAST_LOADED
    assert resolved.outlier is None
