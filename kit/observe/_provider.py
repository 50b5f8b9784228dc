"""The process's tracer provider: what plain OpenTelemetry code in the same process gets.

OpenTelemetry lets the global provider be set only once. Ours stays and hands on to the SDK provider that `setup` made
last, so telemetry can be shut down and set up again, as tests do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.util import types
from opentelemetry.util._decorator import _agnosticcontextmanager


class CurrentProvider(trace.TracerProvider):
    """Hands on to `target`, or makes nothing while that is None."""

    def __init__(self) -> None:
        self.target: trace.TracerProvider | None = None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: types.Attributes | None = None,
    ) -> trace.Tracer:
        return _CurrentTracer(self, instrumenting_module_name, instrumenting_library_version, schema_url, attributes)


class _CurrentTracer(trace.Tracer):
    """A tracer that follows its provider's target."""

    def __init__(
        self,
        provider: CurrentProvider,
        name: str,
        version: str | None,
        schema: str | None,
        attributes: types.Attributes | None,
    ) -> None:
        self._provider = provider
        self._arguments = (name, version, schema, attributes)
        self._made_for: trace.TracerProvider | None = None
        self._made: trace.Tracer = trace.NoOpTracer()

    def _tracer(self) -> trace.Tracer:
        target = self._provider.target
        if target is not self._made_for:
            self._made = trace.NoOpTracer() if target is None else target.get_tracer(*self._arguments)
            self._made_for = target
        return self._made

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        return self._tracer().start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace.Span]:
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception) as current:
            yield current
