"""Spans of calls, by OpenTelemetry's conventions for RPC, over the official SDK.

    client: call (CLIENT) > attempt (INTERNAL), one for each try  ~~ traceparent ~~>  server: the call served (SERVER)

Until `kit.observe.setup` turned tracing on, every function here returns at once: spans are `OFF` and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import rpc_attributes as names
from opentelemetry.semconv.attributes import error_attributes, network_attributes, server_attributes
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kit.observe._instruments import Exemplary

__all__ = [
    "OFF",
    "add_event",
    "attempt_span",
    "client_call_span",
    "current",
    "current_exemplar",
    "enabled",
    "end_span",
    "inject",
    "server_span",
    "use_tracer",
]

#: What is returned while tracing is off. Compare with `is`.
OFF: trace.Span = trace.INVALID_SPAN

#: Statuses that are the server's own fault; any other one is the caller's affair and no error of the server's span.
SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)

_PROPAGATOR = TraceContextTextMapPropagator()
_tracer: trace.Tracer | None = None


def use_tracer(tracer: trace.Tracer | None) -> None:
    """Makes the kit's spans with `tracer` from now on; None turns tracing off. `kit.observe.setup` calls it."""
    global _tracer  # noqa: PLW0603 - tracing belongs to the process
    _tracer = tracer


def enabled() -> bool:
    """Whether spans are made at all."""
    return _tracer is not None


def client_call_span(method: str, target: str) -> trace.Span:
    """Starts the span of a whole call under the current span. `method` is "/package.Service/Method"."""
    if _tracer is None:
        return OFF
    name = method.removeprefix("/")
    attributes = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: name, **_server_address(target)}
    return _tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)


def attempt_span(
    parent: trace.Span, method: str, attempt_no: int, peer: str = "", *, delay: float | None = None
) -> trace.Span:
    """Starts the span of an attempt under the call's. `attempt_no` 1 is the first; `delay`: seconds waited before."""
    if _tracer is None or parent is OFF:
        return OFF
    name = method.removeprefix("/")
    attributes: dict[str, str | int | float] = {
        names.RPC_SYSTEM_NAME: "grpc",
        names.RPC_METHOD: name,
        "rpc.grpc.attempt": attempt_no,
    }
    if peer:
        attributes[network_attributes.NETWORK_PEER_ADDRESS] = peer
    if delay is not None:
        attributes["rpc.grpc.attempt.delay"] = delay
    return _tracer.start_span(
        f"Attempt.{name}",
        context=trace.set_span_in_context(parent),
        kind=trace.SpanKind.INTERNAL,
        attributes=attributes,
    )


def server_span(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> trace.Span:
    """Starts the span of a call that is served; its parent is the attempt whose traceparent is in `metadata`."""
    if _tracer is None:
        return OFF
    name = method.removeprefix("/")
    carrier = {key: value for key, value in metadata if key in _PROPAGATOR.fields and isinstance(value, str)}
    return _tracer.start_span(
        name,
        # Never the current context: it would be that of whoever started the server.
        context=_PROPAGATOR.extract(carrier, Context()),
        kind=trace.SpanKind.SERVER,
        attributes={names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: name},
    )


def current(span: trace.Span) -> AbstractContextManager[object]:
    """Makes `span` the current one for a block, so that logs and the calls made inside belong to it."""
    if span is OFF:
        return nullcontext()
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def current_exemplar() -> Exemplary | None:
    """The traced call in whose handler this is asked; None elsewhere."""
    found = trace.get_current_span()
    return found if hasattr(found, "exemplar") else None


def inject(span: trace.Span, metadata: list[tuple[str, str | bytes]]) -> None:
    """Adds the W3C headers that make `span` the parent of what the receiver does."""
    if span is OFF:
        return
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
    metadata.extend(carrier.items())


def add_event(
    span: trace.Span, name: str, attributes: Mapping[str, str | int | float | bool | Sequence[str]] | None = None
) -> None:
    """Notes something that happened during the call: a refusal by a breaker, a shed."""
    if span is not OFF:
        span.add_event(name, attributes)


def end_span(span: trace.Span, code: grpc.StatusCode, details: str = "", *, lost: bool = False) -> None:
    """Ends a span with the call's outcome. `lost`: a hedge that another attempt has beaten, cancelled but no error."""
    if span is OFF:
        return
    if span.is_recording():
        span.set_attribute(names.RPC_RESPONSE_STATUS_CODE, code.name)
        is_server = getattr(span, "kind", None) is trace.SpanKind.SERVER
        if code in SERVER_FAULTS if is_server else code is not grpc.StatusCode.OK and not lost:
            span.set_attribute(error_attributes.ERROR_TYPE, code.name)
            span.set_status(trace.StatusCode.ERROR, details or None)
    span.end()


@lru_cache(maxsize=1024)
def _server_address(target: str) -> Mapping[str, str | int]:
    """`server.address` and `server.port` of a target such as "local:///search" or "dns:///host:1"."""
    plain = target.rsplit("/", 1)[-1]
    host, colon, port = plain.rpartition(":")
    if colon and port.isascii() and port.isdigit() and "," not in plain:
        return {server_attributes.SERVER_ADDRESS: host.strip("[]"), server_attributes.SERVER_PORT: int(port)}
    return {server_attributes.SERVER_ADDRESS: plain}
