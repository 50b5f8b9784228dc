"""How calls come to their end when a server stops, without one being lost.

What grpc core does: once it is told to stop it sends GOAWAY on every connection, and from that instant on it ends each
call that it has not yet handed over with CANCELLED, be it on the way or in its queue. It can send GOAWAY in no other
way. So the calls must have ceased before:

    pause     NOT_SERVING is told and calls are taken: balancers and clients that watch the health look elsewhere
    settle    until no call has come for a moment; clients that do as they are told have gone by then
    hold      where calls still come: answers are kept back, so that whoever waits for one sends nothing new
    GOAWAY    precedes these answers on their connections: the next call of their clients goes somewhere else
    tell      handlers that wait for something to happen end, Watch streams too
    wait      for the handlers, `grace` seconds; then they are cancelled, and their `finally` is waited for

What is left is the bare client that sends without waiting for answers and does not watch the health: a call of its that
is under way in just the instant of the GOAWAY. `kit.layers.retry` makes it again where the method allows that.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc.aio

from kit.health import HealthService
from kit.observe import get_logger
from kit.server._inflight import InFlight

__all__ = ["CLEANUP_TIMEOUT", "SETTLE", "first_of", "stop_calls"]

log = get_logger("kit.server")

#: Seconds that handlers have for their `finally` after they were cancelled.
CLEANUP_TIMEOUT = 5.0
#: Seconds, at most, until calls have ceased to come by themselves.
SETTLE = 1.0
#: Seconds without a call after which they have.
SETTLED = 0.25
#: Seconds, at most, for which answers are held back; seconds without a call after which everybody waits for one.
HOLD = 0.75
HELD = 0.2


async def stop_calls(
    server: grpc.aio.Server,
    health: HealthService,
    in_flight: InFlight,
    hastened: asyncio.Event,
    *,
    delay: float,
    settle: float,
    grace: float,
) -> None:
    """The steps above, from the pause on; times are seconds. `settle` 0 leaves out settling and holding."""
    if delay > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hastened.wait(), delay)
    if settle > 0 and not await in_flight.quiet(SETTLED, settle, hastened) and not hastened.is_set():
        in_flight.hold()
        await in_flight.quiet(HELD, HOLD, hastened)
    stopping = asyncio.ensure_future(server.stop(grace))
    # The task's first step gives the order for GOAWAY.
    await asyncio.sleep(0)
    in_flight.release()
    in_flight.drain()
    health.close()
    await first_of(stopping, hastened)
    if not stopping.done():
        await server.stop(None)
    await stopping
    left = await in_flight.ended(CLEANUP_TIMEOUT)
    if left:
        log.warning("handlers did not end after they were cancelled", count=left)


async def first_of(*things: asyncio.Event | asyncio.Future[Any]) -> None:
    """Returns when one of the events is set or one of the futures is done."""
    waits = {asyncio.ensure_future(thing.wait()) for thing in things if isinstance(thing, asyncio.Event)}
    try:
        futures = {thing for thing in things if isinstance(thing, asyncio.Future)}
        await asyncio.wait(waits | futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
