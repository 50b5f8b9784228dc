"""The deadline of a call holds for its handler and for the calls made inside."""

from __future__ import annotations

import asyncio
import math

import grpc
import grpc.aio
import pytest

from kit.call import deadline
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
