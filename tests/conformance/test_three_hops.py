"""Three services in a row: deadlines only grow shorter on the way down, and what is given up at the top ends below.

Within `make faults`, on a machine that has nothing else to do, no handler may be alive 100 ms after the caller gave up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit

PATH = "/kit.tests.hops.v1.Chain/Call"
#: Callers at the same time.
CALLERS = 20


class Chain:
    """The services; each one calls the next, and the last one waits to be let go."""

    def __init__(self) -> None:
        #: Of each handler that began: which service, and when its time is up, by the monotonic clock.
        self.begun: list[tuple[str, float]] = []
        #: Services of handlers whose `finally` ran.
        self.ended: list[str] = []
        self.alive = 0
        self.open = asyncio.Event()
        self._changed = asyncio.Event()
        self.stub: Any = None

    async def until(self, alive: int, seconds: float = 30.0) -> None:
        """Returns when so many handlers are alive."""
        async with asyncio.timeout(seconds):
            while self.alive != alive:
                self._changed.clear()
                await self._changed.wait()

    def handler(self, name: str, following: Any) -> Any:
        """One service's."""

        async def call(request: StringValue, _context: object) -> StringValue:
            self.begun.append((name, kit.deadline().expires_at))
            self.alive += 1
            self._changed.set()
            try:
                if following is None:
                    await self.open.wait()
                    return request
                answer: StringValue = await following(request)
                return answer
            finally:
                # More than one turn of the loop, as a real clean-up takes; nobody cancels it a second time.
                for _ in range(5):
                    await asyncio.sleep(0)
                self.alive -= 1
                self.ended.append(name)
                self._changed.set()

        return call


def _add(handler: Any, server: Any) -> None:
    """What protoc would have generated."""
    service, _, name = PATH.removeprefix("/").partition("/")
    method = grpc.unary_unary_rpc_method_handler(
        handler, request_deserializer=StringValue.FromString, response_serializer=StringValue.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    server.add_registered_method_handlers(service, {name: method})


@pytest.fixture(params=["kit.channel", "stock channel"])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[Chain]:
    found = Chain()
    async with AsyncExitStack() as stack:
        for name in ("leaf", "middle", "top"):
            server = kit.Server(name, register=False, grace=0).add(found.handler(name, found.stub), _add)
            await stack.enter_async_context(server)
            channel: Any = (
                kit.channel(server.address)
                if request.param == "kit.channel"
                else grpc.aio.insecure_channel(server.address, interceptors=kit.client_interceptors())
            )
            await stack.enter_async_context(channel)
            found.stub = channel.unary_unary(
                PATH, request_serializer=StringValue.SerializeToString, response_deserializer=StringValue.FromString
            )
        yield found


def bound(request: pytest.FixtureRequest) -> float:
    """Seconds; in `make test` the machine may be busy with other things."""
    return 0.1 if request.config.getoption("--restarts") >= 10 else 30.0


@pytest.mark.parametrize("seconds", [0.7, 20.0, 3_600.0, 250_000.0])
async def test_no_service_has_more_time_than_the_one_that_calls_it(chain: Chain, seconds: float) -> None:
    chain.open.set()
    await chain.stub(StringValue(), timeout=30)  # connections are made
    chain.begun.clear()
    called = monotonic()
    call = chain.stub(StringValue(), timeout=seconds)
    sent = monotonic()
    await call
    names, expiries = zip(*chain.begun, strict=True)
    assert names == ("top", "middle", "leaf")
    top, middle, leaf = expiries
    # grpc rounds what it sends up to three digits or so. What a service hands on is shorter by as much.
    assert called < leaf <= middle <= min(top, sent + seconds)
    assert top <= sent + 1.02 * seconds


async def test_no_handler_is_left_after_the_caller_has_cancelled(chain: Chain, request: pytest.FixtureRequest) -> None:
    calls = [chain.stub(StringValue(), timeout=600) for _ in range(CALLERS)]
    waiting = [asyncio.ensure_future(call) for call in calls]
    await chain.until(alive=3 * CALLERS)
    cancelled = monotonic()
    for call in calls:
        call.cancel()
    await chain.until(alive=0)
    assert monotonic() - cancelled < bound(request)
    assert sorted(chain.ended) == sorted(["top", "middle", "leaf"] * CALLERS)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(task.cancelled() for task in waiting)


async def test_no_handler_is_left_after_the_deadline_of_the_caller(
    chain: Chain, request: pytest.FixtureRequest
) -> None:
    seconds = 1.5
    called = monotonic()
    waiting = [asyncio.ensure_future(chain.stub(StringValue(), timeout=seconds)) for _ in range(CALLERS)]
    await asyncio.gather(*waiting, return_exceptions=True)
    await chain.until(alive=0)
    assert monotonic() - called < seconds + bound(request)
    for task in waiting:
        error = task.exception()
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(chain.ended) == len(chain.begun)
