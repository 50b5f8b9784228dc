"""Fallbacks over real loopback gRPC: what the caller gets when a call fails, and how it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import kit
from kit.client import Channel
from kit.errors import CallFailed, PolicyError
from kit.observe import tracing
from kit.policy import IdempotencyKeyMode
from kit.server import Server
from kit.testing import Fault, Faults, VirtualClock
from tests.integration.client.conftest import Connect
from tests.integration.client.echo import DOWN, HURRIED, UNARY, UNSAFE, Echo, EchoStub, add_echo, text

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
DOWN_NOW = Fault(code=UNAVAILABLE)
ONCE = kit.RetryPolicy(max_attempts=1)


def falling_back(*, breaker: kit.BreakerPolicy | None = None, **given: Any) -> kit.MethodPolicy:
    """A policy without retries."""
    return kit.MethodPolicy(retry=ONCE, fallback=kit.FallbackPolicy(**given), breaker=breaker)


async def degraded(call: Any) -> list[str | bytes]:
    """What the trailing metadata tell."""
    return [value for name, value in await call.trailing_metadata() if name == "kit-degraded"]


class Mortal:
    """A server that can be stopped, and a client of it in virtual time."""

    def __init__(self, server: Server, faults: Faults, stub: EchoStub, clock: VirtualClock) -> None:
        self.server, self.faults, self.stub, self.clock = server, faults, stub, clock


Open = Callable[[Any], Awaitable[Mortal]]


@pytest.fixture(params=["kit.channel", "stock"])
async def mortal(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens both kinds of channel to a server of its own."""
    async with AsyncExitStack() as stack:

        async def start(policy: Any) -> Mortal:
            clock, faults = VirtualClock(autojump=True), Faults()
            server = Server("mortal", listen="127.0.0.1:0", register=False, grace=0.0, interceptors=(faults,))
            server.add(Echo(), add_echo)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            channel: grpc.aio.Channel
            if request.param == "kit.channel":
                channel = Channel(server.address, policy=policy, clock=clock)
            else:
                interceptors = kit.client_interceptors(policy=policy, clock=clock)
                channel = grpc.aio.insecure_channel(server.address, interceptors=interceptors)
            await stack.enter_async_context(channel)
            return Mortal(server, faults, EchoStub(channel), clock)

        yield start


async def test_when_the_server_has_died_the_last_good_answer_is_given_and_named(mortal: Open) -> None:
    client = await mortal({UNARY: falling_back(cached_for=60.0)})
    await client.stub.Unary(text("kept"))
    await client.server.stop(0)
    await client.clock.advance(12.34)
    with kit.reports() as seen:
        call = client.stub.Unary(text("kept"))
        assert (await call).value == "kept"
    assert (await call.code(), await call.details()) == (OK, "")
    assert await degraded(call) == ["cached"]
    assert call.done()
    assert not call.cancelled()
    [report] = seen
    assert (report.code, report.degraded) == (OK, "cached 12.3 s old")
    assert report.failure.startswith("UNAVAILABLE: ")
    assert [attempt.code for attempt in report.attempts] == [UNAVAILABLE]


async def test_an_answer_that_has_aged_out_is_not_given(mortal: Open) -> None:
    client = await mortal({UNARY: falling_back(cached_for=60.0)})
    await client.stub.Unary(text("kept"))
    await client.server.stop(0)
    await client.clock.advance(61.0)
    call = client.stub.Unary(text("kept"))
    with pytest.raises(CallFailed) as failure:
        await call
    assert failure.value.code() is UNAVAILABLE
    assert await degraded(call) == []
    assert kit.report(failure.value).degraded == ""


async def test_an_answer_is_not_shared_with_another_caller_or_another_request(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(cached_for=60.0)})
    alice, bob = (("authorization", "Bearer alice"),), (("authorization", "Bearer bob"),)
    await client.stub.Unary(text("secret"), metadata=alice)
    client.faults.script(UNARY, [DOWN_NOW] * 4)
    for request, metadata in ((text("secret"), bob), (text("secret"), None), (text("other"), alice)):
        with pytest.raises(CallFailed):
            await client.stub.Unary(request, metadata=metadata)
    assert (await client.stub.Unary(text("secret"), metadata=alice)).value == "secret"


async def test_another_method_is_asked_and_its_metadata_are_the_calls(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(method="Hurried")})
    client.faults.script(UNARY, [DOWN_NOW])
    client.faults.script(HURRIED, [Fault(initial_metadata=(("from", "hurried"),))])
    with kit.reports() as seen:
        call = client.stub.Unary(text())
        assert (await call).value == "hello"
    assert [request.method for request in client.faults.seen] == [UNARY, HURRIED]
    assert (await call.initial_metadata())["from"] == "hurried"
    assert (await call.code(), await degraded(call)) == (OK, ["method"])
    assert [(report.method, report.degraded) for report in seen] == [(HURRIED, ""), (UNARY, f"method {HURRIED}")]
    assert [attempt.code for attempt in seen[1].attempts] == [UNAVAILABLE]


async def test_the_other_method_has_retries_of_its_own(connect: Connect) -> None:
    # Hurried may be attempted four times, as its service says.
    client = await connect(policy={UNARY: falling_back(method="Hurried")})
    client.faults.script(UNARY, [DOWN_NOW])
    client.faults.script(HURRIED, [DOWN_NOW] * 2)
    assert (await client.stub.Unary(text())).value == "hello"
    assert client.faults.count(HURRIED) == 3


async def test_when_the_other_method_fails_too_the_default_answers(connect: Connect) -> None:
    client = await connect(
        policy={UNARY: falling_back(method="Unsafe", default_json='"nothing"'), UNSAFE: kit.MethodPolicy(retry=ONCE)}
    )
    client.faults.script(UNARY, [DOWN_NOW])
    client.faults.script(UNSAFE, [Fault(code=grpc.StatusCode.NOT_FOUND)])
    call = client.stub.Unary(text())
    answer = await call
    assert answer == StringValue(value="nothing")
    assert (await call.code(), await call.details(), await degraded(call)) == (OK, "", ["default"])
    assert client.faults.count(UNSAFE) == 1


async def test_without_a_default_the_original_failure_is_what_is_raised(connect: Connect) -> None:
    client = await connect(
        policy={UNARY: falling_back(method="Unsafe"), UNSAFE: kit.MethodPolicy(retry=ONCE)},
    )
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.INTERNAL, details="first", pushback=7)])
    client.faults.script(UNSAFE, [Fault(code=grpc.StatusCode.NOT_FOUND, details="second")])
    call = client.stub.Unary(text())
    with pytest.raises(CallFailed) as failure:
        await call
    assert (failure.value.code(), failure.value.details()) == (grpc.StatusCode.INTERNAL, "first")
    assert (await call.trailing_metadata())["grpc-retry-pushback-ms"] == "7"
    assert await degraded(call) == []


async def test_the_callers_own_fault_is_not_covered_up(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(default_json="{}")})
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.INVALID_ARGUMENT)])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unary(text())
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_retries_come_first(connect: Connect) -> None:
    policy = kit.MethodPolicy(fallback=kit.FallbackPolicy(default_json="{}"), retry=kit.RetryPolicy(max_attempts=3))
    client = await connect(policy={UNARY: policy})
    client.faults.script(UNARY, [DOWN_NOW] * 2)
    call = client.stub.Unary(text())
    assert ((await call).value, await degraded(call)) == ("hello", [])
    client.faults.script(UNARY, [DOWN_NOW] * 3)
    call = client.stub.Unary(text())
    assert ((await call).value, await degraded(call)) == ("", ["default"])
    assert client.faults.count(UNARY) == 6


async def test_the_breaker_counts_what_the_caller_does_not_see_and_its_refusal_is_answered_too(
    connect: Connect,
) -> None:
    breaker = kit.BreakerPolicy(failure_threshold=2)
    client = await connect(policy={UNARY: falling_back(default_json='"instead"', breaker=breaker)})
    client.faults.script(UNARY, [DOWN_NOW] * 9)
    with kit.reports() as seen:
        for _ in range(3):
            assert (await client.stub.Unary(text())).value == "instead"
    assert client.faults.count(UNARY) == 2
    assert [report.stop_reason for report in seen] == ["OFF", "OFF", "BREAKER_OPEN"]
    assert seen[2].attempts == ()
    assert "circuit breaker open" in seen[2].failure


async def test_with_no_answer_in_time_what_is_here_answers_and_no_other_method_is_asked(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(method="Hurried", default_json='"late"')})
    client.faults.script(UNARY, [Fault(until=asyncio.Event())])
    call = client.stub.Unary(text(), timeout=0.05)
    assert (await call).value == "late"
    assert await degraded(call) == ["default"]
    assert client.faults.count(HURRIED) == 0


async def test_cancelling_the_call_while_the_other_method_runs_cancels_that(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(method="Unsafe", default_json="{}")})
    client.faults.script(UNARY, [DOWN_NOW])
    client.faults.script(UNSAFE, [Fault(until=asyncio.Event())])
    call = client.stub.Unary(text())
    waiting = asyncio.ensure_future(_awaited(call))
    async with asyncio.timeout(5):
        other = await client.faults.arrived(UNSAFE)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await other.cancelled.wait()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_cancelling_the_call_cancels_every_hedge_of_the_other_method(connect: Connect) -> None:
    hedging = kit.HedgingPolicy(max_attempts=2, hedging_delay=0.0)
    hedged = kit.MethodPolicy(retry=ONCE, hedging=hedging, per_try_timeout=20.0)
    client = await connect(policy={UNARY: falling_back(method="Hurried"), HURRIED: hedged})
    client.faults.script(UNARY, [DOWN_NOW])
    client.faults.script(HURRIED, [Fault(until=asyncio.Event())] * 2)
    call = client.stub.Unary(text(), timeout=20)
    waiting = asyncio.ensure_future(_awaited(call))
    async with asyncio.timeout(5):
        others = [await client.faults.arrived(HURRIED, count) for count in (1, 2)]
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for other in others:
            await other.cancelled.wait()


async def test_cancelling_whoever_waits_cancels_the_call_and_nothing_answers(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(cached_for=60.0, method="Unsafe", default_json="{}")})
    await client.stub.Unary(text())
    client.faults.script(UNARY, [Fault(until=asyncio.Event())])
    with kit.reports() as seen:
        waiting = asyncio.ensure_future(_awaited(client.stub.Unary(text())))
        async with asyncio.timeout(5):
            held = await client.faults.arrived(UNARY, 2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await held.cancelled.wait()
    assert [(report.code, report.degraded) for report in seen] == [(grpc.StatusCode.CANCELLED, "")]
    assert client.faults.count(UNSAFE) == 0


async def test_a_call_that_nobody_awaits_gets_its_answer_as_well(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(method="Hurried")})
    client.faults.script(UNARY, [DOWN_NOW])
    ended = asyncio.Event()
    call = client.stub.Unary(text())
    call.add_done_callback(lambda _: ended.set())
    async with asyncio.timeout(5):
        await ended.wait()
        assert await call.code() is OK
    assert (await call).value == "hello"


async def test_metadata_asked_for_while_the_other_method_is_on_its_way_come_in_the_end(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(method="Unsafe")})
    held = asyncio.Event()
    client.faults.script(UNARY, [DOWN_NOW])
    client.faults.script(UNSAFE, [Fault(until=held)])
    call = client.stub.Unary(text())
    waiting = asyncio.ensure_future(_awaited(call))
    async with asyncio.timeout(5):
        await client.faults.arrived(UNSAFE)
        initial = asyncio.ensure_future(_initial(call))
        trailing = asyncio.ensure_future(degraded(call))
        held.set()
        assert (await waiting).value == "hello"
        await initial
        assert await trailing == ["method"]


async def test_a_key_that_the_kit_made_is_not_that_of_the_other_method(connect: Connect) -> None:
    key = kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.REQUIRED)
    both = kit.MethodPolicy(idempotency_key=key, retry=ONCE)
    first = kit.MethodPolicy(idempotency_key=key, retry=ONCE, fallback=kit.FallbackPolicy(method="Unsafe"))
    client = await connect(policy={UNARY: first, UNSAFE: both})
    client.faults.script(UNARY, [DOWN_NOW])
    await client.stub.Unary(text())
    mine, its = (request.header("idempotency-key") for request in client.faults.seen)
    assert mine
    assert its
    assert mine != its


async def test_the_log_and_the_span_name_what_answered(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = await connect(policy={UNARY: falling_back(default_json="{}")})
    client.faults.script(UNARY, [DOWN_NOW])
    tracing.use_tracer(provider.get_tracer("test"))
    try:
        with caplog.at_level(logging.INFO, "kit.client"):
            await client.stub.Unary(text())
    finally:
        tracing.use_tracer(None)
        provider.shutdown()
    [line] = [record for record in caplog.records if record.name == "kit.client"]
    assert (vars(line)["rpc_degraded"], vars(line)["rpc_code"]) == ("default", "UNAVAILABLE")
    [event] = [event for span in exporter.get_finished_spans() for event in span.events]
    assert event.name == "kit.degraded"
    assert dict(event.attributes or {}) == {"kit.degraded": "default", "kit.degraded.failure": "UNAVAILABLE"}


async def test_a_stream_inherits_nothing_and_is_given_none_by_name(connect: Connect) -> None:
    fallback = kit.FallbackPolicy(default_json="{}")
    client = await connect(policy={"*": kit.MethodPolicy(fallback=fallback, retry=ONCE)})
    client.faults.script(DOWN, [DOWN_NOW])
    with pytest.raises(CallFailed):
        await client.stub.Down(text("a")).read()
    with pytest.raises(PolicyError, match="one request and one answer"):
        kit.channel("h:1", policy={DOWN: kit.MethodPolicy(fallback=fallback)})


async def test_a_stub_of_bytes_gets_bytes(connect: Connect) -> None:
    client = await connect(policy={UNARY: falling_back(cached_for=60.0, default_json='"default"')})
    raw: Any = client.channel.unary_unary(UNARY)
    request = text().SerializeToString()
    client.faults.script(UNARY, [DOWN_NOW])
    assert await raw(request) == text("default").SerializeToString()
    await raw(request)
    client.faults.script(UNARY, [DOWN_NOW] * 2)
    assert await raw(request) == request
    assert (await client.stub.Unary(text())).value == "default"


async def _awaited(call: Any) -> Any:
    return await call


async def _initial(call: Any) -> Any:
    return await call.initial_metadata()
