"""Calls of all four shapes that are given up at random moments, and the service that they go to.

`test_cancellation_storm` makes some thousands, `make soak` a hundred thousand. Moments come from a seed and are counted
in turns of the event loop, and in answers to other calls; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit

__all__ = ["POLICY", "STREAMS", "UNARY", "Storm", "StormStub", "Stormy", "add_stormy"]

_SERVICE = "kit.tests.storm.v1.Storm"
#: The most turns of the loop, and answers to other calls, that pass until a call is given up.
_TURNS = 16
_ANSWERS = 2
_LEVEL = kit.IdempotencyLevel.IDEMPOTENT
_PLAIN = kit.MethodPolicy(
    timeout=60.0,
    retry=kit.RetryPolicy(max_attempts=4, initial_backoff=0.005, max_backoff=0.02),
    # So many failures in a row are not met by chance, and every call passes the breaker.
    breaker=kit.BreakerPolicy(failure_threshold=100_000),
    retry_budget=kit.RetryBudget(ratio=4.0),
    concurrency=kit.ConcurrencyPolicy(max_concurrent=1000),
    idempotency_level=_LEVEL,
)
POLICY: Mapping[str, kit.MethodPolicy] = {
    "*": _PLAIN,
    f"/{_SERVICE}/Hedged": kit.MethodPolicy(
        retry=kit.RetryPolicy(max_attempts=1), hedging=kit.HedgingPolicy(max_attempts=3, hedging_delay=0.002)
    ),
}


class Stormy:
    """Does what a request says: "hang" never ends, "fail" is UNAVAILABLE, anything else is answered."""

    def __init__(self) -> None:
        #: Handlers that run, and that ever ran.
        self.alive = self.started = 0
        # Kept: what waits for a thing that nobody else knows would be collected.
        self._never = asyncio.Event()

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        self.alive += 1
        self.started += 1
        try:
            yield
        finally:
            self.alive -= 1

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        async with self._running():
            if request.value == "hang":
                await self._never.wait()
            if request.value == "fail":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
            return request

    async def down(self, request: StringValue, context: Any) -> None:
        async with self._running():
            for _ in range(4):
                await context.write(request)
            if request.value == "hang":
                await self._never.wait()

    async def up(self, requests: AsyncIterator[StringValue], _context: object) -> StringValue:
        async with self._running():
            async for _ in requests:
                pass
            return StringValue()

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        async with self._running():
            async for request in requests:
                await context.write(request)

    async def count(self, _request: StringValue, _context: object) -> StringValue:
        return StringValue(value=f"{self.alive} {self.started}")


def add_stormy(stormy: Any, server: Any) -> None:
    """What protoc would have generated."""
    coders: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "Plain": grpc.unary_unary_rpc_method_handler(stormy.unary, **coders),
        "Hedged": grpc.unary_unary_rpc_method_handler(stormy.unary, **coders),
        "Down": grpc.unary_stream_rpc_method_handler(stormy.down, **coders),
        "Up": grpc.stream_unary_rpc_method_handler(stormy.up, **coders),
        "Both": grpc.stream_stream_rpc_method_handler(stormy.both, **coders),
        "Alive": grpc.unary_unary_rpc_method_handler(stormy.count, **coders),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_registered_method_handlers(_SERVICE, handlers)


class StormStub:
    """What protoc would have generated."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def made(kind: Any, name: str) -> Any:
            return kind(
                f"/{_SERVICE}/{name}",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )

        self.Plain: Any = made(channel.unary_unary, "Plain")
        self.Hedged: Any = made(channel.unary_unary, "Hedged")
        self.Down: Any = made(channel.unary_stream, "Down")
        self.Up: Any = made(channel.stream_unary, "Up")
        self.Both: Any = made(channel.stream_stream, "Both")
        self.Alive: Any = made(channel.unary_unary, "Alive")


_ECHO, _FAIL, _HANG = (StringValue(value=value) for value in ("echo", "fail", "hang"))

#: A call that was made, and what its caller does with it until it is given up.
_Made = tuple[Any, Callable[[], Awaitable[object]]]


def _unary(start: Callable[[StormStub], Any]) -> Callable[[StormStub, random.Random], _Made]:
    def make(stub: StormStub, _rng: random.Random) -> _Made:
        call = start(stub)

        async def answer() -> object:
            return await call

        return call, answer

    return make


def _down(stub: StormStub, rng: random.Random) -> _Made:
    call = stub.Down(_HANG if rng.random() < 0.5 else _ECHO)

    async def read() -> None:
        async for _ in call:
            pass

    return call, read


def _up(stub: StormStub, rng: random.Random) -> _Made:
    if rng.random() < 0.5:

        async def requests() -> AsyncIterator[StringValue]:
            while True:
                yield _ECHO

        call = stub.Up(requests())

        async def answer() -> object:
            return await call

        return call, answer
    call = stub.Up()

    async def write() -> object:
        for _ in range(5):
            await call.write(_ECHO)
        return await call

    return call, write


def _both(stub: StormStub, _rng: random.Random) -> _Made:
    call = stub.Both()

    async def talk() -> None:
        while True:
            await call.write(_ECHO)
            await call.read()

    return call, talk


#: Answers to other calls after which nobody should wait any more for a call that was cancelled.
_PATIENCE = 20
_Ways = Mapping[str, Callable[[StormStub, random.Random], _Made]]
#: What a unary call may be in the middle of when it is given up.
UNARY: _Ways = {
    "in flight": _unary(lambda stub: stub.Plain(_HANG)),
    "about to be answered": _unary(lambda stub: stub.Plain(_ECHO)),
    "between attempts": _unary(lambda stub: stub.Plain(_FAIL)),
    "hedged": _unary(lambda stub: stub.Hedged(_HANG)),
}
#: The same of a stream.
STREAMS: _Ways = {"answers": _down, "requests": _up, "both": _both}


class Storm:
    """Makes calls and gives them up. `ended` counts what became of them, by what they were in the middle of."""

    def __init__(self, stub: StormStub, seed: int) -> None:
        self._stub = stub
        self._rng = random.Random(seed)
        self.ended: Counter[tuple[str, str]] = Counter()

    async def run(self, ways: _Ways, calls: int, *, in_flight: int = 32) -> None:
        """`calls` calls in all, of which so many at a time."""
        names: Sequence[str] = list(ways)

        async def some(count: int) -> None:
            for _ in range(count):
                name = self._rng.choice(names)
                self.ended[name, await self._one(ways[name])] += 1

        share, more = divmod(calls, in_flight)
        await asyncio.gather(*(some(share + (number < more)) for number in range(in_flight)))

    async def _one(self, make: Callable[[StormStub, random.Random], _Made]) -> str:
        call, use = make(self._stub, self._rng)
        turns, answers = self._rng.randrange(_TURNS), self._rng.randint(0, _ANSWERS)
        by_call = self._rng.random() < 0.5
        if not turns:
            # Before it was sent, or anybody waited for it.
            call.cancel()
        task = asyncio.ensure_future(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(answers if turns else 0):
            await self._stub.Alive(_ECHO)
        report = call.kit_report() if isinstance(call, kit.call.Reporting) else None
        if by_call:
            call.cancel()
        else:
            task.cancel()
        if not task.cancelling():
            for _ in range(_PATIENCE):
                if task.done():
                    break
                await self._stub.Alive(_ECHO)
            else:
                task.cancel()
                await asyncio.wait((task,))
                return "left waiting"
        await asyncio.wait((task,))
        # Whoever waits for a stream in a task that is cancelled may have been between two messages.
        call.cancel()
        if not task.cancelled():
            # Looked at: asyncio complains of what nobody looks at.
            task.exception()
        if call.cancelled():
            if not turns:
                return "given up before it was sent"
            if report is not None and report.attempts and report.attempts[-1].code is not None:
                return "given up after an attempt had failed"
            if report is not None and len(report.attempts) > 1:
                return "given up with several attempts"
            return "given up"
        return "ended before"
