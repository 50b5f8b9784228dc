"""Turning telemetry on and off for a process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import TYPE_CHECKING

from opentelemetry import trace

from kit.observe import tracing
from kit.observe._provider import CurrentProvider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

__all__ = ["Telemetry", "setup"]

#: Seconds that one export may take, its retries included.
EXPORT_TIMEOUT = 5.0
#: Seconds that the end of a process waits for the last spans to be sent.
FLUSH_TIMEOUT = 2.0

_provider = CurrentProvider()
_current: Telemetry | None = None


class Telemetry:
    """Telemetry that is on. `shutdown` sends what is left and turns it off."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        self._sdk = provider
        self._exporter = exporter

    def shutdown(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Blocks until the last spans are sent, at most about `timeout` seconds. May be called again."""
        global _current  # noqa: PLW0603 - tracing belongs to the process
        if _current is not self:
            return
        _current = None
        tracing.use_tracer(None)
        _provider.target = None
        atexit.unregister(self.shutdown)
        # The SDK waits up to 30 s for a collector that is gone; telling the exporter as well ends its retries.
        flush = threading.Thread(target=self._sdk.shutdown, name="kit-telemetry-flush", daemon=True)
        flush.start()
        flush.join(timeout)
        if flush.is_alive():
            self._exporter.shutdown()
            flush.join(0.5)


def setup(
    service_name: str,
    *,
    otlp_endpoint: str | None = None,
    exporter: SpanExporter | None = None,
    sampler: Sampler | None = None,
) -> Telemetry | None:
    """Sends this process's spans to an OTLP collector over gRPC, in batches; without one it does nothing.

    Returns None when nothing is sent. `otlp_endpoint` is "http://host:4317", "https://host:4317" or "host:4317"
    (plain); None reads OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, then OTEL_EXPORTER_OTLP_ENDPOINT. `exporter` takes the
    place of OTLP. `sampler` None leaves it to OTEL_TRACES_SAMPLER, which samples everything by default.
    OTEL_SDK_DISABLED=true turns all off. A collector that does not answer is reported once and costs no more than the
    spans that are then dropped. Setting up again replaces what was set up before.
    """
    global _current  # noqa: PLW0603 - tracing belongs to the process
    if _current is not None:
        _current.shutdown()
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if exporter is None:
        endpoint = otlp_endpoint or _from_env()
        if not endpoint:
            return None
        exporter = _otlp(endpoint)

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": service_name, "process.pid": os.getpid()})
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    if trace.get_tracer_provider() is not _provider:
        trace.set_tracer_provider(_provider)
    _provider.target = provider
    tracing.use_tracer(provider.get_tracer("kit"))
    _current = Telemetry(provider, exporter)
    atexit.register(_current.shutdown)
    return _current


def _from_env() -> str:
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""


def _otlp(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    for name in ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).addFilter(_OneComplaint(endpoint))
    return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=EXPORT_TIMEOUT)


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
        record.msg = "the trace collector at %s does not take spans; they are dropped until it does"
        record.args = (self._endpoint,)
        record.exc_info = None
        return True
