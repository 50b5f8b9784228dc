"""Spans of calls: one for the call, a child for each attempt, and the server under the attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.errors import CallFailed
from kit.observe import tracing
from kit.testing import Fault
from tests.integration.client.conftest import Client
from tests.integration.client.echo import DOWN, UNARY, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use_tracer(provider.get_tracer("test"))
    yield exporter
    tracing.use_tracer(None)
    provider.shutdown()


def of_kind(spans: InMemorySpanExporter, kind: trace.SpanKind) -> list[ReadableSpan]:
    return sorted(
        (span for span in spans.get_finished_spans() if span.kind is kind), key=lambda span: span.start_time or 0
    )


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


async def test_a_call_has_one_client_span_and_a_child_for_each_attempt(
    client: Client, spans: InMemorySpanExporter
) -> None:
    client.faults.script(UNARY, [UNAVAILABLE])
    await client.stub.Unary(text())
    [call] = of_kind(spans, trace.SpanKind.CLIENT)
    attempts = of_kind(spans, trace.SpanKind.INTERNAL)
    assert call.name == UNARY.removeprefix("/")
    assert [parent_of(attempt) for attempt in attempts] == [id_of(call)] * 2
    assert [attempt.status.status_code for attempt in attempts] == [trace.StatusCode.ERROR, trace.StatusCode.UNSET]
    assert call.status.status_code is trace.StatusCode.UNSET


async def test_the_server_continues_the_attempt(client: Client, spans: InMemorySpanExporter) -> None:
    client.faults.script(UNARY, [UNAVAILABLE])
    await client.stub.Unary(text())
    attempts = of_kind(spans, trace.SpanKind.INTERNAL)
    served = of_kind(spans, trace.SpanKind.SERVER)
    assert [parent_of(span) for span in served] == [id_of(attempt) for attempt in attempts]


async def test_a_failed_call_is_an_error(client: Client, spans: InMemorySpanExporter) -> None:
    client.faults.script(UNARY, [Fault(code=grpc.StatusCode.NOT_FOUND)])
    with pytest.raises(CallFailed):
        await client.stub.Unary(text())
    [call] = of_kind(spans, trace.SpanKind.CLIENT)
    assert call.status.status_code is trace.StatusCode.ERROR


async def test_the_spans_of_a_stream_end_with_the_stream(client: Client, spans: InMemorySpanExporter) -> None:
    call = client.stub.Down(text("a b"))
    await call.read()
    assert of_kind(spans, trace.SpanKind.CLIENT) == []
    while await call.read() is not grpc.aio.EOF:
        pass
    assert len(of_kind(spans, trace.SpanKind.CLIENT)) == 1
    assert len(of_kind(spans, trace.SpanKind.INTERNAL)) == 1


@pytest.mark.parametrize("method", [UNARY, DOWN])
async def test_the_spans_of_a_cancelled_call_end(client: Client, spans: InMemorySpanExporter, method: str) -> None:
    client.faults.script(method, [Fault(until=asyncio.Event())])
    call = getattr(client.stub, method.rpartition("/")[2])(text())
    await client.faults.arrived(method)
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    [span] = of_kind(spans, trace.SpanKind.CLIENT)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "CANCELLED"
    assert len(of_kind(spans, trace.SpanKind.INTERNAL)) == 1


async def test_while_tracing_is_off_nothing_is_sent(client: Client) -> None:
    await client.stub.Unary(text())
    assert client.faults.seen[0].header("traceparent") is None
