"""Thousands of calls given up at random moments leave nothing behind: no task, no descriptor, no permit, no handler."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.resilience.limiter import Limiter
from kit.resilience.picks import Member
from tests.integration.client.storm import POLICY, STREAMS, UNARY, Storm, StormStub, Stormy, add_stormy

CALLS = 2_000


def descriptors() -> int:
    """Files and sockets that are open."""
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@pytest.fixture
async def stormy() -> AsyncIterator[tuple[Stormy, StormStub]]:
    """Two servers of one service, and a channel to both."""
    service = Stormy()
    async with AsyncExitStack() as stack:
        addresses = []
        for name in ("one", "two"):
            server = kit.Server(name, listen="127.0.0.1:0", register=False, grace=0.0)
            await server.add(service, add_stormy).start()
            stack.push_async_callback(server.stop, 0)
            addresses.append(server.address)
        channel = await stack.enter_async_context(kit.channel(addresses, policy=POLICY))
        yield service, StormStub(channel)


async def at_rest(stub: StormStub) -> int:
    """How many tasks there are when the servers are done with the last call, too: its end comes after its answer."""
    await stub.Alive(StringValue())
    for _ in range(20):
        await asyncio.to_thread(os.sched_yield)
    return len(asyncio.all_tasks())


async def rest(service: Stormy, stub: StormStub, tasks: int) -> None:
    """Returns when no handler runs any more and there are no more tasks than there were."""
    try:
        async with asyncio.timeout(60):
            while await at_rest(stub) > tasks or service.alive:
                pass
    except TimeoutError:
        left = "\n".join(map(str, asyncio.all_tasks()))
        pytest.fail(f"{service.alive} handlers are alive, and more than {tasks} tasks:\n{left}")


@pytest.mark.parametrize("shape", ["unary", "streams"])
async def test_calls_given_up_at_any_moment_leave_nothing_behind(stormy: tuple[Stormy, StormStub], shape: str) -> None:
    service, stub = stormy
    ways = UNARY if shape == "unary" else STREAMS
    # Connects to both, and makes what is made once.
    await Storm(stub, 0).run(ways, 100)
    await rest(service, stub, await at_rest(stub))
    tasks, open_before = await at_rest(stub), descriptors()

    storm = Storm(stub, 1)
    await storm.run(ways, CALLS)
    await rest(service, stub, tasks)

    assert service.alive == 0
    assert descriptors() == open_before
    gc.collect()
    held = [found for found in gc.get_objects() if isinstance(found, (Limiter, Member))]
    assert {type(found) for found in held} == {Limiter, Member}
    assert not [found for found in held if (found.running if isinstance(found, Limiter) else found.in_flight)]
    # Not all of them came too late, and none of the moments was missed.
    assert sum(storm.ended.values()) == CALLS
    for name in ways:
        assert storm.ended[name, "given up"] > 0, storm.ended
        assert storm.ended[name, "given up before it was sent"] > 0, storm.ended
        assert storm.ended[name, "left waiting"] == 0, storm.ended
    if shape == "unary":
        assert storm.ended["between attempts", "given up after an attempt had failed"] > 0, storm.ended
        assert storm.ended["hedged", "given up with several attempts"] > 0, storm.ended
