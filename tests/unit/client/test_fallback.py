"""The call object while another method is about to be asked: there is no grpc call yet that could be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
import pytest

import kit
from kit.client.calls import UnaryUnaryCall
from kit.layers import FallbackLayer, ReportLayer
from kit.pipeline import Call, Handler, Method, Outcome, Pipeline, Shape
from kit.policy import policy_for
from kit.testing import VirtualClock
from tests.unit.layers.wire import failure

DO, OTHER = "/test.Service/Do", "/test.Service/Other"


class Ended:
    """Stands for a call of grpc's that is over."""

    def __init__(self, name: str) -> None:
        self._metadata = grpc.aio.Metadata(("of", name))

    def done(self) -> bool:
        return True

    def cancelled(self) -> bool:
        return False

    def cancel(self) -> bool:
        return False

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        callback(self)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return self._metadata

    trailing_metadata = initial_metadata


class Gates:
    """Two methods that are reached, and then wait for leave to be sent: the first fails, the second answers."""

    def __init__(self) -> None:
        self.reached = {DO: asyncio.Event(), OTHER: asyncio.Event()}
        self.leave = {DO: asyncio.Event(), OTHER: asyncio.Event()}
        clock = VirtualClock()
        self._pipeline = Pipeline([ReportLayer(clock), FallbackLayer(clock, self._chain)])
        policy = {DO: kit.MethodPolicy(fallback=kit.FallbackPolicy(method="Other"))}
        method = Method(path=DO, shape=Shape.UNARY_UNARY, policy=policy_for(DO, policy), target="test:1")
        self.call = UnaryUnaryCall(Call(method, b"request"), self._chain(method), clock)
        self.answer = asyncio.ensure_future(self._answer())

    async def _answer(self) -> object:
        return await self.call

    def _chain(self, method: Method) -> Handler:
        return self._pipeline.handler(method, self._send)

    async def _send(self, call: Call) -> Outcome:
        path = call.method.path
        self.reached[path].set()
        await self.leave[path].wait()
        call.sent(Ended(path))
        return Outcome(error=failure()) if path == DO else Outcome(b"answer")


async def test_whoever_asks_for_metadata_waits_for_the_other_method() -> None:
    gates = Gates()
    asked = asyncio.ensure_future(gates.call.initial_metadata())
    await gates.reached[DO].wait()
    # Now somebody waits for grpc's call, gets the first one, and must not turn round and round when that is let go.
    await asyncio.sleep(0)
    gates.leave[DO].set()
    async with asyncio.timeout(5):
        await gates.reached[OTHER].wait()
        late = asyncio.ensure_future(gates.call.initial_metadata())
        await asyncio.sleep(0)
        assert not late.done()
        gates.leave[OTHER].set()
        assert await gates.answer == b"answer"
        assert (await late)["of"] == OTHER
        assert (await asked)["of"] == OTHER
    assert list(await gates.call.trailing_metadata()) == [("of", OTHER), ("kit-degraded", "method")]


async def test_the_call_can_be_cancelled_there() -> None:
    gates = Gates()
    gates.leave[DO].set()
    async with asyncio.timeout(5):
        await gates.reached[OTHER].wait()
        assert not gates.call.done()
        assert gates.call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gates.answer
    assert gates.call.cancelled()
    assert await gates.call.code() is grpc.StatusCode.CANCELLED
