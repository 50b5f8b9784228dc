"""Callbacks at the end of a call."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.conformance.dropin.served import Served, Stub


class Told:
    """Callbacks that note who called them and in which order."""

    def __init__(self, call: Any, names: str = "ab") -> None:
        self.calls: list[tuple[str, Any]] = []
        self.all = asyncio.Event()
        self._names = names
        for name in names:
            call.add_done_callback(lambda ended, name=name: self._note(name, ended))

    def _note(self, name: str, call: Any) -> None:
        self.calls.append((name, call))
        if len(self.calls) == len(self._names):
            self.all.set()

    async def once_each_in_order_with(self, call: Any) -> None:
        async with asyncio.timeout(5):
            await self.all.wait()
        assert [name for name, _ in self.calls] == list(self._names)
        assert all(told is call for _, told in self.calls)


async def test_callbacks_of_a_unary_call_run_in_order_with_the_call(stub: Stub) -> None:
    call = stub.Echo(b"x")
    told = Told(call, "abc")
    assert await call.code() is grpc.StatusCode.OK
    await told.once_each_in_order_with(call)


async def test_callbacks_run_though_nobody_awaits(stub: Stub) -> None:
    call = stub.Echo(b"x")
    await Told(call).once_each_in_order_with(call)


async def test_a_callback_added_after_the_end_runs(stub: Stub) -> None:
    call = stub.Echo(b"x")
    await call
    await Told(call).once_each_in_order_with(call)


async def test_the_call_is_done_when_its_callbacks_run(stub: Stub) -> None:
    call = stub.Echo(b"x")
    seen = asyncio.get_running_loop().create_future()
    call.add_done_callback(lambda ended: seen.set_result((ended.done(), ended.cancelled())))
    await call
    assert await seen == (True, False)


@pytest.mark.parametrize("method", ["Fail", "Refuse"])
async def test_callbacks_of_a_call_that_failed(stub: Stub, method: str) -> None:
    call = getattr(stub, method)(b"x") if method == "Fail" else stub.Refuse()
    told = Told(call)
    assert await call.code() is not grpc.StatusCode.OK
    await told.once_each_in_order_with(call)


@pytest.mark.parametrize("method", ["Hold", "Words", "Join", "Relay"])
async def test_callbacks_of_a_call_that_was_cancelled(stub: Stub, served: Served, method: str) -> None:
    make = getattr(stub, method)
    call = make(b"...") if method in ("Hold", "Words") else make()
    told = Told(call)
    async with asyncio.timeout(5):
        await served.arrived.wait()
    assert told.calls == []
    call.cancel()
    await told.once_each_in_order_with(call)


@pytest.mark.parametrize("method", ["Echo", "Words", "Join", "Relay"])
async def test_callbacks_of_a_call_cancelled_at_once(stub: Stub, method: str) -> None:
    make = getattr(stub, method)
    call = make(b"x") if method in ("Echo", "Words") else make()
    told = Told(call)
    call.cancel()
    await told.once_each_in_order_with(call)


@pytest.mark.parametrize("method", ["Words", "Join", "Relay"])
async def test_callbacks_of_a_stream_run_at_its_end(stub: Stub, method: str) -> None:
    call = stub.Words(b"a b") if method == "Words" else getattr(stub, method)(iter([b"a", b"b"]))
    told = Told(call)
    if method == "Join":
        assert await call == b"ab"
    else:
        assert await call.read() == b"a"
        assert [await call.read(), await call.read()][0] == b"b"
    assert await call.code() is grpc.StatusCode.OK
    await told.once_each_in_order_with(call)
    await Told(call).once_each_in_order_with(call)
