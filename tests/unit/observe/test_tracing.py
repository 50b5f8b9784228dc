"""The spans of calls: names, parents, statuses."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.observe import tracing

METHOD = "/shop.v1.Shop/Buy"
Code = grpc.StatusCode


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Tracing is on; finished spans are here."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracing.use_tracer(provider.get_tracer("test"))
    yield memory
    tracing.use_tracer(None)


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_while_tracing_is_off_nothing_is_made_or_sent() -> None:
    assert not tracing.enabled()
    span = tracing.client_call_span(METHOD, "local:///shop")
    metadata: list[tuple[str, str | bytes]] = []
    attempt = tracing.attempt_span(span, METHOD, 1)
    tracing.inject(attempt, metadata)
    tracing.add_event(span, "x")
    tracing.end_span(attempt, Code.OK)
    assert span is attempt is tracing.server_span(METHOD, metadata) is tracing.OFF
    assert metadata == []


def test_call_attempt_and_server_hang_one_under_the_other(exporter: InMemorySpanExporter) -> None:
    call = tracing.client_call_span(METHOD, "dns:///shop.example:50051")
    attempt = tracing.attempt_span(call, METHOD, 2, "10.0.0.1:5", delay=0.25)
    metadata: list[tuple[str, str | bytes]] = [("x-other", b"\x00")]
    tracing.inject(attempt, metadata)
    assert [key for key, _ in metadata] == ["x-other", "traceparent"]
    server = tracing.server_span(METHOD, metadata)
    for span in (server, attempt, call):
        tracing.end_span(span, Code.OK)
    by_kind = {span.kind: span for span in exporter.get_finished_spans()}
    top, middle, bottom = (
        by_kind[kind] for kind in (trace.SpanKind.CLIENT, trace.SpanKind.INTERNAL, trace.SpanKind.SERVER)
    )
    assert top.parent is None
    assert middle.parent is not None
    assert middle.parent.span_id == top.context.span_id
    assert bottom.parent is not None
    assert bottom.parent.span_id == middle.context.span_id
    assert bottom.parent.is_remote
    assert (top.name, bottom.name) == ("shop.v1.Shop/Buy", "shop.v1.Shop/Buy")
    assert dict(top.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": "shop.v1.Shop/Buy",
        "server.address": "shop.example",
        "server.port": 50051,
        "rpc.response.status_code": "OK",
    }
    assert (middle.attributes or {})["network.peer.address"] == "10.0.0.1:5"
    assert (middle.attributes or {})["rpc.grpc.attempt"] == 2
    assert (middle.attributes or {})["rpc.grpc.attempt.delay"] == 0.25


def test_the_call_hangs_under_the_current_span(exporter: InMemorySpanExporter) -> None:
    server = tracing.server_span(METHOD, ())
    with tracing.current(server):
        call = tracing.client_call_span(METHOD, "shop")
    tracing.end_span(call, Code.OK)
    parent = only(exporter).parent
    assert parent is not None
    assert parent.span_id == server.get_span_context().span_id


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_any_failure_is_an_error_of_the_client(exporter: InMemorySpanExporter, code: grpc.StatusCode) -> None:
    tracing.end_span(tracing.client_call_span(METHOD, "shop"), code, "why")
    span = only(exporter)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description == "why"
    assert (span.attributes or {})["error.type"] == code.name
    assert (span.attributes or {})["rpc.response.status_code"] == code.name


@pytest.mark.parametrize("code", Code)
def test_only_the_servers_own_faults_are_its_errors(exporter: InMemorySpanExporter, code: grpc.StatusCode) -> None:
    faults = {
        *(Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED),
        *(Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS),
    }
    tracing.end_span(tracing.server_span(METHOD, ()), code)
    span = only(exporter)
    assert (span.status.status_code is trace.StatusCode.ERROR) == (code in faults)
    assert ("error.type" in (span.attributes or {})) == (code in faults)


def test_a_hedge_that_lost_is_cancelled_but_no_error(exporter: InMemorySpanExporter) -> None:
    call = tracing.client_call_span(METHOD, "shop")
    tracing.end_span(tracing.attempt_span(call, METHOD, 1), Code.CANCELLED, lost=True)
    span = only(exporter)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert (span.attributes or {})["rpc.response.status_code"] == "CANCELLED"


@pytest.mark.parametrize("value", ["", "00-zz-11-01", b"\xff", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_damaged_traceparent_starts_a_trace_of_its_own(exporter: InMemorySpanExporter, value: str | bytes) -> None:
    tracing.end_span(tracing.server_span(METHOD, (("traceparent", value),)), Code.OK)
    assert only(exporter).parent is None


def test_events_stand_on_the_span(exporter: InMemorySpanExporter) -> None:
    span = tracing.client_call_span(METHOD, "shop")
    tracing.add_event(span, "breaker refused", {"endpoint": "a"})
    tracing.end_span(span, Code.UNAVAILABLE)
    assert [event.name for event in only(exporter).events] == ["breaker refused"]


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("local:///search", "search", None),
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("dns:///[::1]:80", "::1", 80),
        ("a:1,b:2", "a:1,b:2", None),
        ("unix:///run/a.sock", "a.sock", None),
    ],
)
def test_the_target_is_told_as_the_conventions_want_it(
    exporter: InMemorySpanExporter, target: str, address: str, port: int | None
) -> None:
    tracing.end_span(tracing.client_call_span(METHOD, target), Code.OK)
    attributes = only(exporter).attributes or {}
    assert (attributes["server.address"], attributes.get("server.port")) == (address, port)
