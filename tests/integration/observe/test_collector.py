"""What a real collector receives, over real OTLP: the tree of a call, its statuses and attributes, and metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, ParentBased, Sampler, SamplingResult

import kit
from kit.discovery import find_port
from kit.errors import BreakerOpen, CallFailed
from kit.observe import Telemetry
from kit.observe._encode import KEPT
from tests.integration.observe.collector import Collector, values
from tests.integration.observe.conftest import SetUp
from tests.integration.server.echo import SERVICE, Context, Echo, add_echo, call, failure, start_call

LEVEL = kit.IdempotencyLevel.IDEMPOTENT
NAME = f"{SERVICE}/UnaryUnary"
TRIED = ["CLIENT OK UNSET", "INTERNAL UNAVAILABLE ERROR", "SERVER UNAVAILABLE ERROR"]
WENT_WELL = ["CLIENT OK UNSET", "INTERNAL OK UNSET", "SERVER OK UNSET"]
RETRIED = kit.MethodPolicy(idempotency_level=LEVEL, retry=kit.RetryPolicy(max_attempts=3, initial_backoff=0.001))
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"


def server(act: Any = None, **arguments: Any) -> kit.Server:
    return kit.Server("echo", register=False, grace=0, **arguments).add(Echo(act), add_echo)


def fails(times: int) -> Any:
    """An act that is UNAVAILABLE so many times."""
    left = [times]

    async def act(_text: str, _context: Context) -> None:
        if left[0]:
            left[0] -= 1
            raise kit.errors.Unavailable("not yet")

    return act


async def sent(telemetry: Telemetry, collector: Collector, count: int) -> None:
    """Returns when so many spans are there. The last of them may end just after its call's answer has come."""
    async with asyncio.timeout(20):
        while len(collector.spans) < count:
            await asyncio.to_thread(telemetry.flush, 10)
    assert len(collector.spans) == count


async def test_a_call_with_two_retries_is_one_tree(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up()
    async with server(fails(2)) as running, kit.channel(running.address, policy=RETRIED) as channel:
        await call(channel, "UnaryUnary", "x")
    await sent(telemetry, collector, 7)
    assert collector.tree() == [WENT_WELL, TRIED, TRIED]
    assert len({seen.span.trace_id for seen in collector.spans}) == 1
    [top] = collector.of("CLIENT")
    host, _, port = running.address.rpartition(":")
    assert top.span.name == NAME
    assert top.span.parent_span_id == b""
    assert top.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": NAME,
        "server.address": host,
        "server.port": int(port),
        "rpc.response.status_code": "OK",
    }
    attempts = collector.of("INTERNAL")
    assert {seen.span.name for seen in attempts} == {f"Attempt.{NAME}"}
    assert [seen.attributes["rpc.grpc.attempt"] for seen in attempts] == [1, 2, 3]
    assert [seen.attributes["network.peer.address"] for seen in attempts] == [running.address] * 3
    assert ["rpc.grpc.attempt.delay" in seen.attributes for seen in attempts] == [False, True, True]
    assert attempts[0].attributes["error.type"] == "UNAVAILABLE"
    assert attempts[0].span.status.message == "not yet"
    served = collector.of("SERVER")
    assert served[2].attributes == {"rpc.system.name": "grpc", "rpc.method": NAME, "rpc.response.status_code": "OK"}
    for seen in collector.spans:
        assert (seen.resource["service.name"], seen.scope) == ("shop", "kit")
        assert 0 <= seen.seconds < 60
        assert abs(seen.span.end_time_unix_nano / 1e9 - time.time()) < 60
    for one in served:
        # In the attempt that it belongs to, by the clock as well.
        above = next(seen for seen in attempts if seen.span.span_id == one.span.parent_span_id)
        assert above.span.start_time_unix_nano <= one.span.start_time_unix_nano + 1_000_000


async def test_hedges_that_lost_are_cancelled_and_no_errors(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up()
    hedging = kit.HedgingPolicy(max_attempts=3, hedging_delay=0.0)
    policy = kit.MethodPolicy(idempotency_level=LEVEL, hedging=hedging)
    arrived = 0

    async def last_wins(_text: str, _context: Context) -> None:
        nonlocal arrived
        arrived += 1
        if arrived < 3:
            await asyncio.Event().wait()

    async with server(last_wins) as running, kit.channel(running.address, policy=policy) as channel:
        await call(channel, "UnaryUnary", "x")
        await sent(telemetry, collector, 7)
    lost = ["CLIENT OK UNSET", "INTERNAL CANCELLED UNSET", "SERVER CANCELLED UNSET"]
    assert collector.tree() == [lost, lost, WENT_WELL]
    assert sorted(seen.attributes["rpc.grpc.attempt"] for seen in collector.of("INTERNAL")) == [1, 2, 3]


async def test_the_usual_call_has_its_three_spans_and_the_servers_hangs_under_the_attempt(
    set_up: SetUp, collector: Collector
) -> None:
    telemetry = set_up()
    async with server() as running, kit.channel(running.address) as channel:
        await call(channel, "UnaryUnary", "x")
        await call(channel, "UnaryUnary", "y")
    await sent(telemetry, collector, 6)
    assert collector.tree() == [WENT_WELL, WENT_WELL]
    assert len({seen.span.trace_id for seen in collector.spans}) == 2
    assert len({seen.span.span_id for seen in collector.spans}) == 6


@pytest.mark.parametrize("how", ["cancel", "fail", "refuse"])
async def test_a_call_that_does_not_go_well_tells_how(set_up: SetUp, collector: Collector, how: str) -> None:
    telemetry = set_up()
    entered = asyncio.Event()

    async def act(_text: str, _context: Context) -> None:
        entered.set()
        if how == "cancel":
            await asyncio.Event().wait()
        raise kit.errors.Unavailable("down") if how == "refuse" else kit.errors.NotFound("no such book")

    policy = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=1))
    async with server(act) as running, kit.channel(running.address, policy=policy) as channel:
        if how == "cancel":
            started = start_call(channel, "UnaryUnary")
            async with asyncio.timeout(10):
                await entered.wait()
            started.cancel()
            await sent(telemetry, collector, 3)
            expected = ["CLIENT CANCELLED ERROR", "INTERNAL CANCELLED ERROR", "SERVER CANCELLED UNSET"]
            assert collector.tree() == [expected]
        elif how == "fail":
            with pytest.raises(CallFailed):
                await call(channel, "UnaryUnary", "x")
            await sent(telemetry, collector, 3)
            assert collector.tree() == [
                ["CLIENT NOT_FOUND ERROR", "INTERNAL NOT_FOUND ERROR", "SERVER NOT_FOUND UNSET"]
            ]
            assert "error.type" not in collector.of("SERVER")[0].attributes
        else:
            await failure(channel, "UnaryUnary", "x")
            with pytest.raises(BreakerOpen):
                await call(channel, "UnaryUnary", "x")
            await sent(telemetry, collector, 4)
            _, only = collector.of("CLIENT")
            assert (only.code, only.status) == ("UNAVAILABLE", "ERROR")
            [event] = only.span.events
            assert (event.name, values(event.attributes)) == ("kit.refused", {"kit.refused.by": "BreakerOpen"})


async def test_a_call_inside_a_handler_and_plain_code_belong_to_the_call_that_is_served(
    set_up: SetUp, collector: Collector
) -> None:
    telemetry = set_up()
    plain = trace.get_tracer("shop")
    async with server() as inner, kit.channel(inner.address) as onward:

        async def ask(_text: str, _context: Context) -> None:
            trace.get_current_span().set_attribute("shop.order", 7)
            trace.get_current_span().add_event("asked", {"who": "me"})
            with plain.start_as_current_span("work"):
                await call(onward, "UnaryUnary", "x")

        async with server(ask) as outer, kit.channel(outer.address) as channel:
            await call(channel, "UnaryUnary", "x")
            with plain.start_as_current_span("page"):
                await call(channel, "UnaryUnary", "x")
    await asyncio.to_thread(telemetry.flush, 10)
    spans = {seen.span.span_id: seen.span for seen in collector.spans}
    work = [span for span in spans.values() if span.name == "work"]
    assert len(work) == 2
    for one in work:
        above = spans[one.parent_span_id]
        assert above.kind == above.SPAN_KIND_SERVER
        assert values(above.attributes)["shop.order"] == 7
        assert [event.name for event in above.events] == ["asked"]
        [below] = [span for span in spans.values() if span.parent_span_id == one.span_id]
        assert below.kind == below.SPAN_KIND_CLIENT
    [page] = [span for span in spans.values() if span.name == "page"]
    assert [span.kind for span in spans.values() if span.parent_span_id == page.span_id] == [page.SPAN_KIND_CLIENT]


async def test_the_tracestate_goes_on_and_the_callers_decision_holds(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up(sample_ratio=0.0)
    seen: list[dict[str, Any]] = []

    async def note(_text: str, context: Context) -> None:
        seen.append(dict(context.invocation_metadata() or ()))

    async with server(note) as inner, kit.channel(inner.address) as onward:

        async def ask(_text: str, _context: Context) -> None:
            await call(onward, "UnaryUnary", "x")

        async with server(ask) as outer, grpc.aio.insecure_channel(outer.address) as channel:
            state = ("tracestate", "vendor=1,other=2")
            await call(channel, "UnaryUnary", "x", metadata=(("traceparent", PARENT + "01"), state))
            await call(channel, "UnaryUnary", "x", metadata=(("traceparent", PARENT + "00"), state))
    sampled, not_sampled = seen
    for one, flag in ((sampled, "01"), (not_sampled, "00")):
        assert one["traceparent"].startswith(PARENT[:36])
        assert one["traceparent"].endswith(f"-{flag}")
        assert one["tracestate"] == state[1]
    await sent(telemetry, collector, 4)
    assert {one.span.trace_state for one in collector.spans} == {state[1]}
    assert len(collector.of("SERVER")) == 2


async def test_one_per_cent_of_the_traces_are_taken_whole_or_not_at_all(
    set_up: SetUp, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the trace id, as the SDK's own sampler decides; ids here are counted up."""
    numbers = iter(range(1, 10_000))

    def spread(bits: int) -> int:
        return next(numbers) * 0x9E3779B97F4A7C15F39CC0605CEDC834_1082276BF3A27251 % (1 << bits)

    monkeypatch.setattr("kit.observe.recorder.getrandbits", spread)
    telemetry = set_up(sample_ratio=0.01)
    async with server() as running, kit.channel(running.address) as channel:
        for _ in range(400):
            await call(channel, "UnaryUnary", "x")
    await asyncio.to_thread(telemetry.flush, 10)
    tops = collector.of("CLIENT")
    assert 1 <= len(tops) <= 15
    assert collector.tree() == [WENT_WELL] * len(tops)
    bound = round(0.01 * (1 << 64))
    assert all(int.from_bytes(seen.span.trace_id[8:], "big") < bound for seen in collector.spans)


async def test_what_is_not_sampled_is_not_sent(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up(sampler=ALWAYS_OFF)
    async with server(fails(1)) as running, kit.channel(running.address) as channel:
        await failure(channel, "UnaryUnary", "x")
        await call(channel, "UnaryUnary", "x")
    await asyncio.to_thread(telemetry.flush, 10)
    assert collector.spans == []


def takes_none() -> Sampler:
    """Not known to be off: it might take another one."""

    class Never(Sampler):
        def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
            return SamplingResult(Decision.DROP)

        def get_description(self) -> str:
            return "Never"

    return ParentBased(Never())


async def test_errors_are_kept_though_they_are_not_sampled(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up(sampler=takes_none())
    async with server(fails(2)) as running, kit.channel(running.address, policy=RETRIED) as channel:
        await call(channel, "UnaryUnary", "x")
        await call(channel, "UnaryUnary", "x")
    await sent(telemetry, collector, 4)
    assert {seen.attributes[KEPT] for seen in collector.spans} == {"error"}
    attempts, served = collector.of("INTERNAL"), collector.of("SERVER")
    assert [seen.code for seen in (*attempts, *served)] == ["UNAVAILABLE"] * 4
    # What is there hangs together.
    assert {seen.span.parent_span_id for seen in served} == {seen.span.span_id for seen in attempts}
    assert len({seen.span.trace_id for seen in collector.spans}) == 1


async def test_a_failed_call_is_kept_with_its_attempt_and_the_servers_part(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up(sampler=takes_none())
    async with server(fails(1)) as running, kit.channel(running.address) as channel:
        await failure(channel, "UnaryUnary", "x")
    await sent(telemetry, collector, 3)
    assert collector.tree() == [["CLIENT UNAVAILABLE ERROR", "INTERNAL UNAVAILABLE ERROR", "SERVER UNAVAILABLE ERROR"]]


async def test_slow_calls_are_kept_though_they_are_not_sampled(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up(sampler=takes_none(), keep_slower_than=0.0)
    async with server() as running, kit.channel(running.address) as channel:
        await call(channel, "UnaryUnary", "x")
        # How long a stream takes says nothing.
        await call(channel, "UnaryStream", "x")
    await sent(telemetry, collector, 3)
    assert collector.tree() == [WENT_WELL]
    assert {seen.attributes[KEPT] for seen in collector.spans} == {"slow"}


async def test_span_processors_of_a_users_own_see_spans_start(set_up: SetUp, collector: Collector) -> None:
    started: list[str] = []

    class Noting(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:
            started.append(span.name)
            span.set_attribute("noted", True)

        def on_end(self, span: ReadableSpan) -> None:
            pass

    telemetry = set_up(span_processors=[Noting()])
    async with server(fails(1)) as running, kit.channel(running.address, policy=RETRIED) as channel:
        await call(channel, "UnaryUnary", "x")
    await sent(telemetry, collector, 5)
    assert len(started) == 5
    assert collector.tree() == [WENT_WELL, TRIED]
    assert all(seen.attributes["noted"] for seen in collector.spans)


async def test_metrics_arrive_as_well(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up()
    async with server(fails(2)) as running, kit.channel(running.address, policy=RETRIED) as channel:
        await call(channel, "UnaryUnary", "x")
    await asyncio.to_thread(telemetry.flush, 10)

    def points(name: str, **wanted: str) -> list[Any]:
        metric = collector.metrics[name]
        found = getattr(metric, metric.WhichOneof("data")).data_points
        return [point for point in found if values(point.attributes).items() >= wanted.items()]

    method = {"grpc.method": NAME, "grpc.target": running.address}
    [whole] = points("rpc.client.call.duration", **{"rpc.method": NAME, "server.address": running.address})
    assert (whole.count, values(whole.attributes)["rpc.response.status_code"]) == (1, "OK")
    assert collector.metrics["rpc.client.call.duration"].unit == "s"
    assert sum(whole.bucket_counts) == 1
    assert whole.exemplars[0].trace_id in {seen.span.trace_id for seen in collector.spans}
    assert [p.as_int for p in points("grpc.client.attempt.started", **method)] == [3]
    statuses = {values(p.attributes)["grpc.status"]: p.count for p in points("grpc.client.attempt.duration", **method)}
    assert statuses == {"OK": 1, "UNAVAILABLE": 2}
    [retries] = points("grpc.client.call.retries", **method)
    assert (retries.count, retries.sum) == (1, 2)
    served = points("rpc.server.call.duration", **{"rpc.method": NAME, "rpc.response.status_code": "UNAVAILABLE"})
    assert served[0].count >= 2
    assert points("process_resident_memory_bytes")


async def test_a_collector_that_is_gone_costs_nothing_but_the_spans(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setattr("kit.observe._batch.Batch.flush", lambda _: None)
    telemetry = kit.observe.setup("shop", otlp_endpoint=f"http://127.0.0.1:{find_port(21000)}", metrics=False)
    assert telemetry is not None
    async with server() as running, kit.channel(running.address) as channel:
        for _ in range(20):
            await call(channel, "UnaryUnary", "x")
    assert telemetry.dropped >= 20
    telemetry.shutdown(0.1)
    assert caplog.records == [] or all(record.levelname != "ERROR" for record in caplog.records)


async def test_the_shutdown_sends_what_is_left(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up()
    async with server() as running, kit.channel(running.address) as channel:
        await call(channel, "UnaryUnary", "x")
    await asyncio.to_thread(telemetry.shutdown, 10)
    assert collector.tree() == [WENT_WELL]
    assert collector.metrics


@pytest.mark.parametrize(
    "method", ["UnaryUnary", "UnaryStream", "UnaryWrite", "StreamUnary", "StreamStream", "ReadWrite"]
)
@pytest.mark.parametrize("kind", ["kit.channel", "stock"])
async def test_every_shape_has_its_three_spans(set_up: SetUp, collector: Collector, method: str, kind: str) -> None:
    telemetry = set_up()
    async with server() as running:
        if kind == "stock":
            channel: grpc.aio.Channel = grpc.aio.insecure_channel(
                running.address, interceptors=kit.client_interceptors()
            )
        else:
            channel = kit.channel(running.address)
        async with channel:
            await call(channel, method, "x")
            await sent(telemetry, collector, 3)
    assert collector.tree() == [WENT_WELL]


async def test_probes_leave_nothing(set_up: SetUp, collector: Collector) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    telemetry = set_up()
    async with server() as running, grpc.aio.insecure_channel(running.address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    await asyncio.to_thread(telemetry.flush, 10)
    assert collector.spans == []
    assert not any("Health" in str(metric) for metric in collector.metrics.values())
