"""Streams of requests that are sent again, over real loopback gRPC."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.errors import CallFailed
from kit.testing import Fault, Faults, InProcess
from tests.integration.client.echo import BOTH, UP, Context, Echo, EchoStub, add_echo, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


#: The attempt is held after its first request. Where a handler reads, the requests of a cancelled call just end.
HOLD = -1


class Flaky(Echo):
    """Fails an attempt after as many requests as the script says; then it echoes. Notes what each attempt brought."""

    def __init__(self, script: Iterable[int] = ()) -> None:
        super().__init__()
        self._script = list(script)
        self.brought: list[list[str]] = []
        self._news = asyncio.Condition()

    async def has(self, *brought: list[str]) -> None:
        """Waits until the attempts have brought this."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: self.brought == list(brought))

    async def _note(self, attempt: list[str], request: StringValue) -> None:
        async with self._news:
            attempt.append(request.value)
            self._news.notify_all()

    async def _hold(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def up(self, requests: AsyncIterator[StringValue], context: Context) -> StringValue:
        return StringValue(value=" ".join([answer.value async for answer in self.both(requests, context)]))

    async def both(self, requests: AsyncIterator[StringValue], context: Context) -> AsyncIterator[StringValue]:
        allowed = self._script.pop(0) if self._script else None
        attempt: list[str] = []
        self.brought.append(attempt)
        async for request in requests:
            await self._note(attempt, request)
            if allowed is None:
                yield request
            elif allowed == HOLD:
                await self._hold()
            elif len(attempt) == allowed:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")


class Client:
    """A client of a flaky server."""

    def __init__(self, stub: EchoStub, faults: Faults, server: Flaky, *, stock: bool) -> None:
        self.stub = stub
        self.faults = faults
        self.server = server
        self.stock = stock


Connect = Callable[..., Any]


def kept(size: int = 10_000, **more: Any) -> kit.MethodPolicy:
    return kit.MethodPolicy(retry=kit.RetryPolicy(replay_buffer_bytes=size, **more))


@pytest.fixture(params=["kit.channel", "stock"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Starts a flaky server and connects to it in both ways."""
    async with AsyncExitStack() as stack:

        async def start(*script: int, size: int = 10_000) -> Client:
            policy = {UP: kept(size), BOTH: kept(size)}
            server = Flaky(script)
            process = await stack.enter_async_context(InProcess(server, add_echo, policy=policy))
            channel: grpc.aio.Channel = process.channel
            if request.param == "stock":
                channel = grpc.aio.insecure_channel(
                    process.address, interceptors=kit.client_interceptors(policy=policy)
                )
                await stack.enter_async_context(channel)
            return Client(EchoStub(channel), process.faults, server, stock=request.param == "stock")

        yield start


async def asynchronous(*values: str) -> AsyncIterator[StringValue]:
    for value in values:
        yield text(value)


def iterated(stub: Any, values: Iterable[str]) -> Any:
    return stub(asynchronous(*values))


def listed(stub: Any, values: Iterable[str]) -> Any:
    return stub([text(value) for value in values])


class Written:
    """A call whose requests are written by a task."""

    def __call__(self, stub: Any, values: Iterable[str]) -> Any:
        call = stub()
        self.task = asyncio.create_task(self._write(call, list(values)))
        return call

    async def _write(self, call: Any, values: list[str]) -> None:
        for value in values:
            await call.write(text(value))
        await call.done_writing()


METHODS = pytest.mark.parametrize("method", ["Up", "Both"])
STYLES = pytest.mark.parametrize("send", [iterated, listed, Written()], ids=["async", "sync", "written"])


async def answer(call: Any) -> str:
    """What came back, as one string."""
    if isinstance(call, grpc.aio.StreamUnaryCall):
        return str((await call).value)
    return " ".join([message.value async for message in call])


@METHODS
@STYLES
async def test_what_was_sent_is_sent_again_and_then_the_rest(connect: Connect, method: str, send: Any) -> None:
    client = await connect(2, 1)
    with kit.reports() as seen:
        call = send(getattr(client.stub, method), "abcd")
        assert await answer(call) == "a b c d"
    assert client.server.brought == [["a", "b"], ["a"], ["a", "b", "c", "d"]]
    assert [request.header("kit-previous-rpc-attempts") for request in client.faults.seen] == [None, "1", "2"]
    assert await call.code() is grpc.StatusCode.OK
    [report] = seen
    assert [attempt.code for attempt in report.attempts] == [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.OK,
    ]
    assert report.stop_reason == "OK"
    if isinstance(send, Written):
        await send.task


@METHODS
@STYLES
async def test_more_than_the_buffer_holds_commits_the_call(connect: Connect, method: str, send: Any) -> None:
    # Three bytes and a prefix of five each: two fit.
    client = await connect(3, size=16)
    call = send(getattr(client.stub, method), "abcd")
    with pytest.raises(CallFailed) as failure:
        await answer(call)
    assert client.server.brought == [["a", "b", "c"]]
    assert failure.value.code() is await call.code() is grpc.StatusCode.UNAVAILABLE
    assert kit.report(failure.value).stop_reason == "COMMITTED"
    if isinstance(send, Written):
        await asyncio.gather(send.task, return_exceptions=True)


@METHODS
async def test_as_much_as_the_buffer_holds_does_not(connect: Connect, method: str) -> None:
    client = await connect(2, size=16)
    assert await answer(iterated(getattr(client.stub, method), "ab")) == "a b"
    assert client.server.brought == [["a", "b"], ["a", "b"]]


async def test_after_the_first_answer_there_is_no_other_attempt(connect: Connect) -> None:
    client = await connect()
    client.faults.script(BOTH, [Fault(code=grpc.StatusCode.UNAVAILABLE, after_messages=1)])
    call = client.stub.Both()
    await call.write(text("a"))
    assert (await call.read()).value == "a"
    with pytest.raises(CallFailed) as failure:
        await call.read()
    assert kit.report(failure.value).stop_reason == "COMMITTED"
    assert len(client.faults.seen) == 1


@METHODS
async def test_initial_metadata_commits_the_server(connect: Connect, method: str) -> None:
    client = await connect()
    fault = Fault(code=grpc.StatusCode.UNAVAILABLE, initial_metadata=(("i-am", "here"),))
    client.faults.script(f"{UP.rpartition('/')[0]}/{method}", [fault])
    with pytest.raises(CallFailed) as failure:
        await answer(iterated(getattr(client.stub, method), "ab"))
    assert kit.report(failure.value).stop_reason == "COMMITTED"
    assert len(client.faults.seen) == 1


@METHODS
async def test_a_write_under_way_when_an_attempt_fails_is_no_error(connect: Connect, method: str) -> None:
    client = await connect(size=2**24)
    client.faults.script(f"{UP.rpartition('/')[0]}/{method}", [UNAVAILABLE] * 2)
    call = getattr(client.stub, method)()
    reading = asyncio.create_task(answer(call))
    for value in "abc":
        await call.write(text(value * 2**20))
    await call.done_writing()
    assert await reading == " ".join(value * 2**20 for value in "abc")
    assert len(client.faults.seen) == 3


@METHODS
async def test_attempts_go_on_while_the_caller_only_writes(connect: Connect, method: str) -> None:
    client = await connect(1, 2)
    call = getattr(client.stub, method)()
    await call.write(text("a"))
    await client.server.has(["a"], ["a"])
    await call.write(text("b"))
    await client.server.has(["a"], ["a", "b"], ["a", "b"])
    await call.done_writing()
    assert await answer(call) == "a b"


@METHODS
async def test_attempts_go_on_when_only_the_code_is_awaited(connect: Connect, method: str) -> None:
    client = await connect(1)
    call = getattr(client.stub, method)(asynchronous("a"))
    waiting = asyncio.create_task(call.code())
    await client.server.has(["a"], ["a"])
    assert await answer(call) == "a"
    assert await waiting is grpc.StatusCode.OK


@METHODS
async def test_every_attempt_failing_gives_the_last_failure(connect: Connect, method: str) -> None:
    client = await connect(1, 1, 1, 1, 1)
    call = Written()(getattr(client.stub, method), "ab")
    with pytest.raises(CallFailed) as failure:
        await answer(call)
    assert client.server.brought == [["a"]] * 4
    assert kit.report(failure.value).stop_reason == "ATTEMPTS_EXHAUSTED"
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(text("c"))


@METHODS
@pytest.mark.parametrize("pushback", [-1, "never"])
async def test_pushback_that_says_no_ends_the_call(connect: Connect, method: str, pushback: Any) -> None:
    client = await connect()
    fault = Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=pushback)
    client.faults.script(f"{UP.rpartition('/')[0]}/{method}", [fault])
    with pytest.raises(CallFailed) as failure:
        await answer(iterated(getattr(client.stub, method), "a"))
    assert kit.report(failure.value).stop_reason == "PUSHBACK"
    assert len(client.faults.seen) == 1


@METHODS
@pytest.mark.parametrize("after", [0, 1])
async def test_an_iterator_that_raises_cancels_the_call(connect: Connect, method: str, after: int) -> None:
    client = await connect(*[1] * after, HOLD)
    go = asyncio.Event()

    async def requests() -> AsyncIterator[StringValue]:
        yield text("a")
        await go.wait()
        raise ValueError("no more")

    call = getattr(client.stub, method)(requests())
    waiting = asyncio.create_task(answer_of_raised(call))
    await client.server.has(*[["a"]] * (after + 1))
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await call.code() is grpc.StatusCode.CANCELLED
    async with asyncio.timeout(5):
        await client.server.cancelled.wait()


async def answer_of_raised(call: Any) -> str:
    # Without a buffer the answers that came are given first; the server answers nothing before the last request here.
    if isinstance(call, grpc.aio.StreamUnaryCall):
        return str((await call).value)
    found = ""
    while (message := await call.read()) is not grpc.aio.EOF:
        found += message.value
    return found


@METHODS
async def test_cancelling_reaches_the_server_and_an_iterator_that_waits(connect: Connect, method: str) -> None:
    client = await connect(1, HOLD)
    told = asyncio.Event()

    async def requests() -> AsyncIterator[StringValue]:
        yield text("a")
        try:
            await asyncio.Event().wait()
        finally:
            told.set()

    call = getattr(client.stub, method)(requests())
    waiting = asyncio.create_task(answer_of_raised(call))
    await client.server.has(["a"], ["a"])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        await told.wait()
        await client.server.cancelled.wait()
    assert await call.code() is grpc.StatusCode.CANCELLED


@METHODS
@pytest.mark.parametrize("how", ["call", "await", "write"])
async def test_cancelling_between_two_attempts_ends_the_call(
    connect: Connect, method: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect()
    if how == "write" and client.stock:
        # On a stock channel grpc keeps its own queue of writes, and does not cancel the call for one.
        how = "await"
    path = f"{UP.rpartition('/')[0]}/{method}"
    client.faults.script(path, [Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=15_000)])

    async def write_on(call: Any) -> None:
        while True:
            await call.write(text("a" * 100))

    with caplog.at_level(logging.DEBUG, "kit.client"):
        call = getattr(client.stub, method)()
        waiting, writing = asyncio.create_task(answer_of_raised(call)), asyncio.create_task(write_on(call))
        async with asyncio.timeout(5):
            while not any("next in 15000 ms" in line for line in caplog.messages):  # noqa: ASYNC110 - a log sets no event
                await asyncio.sleep(0)
    if how == "call":
        call.cancel()
    else:
        (waiting if how == "await" else writing).cancel()
    for task in (waiting, writing):
        with pytest.raises((asyncio.CancelledError, asyncio.InvalidStateError)):
            await task
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert client.faults.count(path) == 1


async def test_a_stream_that_is_dropped_while_it_is_written_ends_on_the_server() -> None:
    server = Flaky([1, HOLD])
    async with InProcess(server, add_echo, policy={BOTH: kept()}) as process:
        call = EchoStub(process.channel).Both()
        await call.write(text("a"))
        await server.has(["a"], ["a"])
        del call
        gc.collect()
        async with asyncio.timeout(5):
            await server.cancelled.wait()


async def test_the_next_attempt_goes_to_another_endpoint() -> None:
    async with AsyncExitStack() as stack:
        servers = [Flaky([1]), Flaky([1])]
        running = [await stack.enter_async_context(InProcess(server, add_echo)) for server in servers]
        addresses = [process.address for process in running]
        channel = await stack.enter_async_context(kit.channel(addresses, policy={UP: kept()}))
        with kit.reports() as seen:
            assert await answer(iterated(EchoStub(channel).Up, "ab")) == "a b"
        first, second, *_ = seen[0].attempts
        assert {first.endpoint, second.endpoint} == set(addresses)


@METHODS
async def test_wait_for_connection_waits_for_an_attempt_that_is_connected(connect: Connect, method: str) -> None:
    client = await connect(1)
    call = getattr(client.stub, method)()
    if isinstance(call, (grpc.aio.StreamUnaryCall, grpc.aio.StreamStreamCall)):
        async with asyncio.timeout(5):
            await call.wait_for_connection()
    await call.write(text("a"))
    await call.done_writing()
    assert await answer(call) == "a"


@METHODS
async def test_without_a_buffer_nothing_is_sent_again(connect: Connect, method: str) -> None:
    client = await connect(1, size=0)
    with pytest.raises(CallFailed) as failure:
        await answer(iterated(getattr(client.stub, method), "a"))
    assert client.server.brought == [["a"]]
    assert kit.report(failure.value).stop_reason in ("NOT_SAFE", "COMMITTED")
