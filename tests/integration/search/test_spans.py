"""Each search has a span that says which query and workspace it was for."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.search import job
from tests.integration.search.conftest import Searching
from tests.unit.search.splits import Source, lines


async def test_spans_carry_query_and_workspace(searching: Searching, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(job, "_tracer", provider.get_tracer("test"))
    await searching.publish(Source(lines("a b")))
    await searching.search("a b")
    await searching.search("b AND a")
    await searching.stream("a")
    found = [(span.name, dict(span.attributes or {})) for span in spans.get_finished_spans()]
    assert [name for name, _ in found] == ["search.service"] * 3
    assert {attributes["workspace.id"] for _, attributes in found} == {"default"}
    identifiers = [attributes["query.id"] for _, attributes in found]
    assert identifiers[0] == identifiers[1] != identifiers[2]
