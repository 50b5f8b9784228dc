"""One call over two hops is one tree of spans, through kit channels and kit servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import kit
from kit.observe import tracing
from tests.integration.server.echo import SERVICE, Context, Echo, add_echo, call, failure, start_call

SAFE = kit.MethodPolicy(
    idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, retry=kit.RetryPolicy(max_attempts=2, initial_backoff=0)
)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Tracing is on; finished spans are here."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracing.use_tracer(provider.get_tracer("test"))
    yield memory
    tracing.use_tracer(None)


def server(act: Callable[[str, Context], object] | None = None) -> kit.Server:
    return kit.Server("echo", register=False, grace=0).add(Echo(act), add_echo)  # type: ignore[arg-type]


def path(span: ReadableSpan, spans: dict[int, ReadableSpan]) -> list[str]:
    """Kind and status of a span and of all above it, the root first."""
    above = [] if span.parent is None else path(spans[span.parent.span_id], spans)
    return [*above, f"{span.kind.name} {status(span)}"]


def status(span: ReadableSpan) -> str:
    return str((span.attributes or {})["rpc.response.status_code"])


async def test_a_call_with_a_retry_over_two_hops_is_one_tree(exporter: InMemorySpanExporter) -> None:
    failed: list[str] = []

    async def fail_once(text: str, context: Context) -> None:
        if not failed:
            failed.append(text)
            raise kit.errors.Unavailable("not yet")

    async with server(fail_once) as inner, kit.channel(inner.address, policy=SAFE) as inner_channel:

        async def ask(text: str, context: Context) -> None:
            await call(inner_channel, "UnaryUnary", text)

        async with server(ask) as outer, kit.channel(outer.address) as channel:
            assert await call(channel, "UnaryUnary", "x") == ["x"]
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    assert len({span.context.trace_id for span in spans.values()}) == 1
    hop = ["CLIENT OK", "INTERNAL OK", "SERVER OK"]
    leaves = sorted(
        path(span, spans)
        for span in spans.values()
        if not any(other.parent and other.parent.span_id == span.context.span_id for other in spans.values())
    )
    assert leaves == [
        [*hop, "CLIENT OK", "INTERNAL OK", "SERVER OK"],
        [*hop, "CLIENT OK", "INTERNAL UNAVAILABLE", "SERVER UNAVAILABLE"],
    ]
    assert {span.name for span in spans.values()} == {f"{SERVICE}/UnaryUnary", f"Attempt.{SERVICE}/UnaryUnary"}


@pytest.mark.parametrize(
    "method", ["UnaryUnary", "UnaryStream", "UnaryWrite", "StreamUnary", "StreamStream", "ReadWrite"]
)
async def test_every_shape_has_its_three_spans(exporter: InMemorySpanExporter, method: str) -> None:
    async with server() as running, kit.channel(running.address) as channel:
        await call(channel, method)
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    assert len(spans) == 3
    bottom = next(span for span in spans.values() if span.kind is trace.SpanKind.SERVER)
    assert path(bottom, spans) == ["CLIENT OK", "INTERNAL OK", "SERVER OK"]


async def test_a_cancelled_call_ends_all_its_spans_as_cancelled(exporter: InMemorySpanExporter) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def wait(text: str, context: Context) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with server(wait) as running, kit.channel(running.address) as channel:
        started = start_call(channel, "UnaryUnary")
        async with asyncio.timeout(10):
            await entered.wait()
            started.cancel()
            await ended.wait()
    spans = exporter.get_finished_spans()
    assert {span.kind.name: (span.attributes or {})["rpc.response.status_code"] for span in spans} == {
        "CLIENT": "CANCELLED",
        "INTERNAL": "CANCELLED",
        "SERVER": "CANCELLED",
    }


async def test_the_servers_span_has_the_status_of_a_crash_and_of_an_abort(exporter: InMemorySpanExporter) -> None:
    async def act(text: str, context: Context) -> None:
        if text == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no")
        raise ValueError(text)

    async with server(act) as running, grpc.aio.insecure_channel(running.address) as channel:
        await failure(channel, "UnaryUnary", "crash")
        await failure(channel, "UnaryStream", "abort")
    crash, abort = exporter.get_finished_spans()
    assert (crash.attributes or {})["rpc.response.status_code"] == "INTERNAL"
    assert crash.status.status_code is trace.StatusCode.ERROR
    assert (abort.attributes or {})["rpc.response.status_code"] == "NOT_FOUND"
    assert abort.status.status_code is trace.StatusCode.UNSET
    assert crash.parent is abort.parent is None


async def test_a_probe_leaves_no_span(exporter: InMemorySpanExporter) -> None:
    async with server() as running, grpc.aio.insecure_channel(running.address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert exporter.get_finished_spans() == ()


async def test_a_span_of_the_handlers_own_hangs_under_the_servers(exporter: InMemorySpanExporter) -> None:
    seen: list[trace.SpanContext] = []

    async def act(text: str, context: Context) -> None:
        seen.append(trace.get_current_span().get_span_context())

    async with server(act) as running, grpc.aio.insecure_channel(running.address) as channel:
        await call(channel, "UnaryStream")
    (span,) = exporter.get_finished_spans()
    assert seen[0].span_id == span.context.span_id
