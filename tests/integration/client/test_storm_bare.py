"""A call that no policy concerns comes out as grpc.aio's own, whatever is done to it at whatever moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client.calls import CommonCall
from kit.client.direct import DirectCall
from kit.testing import Fault, InProcess
from tests.integration.client.echo import UNARY, Echo, EchoStub, add_echo, text

_ONCE = kit.RetryPolicy(max_attempts=1)
#: Policies that have nothing to do for the calls here.
POLICIES: dict[str, dict[str, kit.MethodPolicy]] = {
    "none": {"*": kit.MethodPolicy(retry=_ONCE)},
    "retries": {},
    "not sent at once": {"*": kit.MethodPolicy(retry=_ONCE, concurrency=kit.ConcurrencyPolicy(max_concurrent=100))},
    "retries, not sent at once": {"*": kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_concurrent=100))},
}
FAULTS: dict[str, Callable[[], list[Fault]]] = {
    "answered": list,
    "failed": lambda: [Fault(code=grpc.StatusCode.NOT_FOUND, details="gone")],
    "held": lambda: [Fault(until=asyncio.Event())],
}


async def result(awaitable: Any) -> object:
    """How an awaitable comes out, as something that can be compared."""
    try:
        async with asyncio.timeout(10):
            found = await awaitable
    except asyncio.CancelledError:
        return "cancelled"
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return found if not isinstance(found, grpc.aio.Metadata) else "metadata"


async def once(call: Any) -> object:
    return await call


def awaiting(call: Any) -> asyncio.Future[object]:
    return asyncio.ensure_future(once(call))


def grpc_call(call: Any) -> Any:
    """The call that grpc makes."""
    if isinstance(call, DirectCall):
        return call.first
    return call._call.inner if isinstance(call, CommonCall) else call


async def ended(call: Any, stub: EchoStub) -> None:
    """Returns when grpc's own call has ended, without asking ours."""
    inner = grpc_call(call)
    async with asyncio.timeout(10):
        while not inner.done():
            await stub.Unsafe(text())
    await stub.Unsafe(text())


async def _cancelled_at_once(call: Any, _stub: EchoStub) -> object:
    return call.cancel(), call.done(), call.cancelled(), await result(call), call.cancel()


async def _cancelled_under_way(call: Any, stub: EchoStub) -> object:
    waiting = awaiting(call)
    await stub.Unsafe(text())
    call.cancel()
    return await result(waiting)


async def _cancelled_when_it_has_ended(call: Any, stub: EchoStub) -> object:
    await ended(call, stub)
    return call.cancel(), call.done(), call.cancelled(), await result(call), await result(call)


async def _awaiter_cancelled(call: Any, stub: EchoStub) -> object:
    waiting = awaiting(call)
    await asyncio.sleep(0)
    waiting.cancel()
    return await result(waiting), await result(call), call.cancelled(), await result(call.code())


async def _awaiter_cancelled_as_it_ends(call: Any, stub: EchoStub) -> object:
    waiting = awaiting(call)
    await asyncio.sleep(0)
    inner = grpc_call(call)
    inner.add_done_callback(lambda _: waiting.cancel())
    return await result(waiting), call.done()


async def _one_of_two_awaiters_cancelled(call: Any, stub: EchoStub) -> object:
    one, other = awaiting(call), awaiting(call)
    await asyncio.sleep(0)
    one.cancel()
    return await result(one), await result(other), await result(call)


async def _awaited_by_three(call: Any, stub: EchoStub) -> object:
    return [await result(waiting) for waiting in [awaiting(call), awaiting(call), awaiting(call)]]


async def _shielded(call: Any, stub: EchoStub) -> object:
    waiting = awaiting(call)
    outer = asyncio.ensure_future(asyncio.wait_for(asyncio.shield(waiting), 0))
    await asyncio.wait([outer])
    return type(outer.exception()), await result(waiting), await result(call.details())


async def _called_back_late(call: Any, stub: EchoStub) -> object:
    await ended(call, stub)
    seen: list[Any] = []
    call.add_done_callback(seen.append)
    outcome = await result(call)
    call.add_done_callback(seen.append)
    await stub.Unsafe(text())
    return outcome, [one.done() for one in seen]


async def _asked_while_under_way(call: Any, stub: EchoStub) -> object:
    waiting = awaiting(call)
    asked = [asyncio.ensure_future(ask()) for ask in (call.code, call.details, call.trailing_metadata)]
    await asyncio.sleep(0)
    call.done()
    call.cancelled()
    call.time_remaining()
    asked[0].cancel()
    return await result(waiting), [await result(one) for one in asked], await result(call.initial_metadata())


async def _closed_under_way(call: Any, stub: EchoStub, channel: Any) -> object:
    waiting = awaiting(call)
    await stub.Unsafe(text())
    await channel.close()
    return await result(waiting), call.done(), await result(call.code())


#: What can be done to a call that is held for ever only if it is given up.
ENDS = [
    _cancelled_at_once,
    _cancelled_under_way,
    _awaiter_cancelled,
    _one_of_two_awaiters_cancelled,
]
#: What waits for it to end.
WAITS = [
    _cancelled_when_it_has_ended,
    _awaiter_cancelled_as_it_ends,
    _awaited_by_three,
    _called_back_late,
    _asked_while_under_way,
]


async def outcome(process: InProcess, channel: grpc.aio.Channel, script: str, does: Callable[..., Any]) -> object:
    stub = EchoStub(channel)
    await stub.Unsafe(text())  # connects
    process.faults.script(UNARY, FAULTS[script]())
    call = stub.Unary(text(), timeout=30)
    try:
        return await (does(call, stub, channel) if does is _closed_under_way else does(call, stub))
    finally:
        process.faults.script(UNARY, [])


CASES = [
    *(("held", does) for does in [*ENDS, _closed_under_way]),
    # Whether that one has ended by then is a race.
    *(
        (script, does)
        for script in ("answered", "failed")
        for does in [*ENDS, *WAITS]
        if does is not _cancelled_under_way
    ),
    ("answered", _shielded),
]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize(("script", "does"), CASES, ids=lambda value: getattr(value, "__name__", value))
async def test_it_comes_out_as_it_does_without_the_kit(
    script: str, does: Callable[..., Any], policy: dict[str, kit.MethodPolicy]
) -> None:
    async with (
        InProcess(Echo(), add_echo) as process,
        grpc.aio.insecure_channel(process.address) as bare,
        kit.channel(process.address, policy=policy) as ours,
    ):
        assert await outcome(process, ours, script, does) == await outcome(process, bare, script, does)
