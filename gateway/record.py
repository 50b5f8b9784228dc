"""What is left behind of a request: its span, its line in the access log, and what is counted of it."""

from __future__ import annotations

import logging
from http import HTTPStatus

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.exchange import Exchange
from kit.observe import metrics, tracing
from kit.observe.channels import ACCESS, write
from kit.observe.redaction import redacted_text

__all__ = ["begin_span", "count", "end_span", "write_access"]

#: By OpenTelemetry's conventions for HTTP. `http_route` is the template: paths would be without number.
_DURATION = metrics.histogram(
    "http.server.request.duration",
    "Seconds from a request's first byte to the end of its answer.",
    labels=("http_request_method", "http_route", "http_response_status_code"),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("gateway")


def begin_span(exchange: Exchange) -> trace.Span:
    """Starts the request's SERVER span under the caller's traceparent; an invalid one while tracing is off."""
    if not tracing.enabled():
        return trace.INVALID_SPAN
    carrier = {name: value for name in _PROPAGATOR.fields if (value := exchange.header(name.encode()))}
    return _TRACER.start_span(
        exchange.method,
        context=_PROPAGATOR.extract(carrier) if carrier else None,
        kind=trace.SpanKind.SERVER,
        attributes={
            "http.request.method": exchange.method,
            "url.path": exchange.path,
            "url.scheme": "http",
            "client.address": exchange.client,
        },
    )


def end_span(span: trace.Span, exchange: Exchange) -> None:
    """Ends it with what was answered."""
    if span is trace.INVALID_SPAN:
        return
    if exchange.route:
        span.update_name(exchange.route)
        span.set_attribute("http.route", exchange.route.partition(" ")[2])
    span.set_attribute("http.response.status_code", exchange.status)
    if exchange.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_attribute("error.type", str(exchange.status))
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def count(exchange: Exchange, seconds: float) -> None:
    """Counts a request that took `seconds`. One that has no route counts as "none"."""
    _DURATION.record(
        seconds,
        http_request_method=exchange.method if exchange.method in _METHODS else "_OTHER",
        http_route=exchange.route.partition(" ")[2] or "none",
        http_response_status_code=exchange.status,
    )


def write_access(exchange: Exchange, seconds: float, span: trace.Span) -> None:
    """Writes the line of a request that took `seconds`, into the channel that the services' lines go to, and with their
    names of fields."""
    with tracing.current(span):
        write(
            ACCESS,
            logging.INFO,
            "served",
            method=exchange.method,
            path=redacted_text(exchange.path),
            route=exchange.route,
            status=exchange.status,
            duration_ms=round(seconds * 1000, 3),
            peer=exchange.client,
            request_id=exchange.request_id,
            response_bytes=exchange.bytes_sent,
            **({"client_gone": True} if exchange.client_gone else {}),
        )
