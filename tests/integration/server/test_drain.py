"""A server stops without losing a call, and waits for what its handlers still have to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.client import client_interceptors
from kit.discovery import Registry
from kit.errors import ConfigurationError, UsageError
from kit.health import LIVENESS, READINESS
from kit.server import Server, _drain
from kit.server._call import ServerCall
from kit.server._inflight import InFlight
from tests.integration.server.conftest import Serve
from tests.integration.server.echo import SERVICE, Context, Echo, add_echo, answers, call, start_call


class Gate:
    """A handler that says that it has begun and waits to be let through."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.cleaned_up = False

    async def __call__(self, text: str, context: Context) -> None:
        self.entered.set()
        try:
            await self.open.wait()
        finally:
            # More than one turn of the loop, as a real clean-up takes.
            for _ in range(5):
                await asyncio.sleep(0)
            self.cleaned_up = True


async def unready(server: Server) -> None:
    """Returns when the server is no longer ready."""
    async with asyncio.timeout(10), aclosing(watch(server)) as statuses:
        async for status in statuses:
            if status.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                return


def watch(server: Server) -> AsyncGenerator[Any, None]:
    """The health stream of the server's readiness, without a connection."""
    stream: Any = server.health.Watch(health_pb2.HealthCheckRequest(service=READINESS), None)  # type: ignore[arg-type]
    generator: AsyncGenerator[Any, None] = stream
    return generator


async def test_a_call_in_flight_ends_well_while_the_server_drains(serve: Serve) -> None:
    gate = Gate()
    served = await serve(gate, grace=10)
    started = start_call(served.channel, "UnaryUnary", "kept")
    await gate.entered.wait()
    stopping = asyncio.create_task(served.server.stop())
    await unready(served.server)
    gate.open.set()
    assert (await started).value == "kept"
    await stopping
    assert served.server.in_flight == 0


@pytest.mark.parametrize("method", ["UnaryUnary", "UnaryStream", "UnaryWrite", "StreamStream", "ReadWrite"])
async def test_the_finally_of_a_cancelled_handler_has_run_when_stop_returns(serve: Serve, method: str) -> None:
    gate = Gate()
    served = await serve(gate, grace=0)
    started = start_call(served.channel, method)
    await gate.entered.wait()
    await served.server.stop()
    assert gate.cleaned_up
    assert served.echo.ended == [method]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(started, method)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_hasten_cuts_the_pause_and_the_grace_short(serve: Serve) -> None:
    gate = Gate()
    served = await serve(gate, grace=1000, drain_delay=1000)
    started = start_call(served.channel, "UnaryUnary")
    await gate.entered.wait()
    stopping = asyncio.create_task(served.server.stop())
    await unready(served.server)
    served.server.hasten()
    async with asyncio.timeout(10):
        await stopping
    assert gate.cleaned_up
    assert await started.code() is not grpc.StatusCode.OK


async def test_calls_are_still_taken_during_the_pause(serve: Serve) -> None:
    served = await serve(drain_delay=1000, grace=1)
    stopping = asyncio.create_task(served.server.stop())
    await unready(served.server)
    assert served.server.health.serving(LIVENESS)
    assert await call(served.channel, "UnaryUnary", "still") == ["still"]
    served.server.hasten()
    await stopping


async def test_watch_streams_say_not_serving_and_do_not_hold_up_the_stop(serve: Serve) -> None:
    served = await serve(grace=1000)
    watch: Any = health_pb2_grpc.HealthStub(served.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    async with asyncio.timeout(10):
        await served.server.stop()
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert await watch.read() is grpc.aio.EOF


async def test_hooks_run_in_order_and_tasks_outlive_the_handlers(serve: Serve) -> None:
    order: list[str] = []
    server = Server("echo", register=False, grace=0).add(Echo(), add_echo)

    def note(word: str) -> Any:
        async def hook() -> None:
            order.append(word)

        return hook

    async def task() -> None:
        order.append("task")
        try:
            await asyncio.Event().wait()
        finally:
            order.append("task ended")

    server.on_start(note("open a")).on_stop(note("close a"))
    server.on_start(note("open b")).on_stop(note("close b")).task("background", task)
    async with server:
        await asyncio.sleep(0)
    assert order == ["open a", "open b", "task", "task ended", "close b", "close a"]


async def test_what_was_opened_is_closed_when_the_start_fails() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    async def fail() -> None:
        raise OSError("no disk")

    server = Server("echo", register=False).on_stop(close).on_start(fail)
    with pytest.raises(OSError, match="no disk"):
        await server.start()
    assert closed == ["closed"]


async def test_a_failing_stop_hook_does_not_keep_the_others_from_running() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    async def fail() -> None:
        raise OSError("no disk")

    async with Server("echo", register=False, grace=0).on_stop(close).on_stop(fail):
        pass
    assert closed == ["closed"]


async def test_a_port_that_is_taken_is_said_so() -> None:
    async with Server("one", register=False, grace=0) as first:
        with pytest.raises(ConfigurationError, match="is the port taken"):
            await Server("two", register=False, listen=first.address).start()


async def test_a_server_is_added_to_only_before_it_starts() -> None:
    server = Server("one", register=False, grace=0)
    with pytest.raises(UsageError):
        _ = server.port
    async with server:
        with pytest.raises(UsageError):
            server.add(Echo(), add_echo)
    with pytest.raises(UsageError):
        await server.start()


async def test_the_registry_has_a_server_from_ready_to_drain(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    server = Server("echo", registry=registry, grace=0).add(Echo(), add_echo)
    assert registry.lookup("echo") == []
    async with server:
        (instance,) = registry.lookup("echo")
        assert instance.address == server.address
        assert instance.metadata["services"] == SERVICE
    assert registry.lookup("echo") == []


async def test_a_crashed_task_makes_the_server_unready() -> None:
    async def crash() -> None:
        raise RuntimeError("bug")

    async with Server("echo", register=False, grace=0).task("background", crash) as server:
        await unready(server)
        assert server.health.serving(LIVENESS)


@pytest.mark.parametrize("kind", ["stock", "stock with the kit"])
async def test_who_waits_for_each_answer_loses_no_call_when_a_server_gives_way_to_the_next(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that is busy with other tests takes longer to hand a call over.
    monkeypatch.setattr(_drain, "HELD", 0.5)
    monkeypatch.setattr(_drain, "SETTLED", 100.0)
    monkeypatch.setattr(_drain, "HOLD", 5.0)

    async def busy(text: str, context: Context) -> None:
        await asyncio.to_thread(bool)

    def server(listen: str) -> Server:
        return Server("echo", register=False, listen=listen, grace=10).add(Echo(busy), add_echo)

    interceptors = [] if kind == "stock" else client_interceptors()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    over, failed, answered = asyncio.Event(), [], 0
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(server("127.0.0.1:0"))
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(first.address, options=options, interceptors=interceptors)
        )

        async def caller() -> None:
            nonlocal answered
            while not over.is_set():
                try:
                    await call(channel, "UnaryUnary", wait_for_ready=True)
                    answered += 1
                except grpc.aio.AioRpcError as error:
                    failed.append(error)

        callers = [asyncio.create_task(caller()) for _ in range(4)]
        for _ in range(2):
            before = answered
            async with asyncio.timeout(30):
                while answered < before + 10:
                    await asyncio.to_thread(bool)
            await first.stop(settle=0.1)
            first = await stack.enter_async_context(server(first.address))
        over.set()
        await asyncio.gather(*callers)
    assert failed == []


async def test_answers_are_kept_back_only_while_connections_are_told_to_go() -> None:
    in_flight, hastened = InFlight(), asyncio.Event()

    async def inner(call: ServerCall) -> str:
        return "answer"

    handle: Any = in_flight.wrap(None, inner)  # type: ignore[arg-type]  # it is not asked
    assert await in_flight.quiet(1000, 1000, hastened), "no call has come yet"
    assert await handle(None) == "answer"
    assert not await in_flight.quiet(1000, 0.01, hastened)
    assert await in_flight.quiet(0.01, 1000, hastened)
    in_flight.hold()
    held = asyncio.ensure_future(handle(None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (held.done(), len(in_flight)) == (False, 1)
    hastened.set()
    assert not await in_flight.quiet(1000, 2000, hastened)
    in_flight.release()
    assert await held == "answer"
    assert await handle(None) == "answer"
