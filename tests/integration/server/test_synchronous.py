"""Handlers that are no coroutines run in a thread, inside the pipeline, with the context of a synchronous server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.errors import details_of

LIMIT = 20
READ, WRITE = StringValue.FromString, StringValue.SerializeToString


class Sync:
    """Acts as each test wants; `saw` is what the handlers noted."""

    def __init__(self) -> None:
        self.act: Callable[[str, Any], None] = lambda _text, _context: None
        self.saw: list[Any] = []
        self.ended = threading.Event()

    def Up(self, request: StringValue, context: Any) -> StringValue:
        self.act(request.value, context)
        return StringValue(value=request.value.upper())

    def Letters(self, request: StringValue, context: Any) -> Iterator[StringValue]:
        try:
            for letter in request.value:
                self.act(letter, context)
                yield StringValue(value=letter)
        finally:
            self.ended.set()

    def Join(self, requests: Iterator[StringValue], context: Any) -> StringValue:
        return StringValue(value="".join(request.value for request in requests))

    def Each(self, requests: Iterator[StringValue], context: Any) -> Iterator[StringValue]:
        for request in requests:
            self.act(request.value, context)
            yield StringValue(value=request.value.upper())

    def Nothing(self, request: Any, context: Any) -> Any:
        """What generated code has for a method that was not overridden."""
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")


def add_sync(servicer: Sync, server: Any) -> None:
    handlers = {
        "Up": grpc.unary_unary_rpc_method_handler(servicer.Up, READ, WRITE),
        "Letters": grpc.unary_stream_rpc_method_handler(servicer.Letters, READ, WRITE),
        "Join": grpc.stream_unary_rpc_method_handler(servicer.Join, READ, WRITE),
        "Each": grpc.stream_stream_rpc_method_handler(servicer.Each, READ, WRITE),
        "NoUnaryUnary": grpc.unary_unary_rpc_method_handler(servicer.Nothing, READ, WRITE),
        "NoUnaryStream": grpc.unary_stream_rpc_method_handler(servicer.Nothing, READ, WRITE),
        "NoStreamUnary": grpc.stream_unary_rpc_method_handler(servicer.Nothing, READ, WRITE),
        "NoStreamStream": grpc.stream_stream_rpc_method_handler(servicer.Nothing, READ, WRITE),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Sync", handlers),))
    server.add_registered_method_handlers("test.Sync", handlers)


class Client:
    """A stock stub of the service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for name in ("Up", "NoUnaryUnary"):
            setattr(self, name, channel.unary_unary(f"/test.Sync/{name}", WRITE, READ))
        for name in ("Letters", "NoUnaryStream"):
            setattr(self, name, channel.unary_stream(f"/test.Sync/{name}", WRITE, READ))
        for name in ("Join", "NoStreamUnary"):
            setattr(self, name, channel.stream_unary(f"/test.Sync/{name}", WRITE, READ))
        for name in ("Each", "NoStreamStream"):
            setattr(self, name, channel.stream_stream(f"/test.Sync/{name}", WRITE, READ))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@pytest.fixture
def sync() -> Sync:
    return Sync()


@pytest.fixture
async def client(sync: Sync) -> AsyncIterator[Any]:
    async with (
        kit.Server("sync", listen="127.0.0.1:0", register=False, grace=0).add(sync, add_sync) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield Client(channel)


async def requests(*texts: str) -> AsyncIterator[StringValue]:
    for text in texts:
        yield StringValue(value=text)


async def test_all_four_shapes_are_served(client: Any) -> None:
    assert (await client.Up(StringValue(value="a"), timeout=LIMIT)).value == "A"
    assert [one.value async for one in client.Letters(StringValue(value="abc"), timeout=LIMIT)] == ["a", "b", "c"]
    assert (await client.Join(requests("a", "b"), timeout=LIMIT)).value == "ab"
    assert [one.value async for one in client.Each(requests("a", "b"), timeout=LIMIT)] == ["A", "B"]


async def test_the_handler_has_its_calls_deadline_in_its_thread(client: Any, sync: Sync) -> None:
    def act(_text: str, context: Any) -> None:
        sync.saw += [kit.deadline().remaining(), context.time_remaining(), threading.current_thread()]
        assert isinstance(context, grpc.ServicerContext)
        assert context.is_active()

    sync.act = act
    await client.Up(StringValue(value="a"), timeout=LIMIT)
    remaining, told, thread = sync.saw
    assert 0 < remaining < LIMIT + 1
    assert 0 < told < LIMIT + 1
    assert thread is not threading.main_thread()


@pytest.mark.parametrize("method", ["Up", "Letters", "Each"])
async def test_an_abort_is_the_status_of_the_call_and_ends_the_function(client: Any, sync: Sync, method: str) -> None:
    def act(_text: str, context: Any) -> None:
        context.set_trailing_metadata((("x-lost", "1"),))
        try:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such letter", (("x-sent", "1"),))
        finally:
            sync.saw.append("finally")

    sync.act = act
    call = getattr(client, method)(requests("a") if method == "Each" else StringValue(value="a"), timeout=LIMIT)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await (call if method == "Up" else call.read())
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such letter")
    assert dict(failed.value.trailing_metadata())["x-sent"] == "1"
    assert sync.saw == ["finally"]


@pytest.mark.parametrize(
    "arguments", [(grpc.StatusCode.OK, ""), (grpc.StatusCode.ABORTED, "", (("one",),)), (5, "", (("key", 1),))]
)
async def test_an_abort_that_is_none_does_not_hang_the_client(
    client: Any, sync: Sync, arguments: tuple[Any, ...]
) -> None:
    sync.act = lambda _text, context: context.abort(*arguments)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.Up(StringValue(value="a"), timeout=LIMIT)
    assert failed.value.code() is grpc.StatusCode.INTERNAL


async def test_a_callback_that_fails_changes_neither_the_answer_nor_the_other_callbacks(
    client: Any, sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("in a callback")

    def act(_text: str, context: Any) -> None:
        context.add_callback(fail)
        context.add_callback(lambda: sync.saw.append("called"))

    sync.act = act
    assert (await client.Up(StringValue(value="a"), timeout=LIMIT)).value == "A"
    assert sync.saw == ["called"]
    assert "in a callback" in caplog.text


async def test_an_abort_holds_although_the_handler_swallows_it(client: Any, sync: Sync) -> None:
    def act(_text: str, context: Any) -> None:
        try:
            context.abort(grpc.StatusCode.ABORTED, "lost")
        except Exception:  # noqa: BLE001 - as careless handlers do
            sync.saw.append("swallowed")

    sync.act = act
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.Up(StringValue(value="a"), timeout=LIMIT)
    assert failed.value.code() is grpc.StatusCode.ABORTED
    assert sync.saw == ["swallowed"]


async def test_errors_become_statuses_as_those_of_a_coroutine(client: Any, sync: Sync) -> None:
    def act(text: str, _context: Any) -> None:
        if text == "a":
            raise kit.errors.FailedPrecondition("not yet", reason="EARLY", domain="test")
        raise StopIteration("a secret")

    sync.act = act
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.Up(StringValue(value="a"), timeout=LIMIT)
    assert details_of(failed.value).reason == "EARLY"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.Up(StringValue(value="b"), timeout=LIMIT)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (failed.value.details() or "")


async def test_a_status_that_was_only_set_is_the_calls(client: Any, sync: Sync) -> None:
    def act(_text: str, context: Any) -> None:
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)
        context.set_details("past the end")

    sync.act = act
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.Up(StringValue(value="a"), timeout=LIMIT)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "past the end")


@pytest.mark.parametrize("method", ["NoUnaryUnary", "NoUnaryStream", "NoStreamUnary", "NoStreamStream"])
async def test_a_method_that_was_not_overridden_is_unimplemented_with_a_status_of_its_own(
    client: Any, method: str
) -> None:
    sent = StringValue(value="a") if method.startswith("NoUnary") else requests("a")
    call = getattr(client, method)(sent, timeout=LIMIT)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await (call if method.endswith("Unary") else call.read())
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert failed.value.details() == f"/test.Sync/{method} is not implemented"
    assert details_of(failed.value).message == failed.value.details()


async def test_a_cancelled_stream_tells_its_generator(client: Any, sync: Sync) -> None:
    def act(letter: str, context: Any) -> None:
        if letter == "b":
            pause = threading.Event()
            sync.saw += [left for left in range(LIMIT * 100) if context.is_active() and pause.wait(0.01)]
            sync.saw.append(context.is_active())

    sync.act = act
    call = client.Letters(StringValue(value="abc"), timeout=LIMIT)
    assert (await call.read()).value == "a"
    call.cancel()
    assert await asyncio.to_thread(sync.ended.wait, LIMIT)
    assert sync.saw == [False]


async def test_the_client_has_its_answer_when_the_time_is_up_although_the_function_runs_on(
    client: Any, sync: Sync
) -> None:
    go_on = threading.Event()

    def act(_text: str, context: Any) -> None:
        assert go_on.wait(LIMIT)
        sync.saw.append(context.is_active())
        sync.ended.set()

    sync.act = act
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.Up(StringValue(value="a"), timeout=0.2)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    go_on.set()
    assert await asyncio.to_thread(sync.ended.wait, LIMIT)
