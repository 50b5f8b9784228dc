"""A collector of the tests' own: it speaks real OTLP over gRPC, and keeps what it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = {
    trace_pb2.Span.SPAN_KIND_CLIENT: "CLIENT",
    trace_pb2.Span.SPAN_KIND_INTERNAL: "INTERNAL",
    trace_pb2.Span.SPAN_KIND_SERVER: "SERVER",
}
STATUSES = {
    trace_pb2.Status.STATUS_CODE_UNSET: "UNSET",
    trace_pb2.Status.STATUS_CODE_OK: "OK",
    trace_pb2.Status.STATUS_CODE_ERROR: "ERROR",
}


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {one.key: _value(one.value) for one in attributes}


def _value(value: common_pb2.AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it arrived, and the process that sent it."""

    span: trace_pb2.Span
    resource: Mapping[str, Any]
    scope: str

    @property
    def kind(self) -> str:
        return KINDS[self.span.kind]

    @property
    def code(self) -> str:
        return str(self.attributes["rpc.response.status_code"])

    @property
    def status(self) -> str:
        return STATUSES[self.span.status.code]

    @property
    def attributes(self) -> dict[str, Any]:
        return values(self.span.attributes)

    @property
    def seconds(self) -> float:
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e9


class Collector:
    """`spans` and `metrics` in the order in which they came."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.spans: list[Seen] = []
        self.metrics: dict[str, Any] = {}
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._server)  # type: ignore[no-untyped-call]  # generated
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._server)  # type: ignore[no-untyped-call]  # generated
        self.port = self._server.add_insecure_port(address)
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tree(self) -> list[list[str]]:
        """From the root to each leaf: kind, code and status of every span."""
        by_id = {seen.span.span_id: seen for seen in self.spans}
        inner = {seen.span.parent_span_id for seen in self.spans}

        def path(seen: Seen) -> list[str]:
            above = by_id.get(seen.span.parent_span_id)
            return [*([] if above is None else path(above)), f"{seen.kind} {seen.code} {seen.status}"]

        return sorted(path(seen) for seen in self.spans if seen.span.span_id not in inner)

    def of(self, kind: str) -> list[Seen]:
        """By their beginning."""
        return sorted((seen for seen in self.spans if seen.kind == kind), key=lambda x: x.span.start_time_unix_nano)

    def close(self) -> None:
        self._server.stop(0).wait()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, context: object) -> Any:
        for one in request.resource_spans:
            for scope in one.scope_spans:
                found = values(one.resource.attributes)
                self._collector.spans += [Seen(span, found, scope.scope.name) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: object) -> Any:
        for one in request.resource_metrics:
            for scope in one.scope_metrics:
                self._collector.metrics |= {metric.name: metric for metric in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()
