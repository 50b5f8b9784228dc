"""A first attempt that is sent without the pipeline comes out as one that goes through it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client.direct import Direct, DirectCall
from kit.pipeline import Call
from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import UNARY, UNSAFE, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
POLICY = {
    "*": kit.MethodPolicy(
        breaker=kit.BreakerPolicy(failure_threshold=5),
        retry_throttling=kit.RetryThrottling(max_tokens=100, token_ratio=0.5),
        retry_budget=kit.RetryBudget(ratio=0.5, min_per_second=100),
    )
}
SCRIPTS: dict[str, list[Fault]] = {
    "answered": [],
    "answered at the second attempt": [UNAVAILABLE],
    "failed at every attempt": [UNAVAILABLE] * 4,
    "failed for good": [Fault(code=grpc.StatusCode.NOT_FOUND)],
    "told not to come again": [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=-1)],
}


async def awaited(call: Any) -> object:
    return (await call).value


async def awaited_twice(call: Any) -> object:
    return [(await call).value, (await call).value]


async def awaited_by_two(call: Any) -> object:
    async def once() -> object:
        return (await call).value

    one, other = await asyncio.gather(once(), once(), return_exceptions=True)
    return type(one), type(other), str(one)[:12]


async def asked_for_its_status(call: Any) -> object:
    return await call.code(), await call.details(), list(await call.trailing_metadata())


async def asked_for_its_status_while_awaited(call: Any) -> object:
    waiting = asyncio.ensure_future(awaited(call))
    await asyncio.sleep(0)
    code = await call.code()
    await asyncio.wait([waiting])
    return code, call.done(), call.cancelled()


async def called_back(call: Any) -> object:
    ended = asyncio.get_running_loop().create_future()
    call.add_done_callback(ended.set_result)
    return (await ended).done(), call.done()


async def called_back_while_awaited(call: Any) -> object:
    calls: list[object] = []
    call.add_done_callback(calls.append)
    await asyncio.wait([asyncio.ensure_future(awaited(call))])
    call.add_done_callback(calls.append)
    return len(calls), call.done()


async def cancelled_before_it_ends(call: Any) -> object:
    return call.cancel(), call.cancel(), await call.code(), call.cancelled(), call.done()


WAYS: list[Callable[[Any], Awaitable[object]]] = [
    awaited,
    awaited_twice,
    awaited_by_two,
    asked_for_its_status,
    asked_for_its_status_while_awaited,
    called_back,
    called_back_while_awaited,
    cancelled_before_it_ends,
]


def plain(report: kit.CallReport) -> kit.CallReport:
    """The report without what no two calls have in common: times and ports."""
    attempts = tuple(
        replace(attempt, delay=0, started_after=0, duration=0, endpoint="", details="") for attempt in report.attempts
    )
    breakers = {str(number): state for number, state in enumerate(report.breakers.values())}
    return replace(report, target="", duration=0, attempts=attempts, breakers=breakers)


async def course(client: Client, way: Callable[[Any], Awaitable[object]], script: list[Fault]) -> list[object]:
    """What happens, on both sides."""
    client.faults.script(UNARY, script)
    call = client.stub.Unary(text(), timeout=10, metadata=[("a", "b")])
    seen: list[object] = []
    try:
        seen.append(await way(call))
    except grpc.aio.AioRpcError as error:
        seen += [error.code(), error.details(), plain(kit.report(error))]
    except asyncio.CancelledError:
        seen.append("cancelled")
    if client.endpoint:
        seen.append(plain(kit.report(call)))
    if way is not cancelled_before_it_ends:  # whether that one arrives is a race
        seen += [(found.header("a"), found.header("kit-previous-rpc-attempts")) for found in client.faults.seen]
    return seen


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_it_comes_out_the_same(
    connect: Connect, way: Callable[[Any], Awaitable[object]], script: list[Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = await course(await connect(policy=POLICY), way, script)
    monkeypatch.setattr(Direct, "begin", lambda *_: None)
    assert at_once == await course(await connect(policy=POLICY), way, script)


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls for which a pipeline's notes have been made."""
    made: list[Call] = []
    init = Call.__init__

    def noted(self: Call, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        made.append(self)

    monkeypatch.setattr(Call, "__init__", noted)
    return made


async def test_a_call_that_is_answered_needs_no_pipeline(connect: Connect, pipelines: list[Call]) -> None:
    client = await connect(policy=POLICY)
    await client.channel.channel_ready()
    await client.stub.Unary(text())
    pipelines.clear()
    assert (await client.stub.Unary(text(), timeout=5)).value == "hello"
    assert (await client.stub.Unsafe(text())).value == "hello"
    assert not pipelines[1:]  # a stock channel binds a method at its first call


async def test_it_is_counted_by_the_breaker() -> None:
    policy = {"*": kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=4))}
    async with InProcess(Echo(), add_echo, policy=policy) as process:
        stub = EchoStub(process.channel)
        process.faults.script(UNSAFE, [UNAVAILABLE] * 3)
        for _ in range(3):
            with pytest.raises(kit.errors.CallFailed):
                await stub.Unsafe(text())
        [breaker] = process.channel.breakers
        assert breaker.fail_counter == 3
        await stub.Unsafe(text())
        assert breaker.fail_counter == 0


async def test_collectors_and_debug_lines_see_it(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    client = await connect(policy=POLICY)
    await client.stub.Unary(text())
    with kit.reports() as seen:
        await client.stub.Unary(text())
    assert [report.stop_reason for report in seen] == ["OK"]
    with caplog.at_level(logging.DEBUG, "kit.client"):
        await client.stub.Unary(text())
    assert any("attempt 1/4" in record.message for record in caplog.records)


async def test_one_that_is_dropped_leaves_nothing_behind(connect: Connect) -> None:
    client = await connect(policy=POLICY)
    await client.stub.Unary(text())
    tasks = len(asyncio.all_tasks())
    for _ in range(50):
        client.stub.Unary(text())
    await client.stub.Unary(text())
    # Their callbacks run by and by: grpc has them until then.
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks or _direct_calls():
            await client.stub.Unary(text())


def _direct_calls() -> list[Any]:
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is DirectCall]


async def test_cancelling_the_task_that_awaits_it_reaches_the_server(connect: Connect) -> None:
    arrived = asyncio.Event()

    async def hold(_name: str, _context: object) -> None:
        arrived.set()
        await asyncio.Event().wait()

    client = await connect(hold, policy=POLICY)
    call = client.stub.Unary(text())
    waiting = asyncio.ensure_future(awaited(call))
    await arrived.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        await client.echo.cancelled.wait()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
