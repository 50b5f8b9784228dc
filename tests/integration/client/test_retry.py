"""Retries over real loopback gRPC: what the server sees, and what the caller is told."""

from __future__ import annotations

import asyncio
import logging

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import CallFailed
from kit.resilience.backoff import Jitter
from kit.testing import Fault, InProcess
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import BOTH, DOWN, HURRIED, UNARY, UNSAFE, UP, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
INTERNAL = Fault(code=grpc.StatusCode.INTERNAL)


async def test_success_on_the_third_attempt_is_exactly_three_requests(client: Client) -> None:
    client.faults.script(UNARY, [UNAVAILABLE, UNAVAILABLE])
    with kit.reports() as seen:
        assert (await client.stub.Unary(text())).value == "hello"
    assert client.faults.count(UNARY) == 3
    assert [call.header("kit-previous-rpc-attempts") for call in client.faults.seen] == [None, "1", "2"]
    [report] = seen
    assert [attempt.code for attempt in report.attempts] == [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.OK,
    ]
    assert [attempt.endpoint for attempt in report.attempts] == [client.endpoint] * 3
    assert report.stop_reason == "OK"
    assert report.attempts[0].delay == 0.0
    assert all(attempt.delay > 0 for attempt in report.attempts[1:])


async def test_internal_is_one_request(client: Client) -> None:
    client.faults.script(UNARY, [INTERNAL])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    assert client.faults.count(UNARY) == 1
    assert failure.value.code() is grpc.StatusCode.INTERNAL
    assert failure.value.details() == "scripted"
    assert kit.report(failure.value).stop_reason == "NOT_RETRYABLE"


async def test_every_attempt_failing_gives_the_last_failure_and_the_report(client: Client) -> None:
    client.faults.script(UNARY, [UNAVAILABLE] * 9)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await client.stub.Unary(text())
    report = kit.report(failure.value)
    assert client.faults.count(UNARY) == len(report.attempts) == 4
    assert report.stop_reason == "ATTEMPTS_EXHAUSTED"
    assert report.method == UNARY


async def test_a_method_that_is_not_declared_safe_is_one_request(client: Client) -> None:
    client.faults.script(UNSAFE, [UNAVAILABLE])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unsafe(text())
    assert client.faults.count(UNSAFE) == 1
    assert kit.report(failure.value).stop_reason == "NOT_SAFE"


async def test_one_attempt_in_the_code_turns_retry_off(connect: Connect) -> None:
    client = await connect(policy={UNARY: kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1))})
    client.faults.script(UNARY, [UNAVAILABLE])
    with pytest.raises(CallFailed):
        await client.stub.Unary(text())
    assert client.faults.count(UNARY) == 1


async def test_pushback_is_waited_for_exactly_then_the_backoff_starts_over(connect: Connect) -> None:
    retry = kit.RetryPolicy(initial_backoff=0.002, max_backoff=10.0, jitter=Jitter.NONE)
    client = await connect(policy={UNARY: kit.MethodPolicy(retry=retry)})
    pushed = Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=40)
    client.faults.script(UNARY, [UNAVAILABLE, pushed, UNAVAILABLE])
    with kit.reports() as seen:
        await client.stub.Unary(text())
    assert [attempt.delay for attempt in seen[0].attempts] == [0.0, 0.002, 0.04, 0.002]
    assert seen[0].attempts[2].started_after - seen[0].attempts[1].started_after >= 0.04


@pytest.mark.parametrize("pushback", [-1, "never"])
async def test_pushback_that_says_no_ends_the_call(client: Client, pushback: int | str) -> None:
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=pushback)])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    assert client.faults.count(UNARY) == 1
    assert kit.report(failure.value).stop_reason == "PUSHBACK"


@pytest.mark.parametrize("method", ["Unary", "Down"])
async def test_initial_metadata_commits_the_server(client: Client, method: str) -> None:
    fault = Fault(code=grpc.StatusCode.UNAVAILABLE, initial_metadata=(("i-am", "here"),))
    client.faults.script(f"{UNARY.rpartition('/')[0]}/{method}", [fault])
    call = getattr(client.stub, method)(text("a"))
    with pytest.raises(CallFailed) as failure:
        await (call if method == "Unary" else call.read())
    assert len(client.faults.seen) == 1
    assert kit.report(failure.value).stop_reason == "COMMITTED"


async def test_a_stream_is_retried_until_its_first_message(client: Client) -> None:
    client.faults.script(DOWN, [UNAVAILABLE, UNAVAILABLE])
    call = client.stub.Down(text("a b"))
    assert [message.value async for message in call] == ["a", "b"]
    assert client.faults.count(DOWN) == 3
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_is_never_retried_after_its_first_message(client: Client) -> None:
    client.faults.script(DOWN, [Fault(code=grpc.StatusCode.UNAVAILABLE, after_messages=1)])
    call = client.stub.Down(text("a b"))
    assert (await call.read()).value == "a"
    with pytest.raises(CallFailed) as failure:
        await call.read()
    assert client.faults.count(DOWN) == 1
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    report = kit.report(failure.value)
    assert (report.stop_reason, report.code) == ("COMMITTED", grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize("method", [UP, BOTH])
async def test_a_stream_of_requests_is_not_sent_twice(client: Client, method: str) -> None:
    client.faults.script(method, [UNAVAILABLE])
    call = getattr(client.stub, method.rpartition("/")[2])(iter([text("a")]))
    with pytest.raises(CallFailed) as failure:
        await (call if method == UP else call.read())
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert client.faults.count(method) == 1


async def test_an_attempt_that_takes_too_long_is_made_again(client: Client) -> None:
    client.faults.script(HURRIED, [Fault(until=asyncio.Event())])
    with kit.reports() as seen:
        assert (await client.stub.Hurried(text())).value == "hello"
    first, second = seen[0].attempts
    assert (first.code, second.code) == (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK)
    assert first.duration >= 0.095


async def test_retries_go_on_when_only_the_code_is_awaited(client: Client) -> None:
    client.faults.script(UNARY, [UNAVAILABLE, UNAVAILABLE])
    call = client.stub.Unary(text())
    async with asyncio.timeout(5):
        assert await call.code() is grpc.StatusCode.OK
    assert client.faults.count(UNARY) == 3


async def test_a_call_that_nobody_awaits_comes_to_its_end(client: Client) -> None:
    client.faults.script(UNARY, [UNAVAILABLE, UNAVAILABLE])
    ended = asyncio.Event()
    call = client.stub.Unary(text())
    call.add_done_callback(lambda _: ended.set())
    async with asyncio.timeout(5):
        await ended.wait()
    assert client.faults.count(UNARY) == 3
    assert await call.code() is grpc.StatusCode.OK


async def test_each_attempt_is_a_line_in_the_debug_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.faults.script(UNARY, [UNAVAILABLE])
    with caplog.at_level(logging.DEBUG, "kit.client"):
        await client.stub.Unary(text())
    lines = [record.getMessage() for record in caplog.records if record.name == "kit.client"]
    assert any("attempt 1/4" in line for line in lines)
    assert any("attempt 2/4" in line for line in lines)


async def test_a_call_that_failed_is_one_line_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.faults.script(UNARY, [INTERNAL])
    with caplog.at_level(logging.INFO, "kit.client"), pytest.raises(CallFailed):
        await client.stub.Unary(text())
    [line] = [record for record in caplog.records if record.name == "kit.client"]
    assert "INTERNAL" in line.getMessage()
    assert (vars(line)["rpc_method"], vars(line)["rpc_stop_reason"]) == (UNARY, "NOT_RETRYABLE")


async def test_the_official_header_arrives_where_cores_own_retries_are_off() -> None:
    async with InProcess(Echo(), add_echo) as process:
        async with kit.channel(process.address, options=(("grpc.enable_retries", 0),)) as channel:
            process.faults.script(UNARY, [UNAVAILABLE, UNAVAILABLE])
            await EchoStub(channel).Unary(text())
        assert [call.header("grpc-previous-rpc-attempts") for call in process.faults.seen] == [None, "1", "2"]
