"""The official OTLP exporters, fed with what the kit has; channel, retries, headers, TLS and variables are theirs.

`SpanExport` overrides what its class asks subclasses for, `_translate_data` and `_count_data`
(`tests/unit/observe/test_otlp.py` guards that). Metrics go by the SDK's own public data classes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from kit.observe._encode import Encoder

__all__ = ["MetricExport", "SpanExport", "exporting", "interval_from_env", "metric_exporter", "metrics_data"]

#: Seconds that one export may take, its retries included.
EXPORT_TIMEOUT = 5.0
_LOGGERS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")


class SpanExport(OTLPSpanExporter):
    """Sends messages that are made already, as well as spans."""

    def __init__(self, endpoint: str) -> None:
        _complain_once(endpoint)
        super().__init__(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=EXPORT_TIMEOUT)

    def send(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        """Sends a message; retries as the exporter does, and logs what fails."""
        self._export(request)  # type: ignore[arg-type]  # see `_translate_data`

    def _translate_data(self, data: Any) -> trace_service_pb2.ExportTraceServiceRequest:
        if isinstance(data, trace_service_pb2.ExportTraceServiceRequest):
            return data
        return super()._translate_data(data)

    def _count_data(self, data: Any) -> int:
        if isinstance(data, trace_service_pb2.ExportTraceServiceRequest):
            return sum(len(scope.spans) for one in data.resource_spans for scope in one.scope_spans)
        return len(data)


def exporting(exporter: SpanExporter, encoder: Encoder) -> Callable[[list[Any]], object]:
    """How a batch is exported: in bytes where the exporter is ours, as the SDK's spans to any other."""
    if isinstance(exporter, SpanExport):
        return lambda items: exporter.send(encoder.request(items))
    return lambda items: exporter.export(encoder.spans(items))


def metric_exporter(endpoint: str) -> MetricExporter:
    """The official exporter of metrics."""
    _complain_once(endpoint)
    return OTLPMetricExporter(
        endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=int(EXPORT_TIMEOUT)
    )


class MetricExport:
    """Exports snapshots of the metrics at intervals, on a thread, and once more when it is closed."""

    def __init__(
        self, exporter: MetricExporter, resource: Resource, snapshot: Callable[[], dict[str, Any]], interval: float
    ) -> None:
        self._exporter = exporter
        self._resource = resource
        self._snapshot = snapshot
        self._interval = interval
        self._began = time.time_ns()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kit-metrics", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Exports what is counted now."""
        try:
            self._exporter.export(metrics_data(self._snapshot(), self._resource, self._began))
        except Exception:
            logging.getLogger("kit.observe").exception("metrics could not be exported")

    def close(self) -> None:
        """Exports once more and ends the thread."""
        self._end.set()
        self.flush()
        self._exporter.shutdown()

    def give_up(self) -> None:
        """Ends the tries of an export that is under way."""
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._end.wait(self._interval):
            self.flush()


def metrics_data(snapshot: dict[str, Any], resource: Resource, began: int) -> MetricsData:
    """A snapshot as the SDK's exporters take it."""
    now = time.time_ns()
    found = [_metric(family, began, now) for family in snapshot["families"]]
    scope = ScopeMetrics(InstrumentationScope("kit"), [metric for metric in found if metric is not None], "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: dict[str, Any], began: int, now: int) -> Metric | None:
    kind, series = family["kind"], family["series"]
    data: Any
    if any("sample" in one for one in series):
        # Histograms and summaries of others: Prometheus reads them where they are.
        return None
    if kind == "histogram":
        points = [_histogram_point(one, family["bounds"], began, now) for one in series]
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
    else:
        numbers = [
            NumberDataPoint(one["labels"], began if kind == "counter" else 0, now, one["value"]) for one in series
        ]
        data = Sum(numbers, AggregationTemporality.CUMULATIVE, True) if kind == "counter" else Gauge(numbers)
    return Metric(family["name"], family["help"], family["unit"], data)


def _histogram_point(one: dict[str, Any], bounds: Sequence[float], began: int, now: int) -> HistogramDataPoint:
    exemplars = [
        Exemplar({}, value, int(when * 1e9), int(span_id, 16), int(trace_id, 16))
        for _, value, trace_id, span_id, when in one["exemplars"]
    ]
    return HistogramDataPoint(
        attributes=one["labels"],
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=sum(one["counts"]),
        sum=one["sum"],
        bucket_counts=one["counts"],
        explicit_bounds=bounds,
        # Not known; what is not a number is left out by the encoder's readers.
        min=None,  # type: ignore[arg-type]  # optional in OTLP
        max=None,  # type: ignore[arg-type]  # likewise
        exemplars=exemplars,
    )


def interval_from_env() -> float:
    """Seconds between exports of metrics: OTEL_METRIC_EXPORT_INTERVAL, or 60."""
    return float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or 60_000) / 1000


def _complain_once(endpoint: str) -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for former in [found for found in logger.filters if isinstance(found, _OneComplaint)]:
            logger.removeFilter(former)
        logger.addFilter(_OneComplaint(endpoint))


class _OneComplaint(logging.Filter):
    """Lets the first complaint about a collector through, as one sentence, and no other."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._done = False

    def filter(self, record: logging.LogRecord) -> bool:
        if self._done:
            return False
        self._done = True
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = "the collector at %s does not take what is exported; it is dropped until it does"
        record.args = (self._endpoint,)
        record.exc_info = None
        return True
