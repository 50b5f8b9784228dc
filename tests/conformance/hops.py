"""Three services in a row on real loopback gRPC: a client calls A, A calls B, B calls C, and C may fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.client import Channel
from kit.testing import VirtualClock

__all__ = ["Hops", "hops"]

_PATH = "/kit.tests.hops.v1.Hop/Call"
#: Virtual seconds between two calls.
_GAP = 0.001


class Hops:
    """What came of the calls."""

    def __init__(self, stub: Any, clock: VirtualClock) -> None:
        self._stub = stub
        self._clock = clock
        #: Calls that the client made, and that came out well.
        self.made = self.succeeded = 0
        #: Attempts that arrived at A, at B and at C.
        self.arrived = [0, 0, 0]

    async def call(self, count: int, *, together: int = 1) -> None:
        """Makes calls, `together` of them at a time; a failure is counted, not raised."""
        for _ in range(count // together):
            await self._clock.sleep(_GAP)
            await asyncio.gather(*(self._one() for _ in range(together)))

    async def _one(self) -> None:
        self.made += 1
        try:
            await self._stub(StringValue())
        except grpc.aio.AioRpcError:
            return
        self.succeeded += 1

    @property
    def amplification(self) -> float:
        """Attempts that arrived at the bottom over the calls that were made at the top."""
        return self.arrived[-1] / self.made


class _Hop:
    """One service: does what `act` does, after it has counted the attempt."""

    def __init__(self, act: Callable[[], Any], arrived: Callable[[], None]) -> None:
        self._act = act
        self._arrived = arrived

    async def call(self, request: StringValue, _context: object) -> StringValue:
        self._arrived()
        await self._act()
        return request


def _add(hop: Any, server: Any) -> None:
    """What protoc would have generated."""
    method = grpc.unary_unary_rpc_method_handler(
        hop.call, request_deserializer=StringValue.FromString, response_serializer=StringValue.SerializeToString
    )
    service, _, name = _PATH.removeprefix("/").partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    server.add_registered_method_handlers(service, {name: method})


@asynccontextmanager
async def hops(
    policy: kit.MethodPolicy,
    *,
    failing: float = 1.0,
    seed: int = 1,
    pushback: bool = True,
) -> AsyncIterator[Hops]:
    """The three services, each of whose clients has `policy`; time passes only by backoffs and between calls.

    `failing` is the share of the attempts at C that end UNAVAILABLE; `pushback` False makes A and B keep silent about
    the retries that they made themselves, as a server without the kit does.
    """
    rng = random.Random(seed)
    clock = VirtualClock(autojump=True)
    async with AsyncExitStack() as stack:

        async def serve(number: int, act: Callable[[], Any]) -> Any:
            def arrived() -> None:
                seen.arrived[number] += 1

            server = kit.Server(f"hop-{number}", listen="127.0.0.1:0", register=False, grace=0.0)
            server.add(_Hop(act, arrived), _add)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            channel = Channel(server.address, policy=policy, clock=clock, rng=random.Random(rng.random()))
            await stack.enter_async_context(channel)
            return channel.unary_unary(
                _PATH,
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )

        async def bottom() -> None:
            if rng.random() < failing:
                raise kit.errors.Unavailable("down")

        def passing(stub: Any) -> Callable[[], Any]:
            async def act() -> None:
                try:
                    await stub(StringValue())
                except kit.errors.CallFailed as error:
                    if pushback:
                        raise
                    raise kit.errors.Unavailable("down") from error

            return act

        seen = Hops(None, clock)
        stub = await serve(2, bottom)
        stub = await serve(1, passing(stub))
        seen._stub = await serve(0, passing(stub))
        yield seen
