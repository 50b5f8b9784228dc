"""A call that is over and that nobody refers to is freed at once, and not by the garbage collector later."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest

from kit.testing import Fault
from tests.integration.client.conftest import Client
from tests.integration.client.echo import DOWN, UNARY, text


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Garbage stays where it is."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def freed(call: weakref.ref[object], client: Client) -> bool:
    """Whether it is gone after some turns of the loop, in which grpc lets go of it."""
    for _ in range(10):
        if call() is None:
            return True
        await client.stub.Unsafe(text())
    return False


async def ended(client: Client) -> weakref.ref[object]:
    call = client.stub.Unary(text())
    try:
        await call
    except grpc.aio.AioRpcError:
        pass
    except asyncio.CancelledError:
        raise AssertionError from None
    return weakref.ref(call)


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND], ids=str)
async def test_a_unary_call(client: Client, code: grpc.StatusCode | None) -> None:
    client.faults.script(UNARY, [] if code is None else [Fault(code=code)] * 4)
    assert await freed(await ended(client), client)


async def test_a_unary_call_that_was_given_up(client: Client) -> None:
    async def given_up() -> weakref.ref[object]:
        call = client.stub.Unary(text())
        call.cancel()
        await asyncio.wait([asyncio.ensure_future(call.code())])
        return weakref.ref(call)

    assert await freed(await given_up(), client)


@pytest.mark.parametrize("code", [None, grpc.StatusCode.NOT_FOUND], ids=str)
async def test_a_stream(client: Client, code: grpc.StatusCode | None) -> None:
    async def streamed() -> weakref.ref[object]:
        call = client.stub.Down(text())
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError:
            assert code is not None
        return weakref.ref(call)

    client.faults.script(DOWN, [] if code is None else [Fault(code=code)])
    assert await freed(await streamed(), client)
