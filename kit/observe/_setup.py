"""Turning telemetry on and off for a process."""

from __future__ import annotations

import atexit
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from kit.errors import ConfigurationError
from kit.observe import calls, metrics, tracing
from kit.observe._provider import CurrentProvider
from kit.observe._state import STATE
from kit.observe.recorder import Keeping, Recorder

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

    from kit.observe._batch import Batch
    from kit.observe._otlp import MetricExport

__all__ = ["Telemetry", "setup"]

#: Seconds that the end of a process waits for the last spans to be sent.
FLUSH_TIMEOUT = 2.0
#: Calls a second that are kept though they were not sampled, at most.
KEPT_PER_SECOND = 50.0

_provider = CurrentProvider()
_current: Telemetry | None = None


class Telemetry:
    """Telemetry that is on. `shutdown` sends what is left and turns it off."""

    def __init__(self, exporter: SpanExporter | None, batch: Batch | None, counted: MetricExport | None) -> None:
        self._exporter = exporter
        self._batch = batch
        self._counted = counted
        self._processors: tuple[SpanProcessor, ...] = ()

    @property
    def dropped(self) -> int:
        """Spans that were dropped because nobody took them."""
        return 0 if self._batch is None else self._batch.dropped

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> bool:
        """Sends what there is, spans and metrics; whether that was done within `timeout` seconds. It blocks."""
        return _within(timeout, self._flush)

    def _flush(self) -> None:
        for processor in self._processors:
            processor.force_flush()
        if self._batch is not None:
            self._batch.flush()
        if self._counted is not None:
            self._counted.flush()

    def shutdown(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Blocks until the last spans are sent, at most about `timeout` seconds. May be called again."""
        global _current  # noqa: PLW0603 - tracing belongs to the process
        if _current is not self:
            return
        _current = None
        STATE.trace()
        calls.count(False)
        _provider.target = None
        atexit.unregister(self.shutdown)

        def close() -> None:
            for processor in self._processors:
                processor.shutdown()
            if self._batch is not None:
                self._batch.close()
            if self._counted is not None:
                self._counted.close()

        # An exporter tries for seconds; told to end, it ends its tries.
        done = _within(timeout, close)
        if self._exporter is not None:
            self._exporter.shutdown()
        if not done and self._counted is not None:
            self._counted.give_up()


def setup(
    service_name: str,
    *,
    otlp_endpoint: str | None = None,
    exporter: SpanExporter | None = None,
    sampler: Sampler | None = None,
    sample_ratio: float | None = None,
    keep_errors: bool = True,
    keep_slower_than: float | None = None,
    span_processors: Sequence[SpanProcessor] = (),
    metrics: bool | None = None,
    metric_exporter: MetricExporter | None = None,
) -> Telemetry | None:
    """Traces and counts this process's calls; sends both to an OTLP collector over gRPC, in batches.

    Returns None when nothing is turned on. `otlp_endpoint` is "http://host:4317", "https://host:4317" or "host:4317"
    (plain); None reads OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, then OTEL_EXPORTER_OTLP_ENDPOINT; without one, and without
    an `exporter`, which takes the place of OTLP, nothing is traced. A collector that does not answer is reported once
    and costs no more than the spans that are then dropped. OTEL_SDK_DISABLED=true turns all off. Setting up again
    replaces what was set up before.

    `sample_ratio` is the share of traces that begin here and are taken, 0 to 1; `sampler` is one of the SDK's; without
    both OTEL_TRACES_SAMPLER decides, which takes everything by default. Of the calls that are not sampled those are
    kept all the same that failed (`keep_errors`) or took longer than so many seconds (`keep_slower_than`), up to 50 a
    second; not where the sampler never takes any.

    With `span_processors` the kit's spans are the SDK's, which costs more, and the processors see them start and end.

    `metrics` None counts calls where there is an endpoint, or KIT_METRICS_LISTEN says where to show them; they are read
    by `kit.observe.metrics`, and exported each OTEL_METRIC_EXPORT_INTERVAL (60 s) by `metric_exporter`, or to the
    endpoint. Raises ConfigurationError.
    """
    global _current  # noqa: PLW0603 - tracing belongs to the process
    if _current is not None:
        _current.shutdown()
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if sample_ratio is not None and not (sampler is None and 0 <= sample_ratio <= 1):
        raise ConfigurationError(f"sample_ratio={sample_ratio!r}: 0 to 1, and not beside a sampler")
    endpoint = otlp_endpoint or _from_env()
    traced = exporter is not None or bool(endpoint) or bool(span_processors)
    counts = (
        metrics if metrics is not None else bool(endpoint or os.environ.get("KIT_METRICS_LISTEN") or metric_exporter)
    )
    if not (traced or counts):
        return None
    batch, made = None, None
    resource = _resource(service_name)
    if traced:
        keeping = (keep_errors, math.inf if keep_slower_than is None else keep_slower_than)
        batch, made = _trace(resource, endpoint, exporter, _sampler(sampler, sample_ratio), keeping, span_processors)
    counted = _count(resource, endpoint, metric_exporter) if counts else None
    _current = Telemetry(made, batch, counted)
    _current._processors = tuple(span_processors)
    atexit.register(_current.shutdown)
    return _current


def _resource(service_name: str) -> Resource:
    from opentelemetry.sdk.resources import Resource

    return Resource.create({"service.name": service_name, "process.pid": os.getpid()})


def _sampler(sampler: Sampler | None, ratio: float | None) -> Sampler | None:
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    return sampler if ratio is None else ParentBasedTraceIdRatio(ratio)


def _trace(
    resource: Resource,
    endpoint: str,
    exporter: SpanExporter | None,
    sampler: Sampler | None,
    keeping: tuple[bool, float],
    span_processors: Sequence[SpanProcessor],
) -> tuple[Batch | None, SpanExporter | None]:
    from opentelemetry.sdk.trace import TracerProvider

    from kit.observe._batch import Batch, BatchRules, HandingOn
    from kit.observe._encode import Encoder
    from kit.observe._otlp import SpanExport, exporting
    from kit.observe._sampling import Sampling

    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    for processor in span_processors:
        provider.add_span_processor(processor)
    made = exporter if exporter is not None else SpanExport(endpoint) if endpoint else None
    batch = None
    if made is not None:
        batch = Batch(exporting(made, Encoder(provider.resource)), BatchRules.from_env())
        provider.add_span_processor(HandingOn(batch))
    if trace.get_tracer_provider() is not _provider:
        trace.set_tracer_provider(_provider)
    _provider.target = provider
    if span_processors or batch is None:
        tracing.use_tracer(provider.get_tracer("kit"))
    else:
        sampling = Sampling(provider.sampler)
        errors, slower_than = keeping
        kept = Keeping(errors=errors, slower_than=slower_than, per_second=KEPT_PER_SECOND)
        STATE.trace(recorder=Recorder(sampling, None if sampling.is_off else kept, batch))
    return batch, made


def _count(resource: Resource, endpoint: str, exporter: MetricExporter | None) -> MetricExport | None:
    calls.count(True)
    if exporter is None and not endpoint:
        return None
    from kit.observe._otlp import MetricExport, interval_from_env, metric_exporter

    made = exporter if exporter is not None else metric_exporter(endpoint)
    return MetricExport(made, resource, metrics.snapshot, interval_from_env())


def _from_env() -> str:
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""


def _within(timeout: float, work: Callable[[], Any]) -> bool:
    """Does the work on a thread; whether it is done within `timeout` seconds."""
    thread = threading.Thread(target=work, name="kit-telemetry-flush", daemon=True)
    thread.start()
    thread.join(timeout)
    return not thread.is_alive()
