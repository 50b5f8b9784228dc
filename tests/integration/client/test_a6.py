"""gRFC A6 over real loopback gRPC, each rule for all four shapes and both kinds of client.

What is particular to a shape stands in `test_retry`, `test_replay` and `test_hedging`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import CallFailed
from kit.resilience.backoff import Jitter
from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import BOTH, DOWN, UNARY, UP, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
METHODS = (UNARY, DOWN, UP, BOTH)
EVERY_SHAPE = pytest.mark.parametrize("method", METHODS, ids=["Unary", "Down", "Up", "Both"])


def policy(**more: Any) -> dict[str, kit.MethodPolicy]:
    """The echo service's, with buffers for streams of requests."""
    found = {}
    for method in METHODS:
        kept: dict[str, Any] = {"replay_buffer_bytes": 1000} if method in (UP, BOTH) else {}
        given = dict(more)
        found[method] = kit.MethodPolicy(retry=kit.RetryPolicy(**kept, **given.pop("retry", {})), **given)
    return found


def make(stub: EchoStub, method: str) -> Any:
    """A call whose answer is "a"."""
    stream = method in (UP, BOTH)
    return getattr(stub, method.rpartition("/")[2])(iter([text("a")]) if stream else text("a"))


async def answer(call: Any) -> str:
    if isinstance(call, (grpc.aio.UnaryUnaryCall, grpc.aio.StreamUnaryCall)):
        return str((await call).value)
    return " ".join([message.value async for message in call])


async def rest(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def failed(client: Client, method: str) -> kit.CallReport:
    """Calls, and gives the report of the failure."""
    with pytest.raises(CallFailed) as failure:
        await answer(make(client.stub, method))
    return kit.report(failure.value)


@EVERY_SHAPE
async def test_success_on_the_third_attempt_is_exactly_three_requests(connect: Connect, method: str) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [UNAVAILABLE] * 2)
    assert await answer(make(client.stub, method)) == "a"
    assert [call.header("kit-previous-rpc-attempts") for call in client.faults.seen] == [None, "1", "2"]


@EVERY_SHAPE
async def test_a_status_that_is_not_retryable_is_one_request(connect: Connect, method: str) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [Fault(code=grpc.StatusCode.INTERNAL)])
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (1, "NOT_RETRYABLE")


@EVERY_SHAPE
async def test_a_policys_own_codes_are_the_retryable_ones(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(retry={"retryable_status_codes": [grpc.StatusCode.ABORTED]}))
    client.faults.script(method, [Fault(code=grpc.StatusCode.ABORTED), UNAVAILABLE])
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (2, "NOT_RETRYABLE")


@EVERY_SHAPE
async def test_max_attempts_counts_the_first(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(retry={"max_attempts": 2}))
    client.faults.script(method, [UNAVAILABLE] * 9)
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (2, "ATTEMPTS_EXHAUSTED")


@EVERY_SHAPE
async def test_one_attempt_turns_retry_off(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(retry={"max_attempts": 1}))
    client.faults.script(method, [UNAVAILABLE])
    report = await failed(client, method)
    assert len(client.faults.seen) == 1
    assert report.stop_reason in ("OFF", "COMMITTED")


@EVERY_SHAPE
async def test_pushback_is_waited_for_and_then_the_backoff_starts_over(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(retry={"initial_backoff": 0.002, "max_backoff": 10.0, "jitter": Jitter.NONE}))
    client.faults.script(method, [UNAVAILABLE, Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=20), UNAVAILABLE])
    with kit.reports() as seen:
        call = make(client.stub, method)
        assert await answer(call) == "a"
        assert await call.code() is grpc.StatusCode.OK
    assert [attempt.delay for attempt in seen[0].attempts] == [0.0, 0.002, 0.02, 0.002]


@EVERY_SHAPE
@pytest.mark.parametrize("pushback", [-1, "never", 2**31])
async def test_pushback_that_says_no_ends_the_call(connect: Connect, method: str, pushback: int | str) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=pushback)])
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (1, "PUSHBACK")


@EVERY_SHAPE
async def test_pushback_never_exceeds_max_attempts(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(retry={"max_attempts": 2}))
    client.faults.script(method, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=0)] * 9)
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (2, "ATTEMPTS_EXHAUSTED")


@EVERY_SHAPE
async def test_initial_metadata_commits_the_server(connect: Connect, method: str) -> None:
    client = await connect(policy=policy())
    fault = Fault(code=grpc.StatusCode.UNAVAILABLE, initial_metadata=(("i-am", "here"),))
    client.faults.script(method, [fault])
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (1, "COMMITTED")


@pytest.mark.parametrize("method", [DOWN, BOTH], ids=["Down", "Both"])
async def test_a_stream_is_never_retried_after_its_first_message(connect: Connect, method: str) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [Fault(code=grpc.StatusCode.UNAVAILABLE, after_messages=1)])
    call = make(client.stub, method)
    assert (await call.read()).value == "a"
    with pytest.raises(CallFailed) as failure:
        await call.read()
    assert (len(client.faults.seen), kit.report(failure.value).stop_reason) == (1, "COMMITTED")


@EVERY_SHAPE
async def test_failures_throttle_retries(connect: Connect, method: str) -> None:
    # Case 1 of the peers' suites: one failure leaves one token of two, which is not more than half.
    throttling = kit.RetryThrottling(max_tokens=2, token_ratio=1.0)
    client = await connect(policy=policy(retry_throttling=throttling))
    client.faults.script(method, [UNAVAILABLE])
    report = await failed(client, method)
    assert (len(client.faults.seen), report.stop_reason) == (1, "THROTTLED")
    # A success, at its end, gives one back.
    call = make(client.stub, method)
    assert await answer(call) == "a"
    assert await call.code() is grpc.StatusCode.OK
    throttled = await connect(policy=policy(retry_throttling=throttling))
    assert await answer(make(throttled.stub, method)) == "a"


@EVERY_SHAPE
async def test_one_deadline_covers_every_attempt(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(timeout=0.5))
    client.faults.script(method, [UNAVAILABLE, Fault(until=asyncio.Event())])
    report = await failed(client, method)
    assert report.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(client.faults.seen) == 2
    assert report.duration < 5


@EVERY_SHAPE
async def test_an_attempt_that_runs_out_of_its_own_time_is_made_again(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(per_try_timeout=0.25))
    client.faults.script(method, [Fault(until=asyncio.Event())])
    with kit.reports() as seen:
        call = make(client.stub, method)
        assert await answer(call) == "a"
        assert await call.code() is grpc.StatusCode.OK
    first, *_, last = [attempt.code for attempt in seen[0].attempts]
    assert (first, last) == (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK)


@pytest.mark.parametrize("method", [DOWN, BOTH], ids=["Down", "Both"])
async def test_the_time_of_an_attempt_bounds_all_of_a_streamed_answer(connect: Connect, method: str) -> None:
    client = await connect(policy=policy(per_try_timeout=0.2))
    call = client.stub.Down(text("a ...")) if method == DOWN else client.stub.Both()
    if method == BOTH:
        await call.write(text("a"))
    assert (await call.read()).value in ("a", "...")
    with pytest.raises(CallFailed) as failure:
        await rest(call)
    report = kit.report(failure.value)
    assert (report.code, report.stop_reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "COMMITTED")
    assert len(client.faults.seen) == 1


@EVERY_SHAPE
async def test_a_retry_goes_to_another_endpoint(method: str) -> None:
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(InProcess(Echo(), add_echo)) for _ in range(3)]
        for process in running:
            process.faults.script(method, [UNAVAILABLE])
        channel = await stack.enter_async_context(
            kit.channel([process.address for process in running], policy=policy())
        )
        with kit.reports() as seen:
            call = make(EchoStub(channel), method)
            assert await answer(call) == "a"
            assert await call.code() is grpc.StatusCode.OK
        tried = [attempt.endpoint for attempt in seen[0].attempts]
        assert len(tried) == 4
        assert len(set(tried[:3])) == 3


@EVERY_SHAPE
@pytest.mark.parametrize("how", ["call", "task"])
async def test_a_cancellation_during_the_backoff_ends_the_call(
    connect: Connect, method: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=15_000)])
    with caplog.at_level(logging.DEBUG, "kit.client"):
        call = make(client.stub, method)
        waiting = asyncio.create_task(answer(call))
        async with asyncio.timeout(5):
            while not any("next in 15000 ms" in line for line in caplog.messages):  # noqa: ASYNC110 - a log sets no event
                await asyncio.sleep(0)
    (call if how == "call" else waiting).cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert len(client.faults.seen) == 1


@EVERY_SHAPE
@pytest.mark.parametrize("how", ["call", "task"])
async def test_a_cancellation_of_a_later_attempt_reaches_its_server(connect: Connect, method: str, how: str) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [UNAVAILABLE, Fault(until=asyncio.Event())])
    call = make(client.stub, method)
    waiting = asyncio.create_task(answer(call))
    seen = await client.faults.arrived(method, 2)
    (call if how == "call" else waiting).cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        await seen.cancelled.wait()


@EVERY_SHAPE
async def test_one_call_is_one_entry_among_the_reports(connect: Connect, method: str) -> None:
    client = await connect(policy=policy())
    client.faults.script(method, [UNAVAILABLE])
    with kit.reports() as seen:
        call = make(client.stub, method)
        assert await answer(call) == "a"
        assert await call.code() is grpc.StatusCode.OK
    [report] = seen
    assert (report.method, report.code, report.stop_reason) == (method, grpc.StatusCode.OK, "OK")
    assert [attempt.number for attempt in report.attempts] == [1, 2]
