"""What an endpoint tells of its health as soon as it changes, by grpc.health.v1's Watch.

A server that is about to stop says so before it lets go of its connections. Who hears it at once sends no more calls
there, and none is lost; a check every so many seconds comes too late for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from kit.client._check import MUTE
from kit.client._tasks import Tasks
from kit.client.endpoints import Endpoint
from kit.clock import Clock

__all__ = ["watch"]

WATCH = "/grpc.health.v1.Health/Watch"
#: Seconds after a stream has ended until the next one is asked for, with as much again at random.
PAUSE = 1.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_READY, _SHUT = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.SHUTDOWN


async def watch(
    endpoint: Endpoint,
    service: str,
    told: Callable[[bool], bool],
    tasks: Tasks,
    clock: Clock,
    random: Callable[[], float],
) -> None:
    """Calls `told` with whether the endpoint serves, at first and after each change, until it answers False.

    Connects nothing: it listens while there is a connection. Returns where the endpoint has no such service or does not
    tell us.
    """
    loop = asyncio.get_running_loop()
    while (state := endpoint.state()) is not _SHUT:
        leaving = tasks.wait(endpoint.channel.wait_for_state_change(state))
        endpoint.watched(leaving)
        waits: list[asyncio.Task[Any]] = [leaving]
        if state is _READY:
            waits.append(tasks.wait(_read(endpoint, service, told)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not loop.is_closed():
                for wait in waits:
                    wait.cancel()
        if leaving.done() and not leaving.cancelled() and leaving.exception() is not None:
            return  # the channel was closed
        if state is _READY:
            if waits[1].done() and not waits[1].cancelled() and not waits[1].result():
                return
            await clock.sleep(PAUSE * (1 + random()))


async def _read(endpoint: Endpoint, service: str, told: Callable[[bool], bool]) -> bool:
    """One stream, to its end; False when there is no use in another one."""
    call: Any = None
    try:
        make: Any = endpoint.channel.unary_stream(
            WATCH,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        call = make(health_pb2.HealthCheckRequest(service=service))
        async for response in call:
            if not told(response.status == _SERVING):
                return False
    except grpc.aio.AioRpcError as error:
        return error.code() not in MUTE
    except grpc.aio.UsageError:
        return False
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        # The connection was closed, which cancels its calls; nobody has cancelled us.
    finally:
        if call is not None:
            with contextlib.suppress(Exception):
                call.cancel()
    return True
