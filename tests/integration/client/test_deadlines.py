"""The deadline of a call: refused when over, bounded by the code, and handed on across hops."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import CallFailed, DeadlineExpired
from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client
from tests.integration.client.echo import UNARY, Context, Echo, EchoStub, add_echo, text


async def test_a_call_whose_time_is_over_is_refused_and_nothing_is_sent(client: Client) -> None:
    with pytest.raises(DeadlineExpired) as failure:
        await client.stub.Unary(text(), timeout=0)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.faults.seen == []
    assert kit.report(failure.value).stop_reason == "DEADLINE"


async def test_a_server_that_does_not_answer_ends_the_call_at_its_deadline(client: Client) -> None:
    client.faults.script(UNARY, [Fault(until=asyncio.Event())])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text(), timeout=0.1)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert kit.report(failure.value).stop_reason == "DEADLINE"
    assert len(kit.report(failure.value).attempts) == 1


async def test_kit_timeout_narrows_every_call_made_inside(client: Client) -> None:
    hold = Fault(until=asyncio.Event())
    client.faults.script(UNARY, [hold])
    with kit.timeout(0.1) as deadline, pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text(), timeout=30)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert deadline.expired()


async def test_an_attempt_is_not_made_when_its_delay_would_pass_the_deadline(client: Client) -> None:
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=60_000)])
    started = time.monotonic()
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text(), timeout=10)
    assert time.monotonic() - started < 5
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert kit.report(failure.value).stop_reason == "DEADLINE"


#: Seconds. grpc rounds the second one up by 9 ms, and sends the third of each pair as the one before it.
TIMES = (2.0, 2.001, 1.96, 10.01, 9.9, 9.8, 0.5, 0.49, 0.486, 120.5, 118.0)


async def test_what_arrives_at_the_leaf_is_never_more_than_its_caller_has_left() -> None:
    """caller > middle > leaf: each hop hands on what is left."""
    left: list[float] = []
    arrived: list[float] = []
    async with AsyncExitStack() as stack:

        async def at_leaf(_name: str, context: Context) -> None:
            arrived.append(context.time_remaining())

        leaf = await stack.enter_async_context(InProcess(Echo(at_leaf), add_echo, name="leaf"))
        below = EchoStub(leaf.channel)

        async def at_middle(_name: str, context: Context) -> None:
            left.append(context.time_remaining())
            await below.Unary(text(), timeout=500)

        middle = await stack.enter_async_context(InProcess(Echo(at_middle), add_echo, name="middle"))
        above = EchoStub(middle.channel)
        await above.Unary(text(), timeout=30)  # connects
        for seconds in TIMES:
            await above.Unary(text(), timeout=seconds)
    assert len(arrived) == len(left) == len(TIMES) + 1
    assert all(leaf <= middle for leaf, middle in zip(arrived, left, strict=True))


async def test_a_leaf_that_hangs_gives_every_hop_back_in_time() -> None:
    async with AsyncExitStack() as stack:

        async def hang(_name: str, _context: Context) -> None:
            await asyncio.Event().wait()

        leaf = Echo(hang)
        below = await stack.enter_async_context(InProcess(leaf, add_echo, name="leaf"))

        async def pass_on(_name: str, _context: Context) -> None:
            await EchoStub(below.channel).Unary(text())

        above = await stack.enter_async_context(InProcess(Echo(pass_on), add_echo, name="middle"))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await EchoStub(above.channel).Unary(text(), timeout=0.3)
        assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(5):
            await leaf.cancelled.wait()
