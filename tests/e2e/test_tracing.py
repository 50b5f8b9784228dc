"""One search through the gateway is one tree of spans, whole, at a real OTLP collector."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.datafiles import SAMPLE
from tests.e2e.otlp import Collector
from tests.e2e.product import Product, wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def test_one_search_is_one_whole_tree(start_product: Callable[..., Product], collector: Collector) -> None:
    product = start_product(
        args=["--no-sample"], env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
    )
    product.import_all(SAMPLE / "auth.log")
    answer = product.client.get(
        "/v1/workspaces/default/logs:search",
        params={"query": "sshd"},
        headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
    )
    assert answer.status_code == 200

    def tree() -> list[tuple[str, trace_pb2.Span]] | None:
        spans = [(service, span) for service, span in list(collector.spans) if span.trace_id.hex() == TRACE_ID]
        names = {span.name for _, span in spans}
        return (
            spans
            if "search.service" in names and {"gateway", "search"} <= {s for s, _ in spans} and _whole(spans)
            else None
        )

    spans = wait_until(tree, seconds=30, what=f"the tree is whole: {[(s, x.name) for s, x in collector.spans][-40:]}")
    by_id = {span.span_id: (service, span) for service, span in spans}
    kinds = {(service, span.kind) for service, span in spans}
    assert ("gateway", trace_pb2.Span.SPAN_KIND_SERVER) in kinds
    assert ("gateway", trace_pb2.Span.SPAN_KIND_CLIENT) in kinds
    assert ("search", trace_pb2.Span.SPAN_KIND_SERVER) in kinds
    roots = [span for _, span in spans if span.parent_span_id not in by_id]
    assert [root.parent_span_id.hex() for root in roots] == ["00f067aa0ba902b7"]
    # Every server span of a service hangs under a client's attempt of another process.
    for service, span in spans:
        if span.kind == trace_pb2.Span.SPAN_KIND_SERVER and service != "gateway":
            parent_service, parent = by_id[span.parent_span_id]
            assert parent.kind in {trace_pb2.Span.SPAN_KIND_CLIENT, trace_pb2.Span.SPAN_KIND_INTERNAL}
            assert parent_service != service
    work = next(span for _, span in spans if span.name == "search.service")
    attributes = {attribute.key: attribute.value.string_value for attribute in work.attributes}
    assert attributes["workspace.id"] == "default"
    assert attributes["query.id"]


def _whole(spans: list[tuple[str, trace_pb2.Span]]) -> bool:
    """Only the root's parent is unknown."""
    ids = {span.span_id for _, span in spans}
    return sum(span.parent_span_id not in ids for _, span in spans) == 1
