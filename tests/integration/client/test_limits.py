"""A limit of calls in flight over real loopback gRPC, on `kit.channel` and on a stock channel."""

from __future__ import annotations

import asyncio
import gc

import grpc
import pytest

import kit
from kit.errors import CallFailed, DeadlineExpired, TooManyCalls
from kit.testing import Fault
from tests.integration.client.conftest import Connect
from tests.integration.client.echo import UNARY, Context, text

ONE = kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_concurrent=1))
ONE_WAITS = kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_concurrent=1, max_queued=5))


class Gate:
    """What handlers run first: the first call that comes is noted, and waits until it is let through."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, _name: str, _context: Context) -> None:
        if not self.arrived.is_set():
            self.arrived.set()
            await self.open.wait()


async def test_at_the_limit_a_call_is_refused_and_nothing_is_sent(connect: Connect) -> None:
    gate = Gate()
    client = await connect(gate, policy=ONE)
    running = client.stub.Unary(text("a"))
    await gate.arrived.wait()
    with pytest.raises(TooManyCalls, match="max_concurrent is 1") as refusal:
        await client.stub.Unary(text("b"))
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert kit.report(refusal.value).stop_reason == "LIMITED"
    assert kit.report(refusal.value).attempts == ()
    gate.open.set()
    assert (await running).value == "a"
    assert (await client.stub.Unary(text("c"))).value == "c"
    assert client.faults.count(UNARY) == 2


async def test_calls_that_wait_are_sent_one_after_the_other(connect: Connect) -> None:
    client = await connect(policy=ONE_WAITS)
    calls = [client.stub.Unary(text(str(number))) for number in range(6)]
    # The last first: nobody waits for those that must end before it.
    assert [(await call).value for call in reversed(calls)] == ["5", "4", "3", "2", "1", "0"]


async def test_calls_that_nobody_awaits_do_not_keep_their_places(connect: Connect) -> None:
    client = await connect(policy=ONE_WAITS)
    kept = client.stub.Unary(text("y"))
    async with asyncio.timeout(10):
        assert (await client.stub.Unary(text("x"))).value == "x"
    assert (await kept).value == "y"


async def test_a_call_that_waits_ends_at_its_deadline_unsent(connect: Connect) -> None:
    gate = Gate()
    client = await connect(gate, policy=ONE_WAITS)
    running = client.stub.Unary(text())
    await gate.arrived.wait()
    with pytest.raises(DeadlineExpired, match="places came free"):
        await client.stub.Unary(text(), timeout=0.05)
    assert client.faults.count(UNARY) == 1
    gate.open.set()
    await running


async def test_a_stream_has_its_place_until_its_last_message(connect: Connect) -> None:
    client = await connect(policy=ONE)
    stream = client.stub.Down(text("a b"))
    assert (await stream.read()).value == "a"
    with pytest.raises(TooManyCalls):
        await client.stub.Unary(text())
    assert (await stream.read()).value == "b"
    assert await stream.read() is grpc.aio.EOF
    await client.stub.Unary(text())


async def test_a_stream_that_is_cancelled_gives_its_place_back(connect: Connect) -> None:
    client = await connect(policy=ONE_WAITS)
    stream = client.stub.Down(text("a ..."))
    assert (await stream.read()).value == "a"
    stream.cancel()
    async with asyncio.timeout(10):
        assert (await client.stub.Unary(text("x"))).value == "x"


async def test_a_stream_that_is_abandoned_gives_its_place_back(connect: Connect) -> None:
    # On a stock channel grpc's own call keeps itself alive once it was read.
    gate = Gate()
    client = await connect(gate, policy=ONE_WAITS)
    stream = client.stub.Down(text("a ..."))
    await gate.arrived.wait()
    waits = client.stub.Unary(text("x"))
    del stream
    gc.collect()
    async with asyncio.timeout(10):
        assert (await waits).value == "x"


async def test_a_retried_call_keeps_its_one_place(connect: Connect) -> None:
    client = await connect(policy=ONE)
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE)] * 3)
    assert (await client.stub.Unary(text("x"))).value == "x"
    assert client.faults.count(UNARY) == 4


async def test_a_call_that_fails_or_is_cancelled_gives_its_place_back(connect: Connect) -> None:
    gate = Gate()
    client = await connect(gate, policy=ONE)
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.INTERNAL)])
    with pytest.raises(CallFailed):
        await client.stub.Unary(text())
    call = client.stub.Unary(text())
    await gate.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await client.stub.Unary(text("x"))).value == "x"


async def test_other_methods_with_the_same_figures_share_the_limit(connect: Connect) -> None:
    gate = Gate()
    client = await connect(gate, policy=ONE)
    stream = client.stub.Down(text("a"))
    await gate.arrived.wait()
    with pytest.raises(TooManyCalls):
        await client.stub.Unary(text())
    gate.open.set()
    assert [message.value async for message in stream] == ["a"]
