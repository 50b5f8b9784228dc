"""Telemetry on, off, and without anybody who takes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.discovery import find_port
from kit.observe import setup, tracing

OTLP = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in OTLP:
        monkeypatch.delenv(name, raising=False)
    yield
    tracing.use_tracer(None)


def test_without_an_endpoint_nothing_is_turned_on() -> None:
    assert setup("search") is None
    assert not tracing.enabled()


def test_it_can_be_disabled_whatever_else_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert setup("search", otlp_endpoint="http://127.0.0.1:1") is None


def test_spans_of_the_kit_and_of_plain_code_go_to_the_exporter_with_the_services_name() -> None:
    memory = InMemorySpanExporter()
    plain = trace.get_tracer("app")
    telemetry = setup("search", exporter=memory)
    assert telemetry is not None
    with plain.start_as_current_span("work"):
        tracing.end_span(tracing.client_call_span("/a.B/C", "b"), grpc.StatusCode.OK)
    telemetry.shutdown()
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert set(spans) == {"work", "a.B/C"}
    parent = spans["a.B/C"].parent
    assert parent is not None
    assert parent.span_id == spans["work"].context.span_id
    assert spans["work"].resource.attributes["service.name"] == "search"
    assert not tracing.enabled()


def test_a_second_setup_replaces_the_first_for_tracers_made_before() -> None:
    first, second = InMemorySpanExporter(), InMemorySpanExporter()
    setup("one", exporter=first)
    plain = trace.get_tracer("app")
    with plain.start_as_current_span("to the first"):
        pass
    telemetry = setup("two", exporter=second)
    assert telemetry is not None
    with plain.start_as_current_span("to the second"):
        pass
    telemetry.shutdown()
    telemetry.shutdown()
    with plain.start_as_current_span("to nobody"):
        pass
    assert [span.name for span in first.get_finished_spans()] == ["to the first"]
    assert [span.name for span in second.get_finished_spans()] == ["to the second"]


def test_an_absent_collector_costs_one_line_and_no_long_wait(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = setup("search", otlp_endpoint=f"http://127.0.0.1:{find_port(20000)}")
    assert telemetry is not None
    for _ in range(10):
        tracing.end_span(tracing.client_call_span("/a.B/C", "b"), grpc.StatusCode.OK)
    began = time.monotonic()
    telemetry.shutdown(timeout=0.5)
    assert time.monotonic() - began < 5
    complaints = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert len(complaints) <= 1
    assert all(record.levelno == logging.WARNING for record in complaints)
