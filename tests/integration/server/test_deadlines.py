"""The deadline of a call holds for its handler and for the calls made inside."""

from __future__ import annotations

import asyncio
import math
import sys

import grpc
import grpc.aio
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import kit
from kit.call import deadline
from kit.observe.records import Record
from tests.integration.server.conftest import Serve
from tests.integration.server.echo import METHODS, Context, call, failure, start_call

every_method = pytest.mark.parametrize("method", METHODS)


async def test_the_handler_sees_what_is_left_of_its_callers_deadline(serve: Serve) -> None:
    seen: list[float] = []

    async def act(text: str, context: Context) -> None:
        seen.append(deadline().remaining())

    served = await serve(act)
    await call(served.channel, "UnaryUnary", timeout=30)
    await call(served.channel, "UnaryUnary")
    # grpc rounds the time that it sends up to three digits: 30 s may arrive as 30.1 s.
    assert 25 < seen[0] <= 30.2
    assert seen[1] == math.inf


@every_method
async def test_a_handler_is_cancelled_when_the_time_is_up(serve: Serve, method: str) -> None:
    entered = asyncio.Event()
    ended = asyncio.Event()

    async def act(text: str, context: Context) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served = await serve(act)
    error = await failure(served.channel, method, timeout=0.3)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        await ended.wait()
    assert entered.is_set()


@every_method
async def test_a_handler_is_cancelled_when_its_client_gives_up(serve: Serve, method: str) -> None:
    entered = asyncio.Event()
    ended = asyncio.Event()

    async def act(text: str, context: Context) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served = await serve(act)
    started = start_call(served.channel, method)
    async with asyncio.timeout(5):
        await entered.wait()
        started.cancel()
        await ended.wait()
    assert await started.code() is grpc.StatusCode.CANCELLED


async def test_a_timeout_of_the_handlers_own_is_not_taken_for_the_deadline(serve: Serve) -> None:
    async def act(text: str, context: Context) -> None:
        raise TimeoutError("a queue was full")

    served = await serve(act)
    assert (await failure(served.channel, "UnaryUnary", timeout=30)).code() is grpc.StatusCode.INTERNAL


#: Sends a call and stops itself, as a machine that hangs does: it says nothing more, not even that it is gone.
STOPPING_CLIENT = """
import asyncio, os, signal, sys
import grpc.aio

async def main():
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        call = channel.unary_unary("/test.Echo/UnaryUnary")(b"", timeout=2)
        await asyncio.to_thread(sys.stdin.readline)
        os.kill(os.getpid(), signal.SIGSTOP)
        await call

asyncio.run(main())
"""


async def test_a_handler_whose_client_has_stopped_is_cancelled_at_the_deadline(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By grpc's core: there is no timer of the kit's own."""
    entered, ended = asyncio.Event(), asyncio.Event()
    told: asyncio.Future[grpc.StatusCode] = asyncio.get_running_loop().create_future()

    async def act(text: str, context: Context) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def noted(record: Record, code: grpc.StatusCode, details: str = "", **more: object) -> None:
        told.set_result(code)

    monkeypatch.setattr(Record, "finish", noted)
    telemetry = kit.observe.setup("test", exporter=InMemorySpanExporter())
    assert telemetry is not None
    served = await serve(act)
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STOPPING_CLIENT, served.server.address, stdin=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            await entered.wait()
            assert client.stdin is not None
            client.stdin.write(b"\n")
            await ended.wait()
            code = await told
    finally:
        client.kill()
        await client.wait()
        telemetry.shutdown()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
