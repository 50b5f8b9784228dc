"""Spans of calls, by OpenTelemetry's conventions for RPC.

    client: call (CLIENT) > attempt (INTERNAL), one for each try  ~~ traceparent ~~>  server: the call served (SERVER)

Until `kit.observe.setup` turned tracing on, every function here returns at once: spans are `OFF` and nothing is sent.
Spans are records of our own (`kit.observe.records`), or the SDK's where a user has span processors that want them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from time import monotonic

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import rpc_attributes as names
from opentelemetry.semconv.attributes import error_attributes, network_attributes, server_attributes
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kit.observe._instruments import Exemplary
from kit.observe._state import STATE
from kit.observe.records import Pair, Plan, Quiet, Record

__all__ = [
    "OFF",
    "add_event",
    "attempt_plan",
    "attempt_span",
    "call_plan",
    "client_call_span",
    "current",
    "current_exemplar",
    "current_ids",
    "enabled",
    "end_span",
    "headers",
    "inject",
    "server_plan",
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
#: Statuses that are errors of a call that is made.
CLIENT_FAULTS = frozenset(code for code in grpc.StatusCode if code is not grpc.StatusCode.OK)

_PROPAGATOR = TraceContextTextMapPropagator()


def use_tracer(tracer: trace.Tracer | None) -> None:
    """Makes the kit's spans with `tracer` from now on, in place of records; None turns tracing off.

    `kit.observe.setup` calls it, and tests.
    """
    STATE.trace(tracer=tracer)


def enabled() -> bool:
    """Whether spans are made at all."""
    return STATE.recorder is not None or STATE.tracer is not None


@lru_cache(maxsize=4096)
def call_plan(method: str, target: str, *, streams: bool = False) -> Plan:
    """What the spans of calls of a method at a target have in common. `method` is "/package.Service/Method"."""
    name = method.removeprefix("/")
    attributes = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: name, **_server_address(target)}
    return Plan(trace.SpanKind.CLIENT, name, attributes, CLIENT_FAULTS, streams=streams)


@lru_cache(maxsize=4096)
def attempt_plan(method: str, number: int, peer: str, *, streams: bool = False) -> Plan:
    """What the spans of the same attempt of all calls at a peer have in common."""
    name = method.removeprefix("/")
    attributes: dict[str, str | int | float] = {
        names.RPC_SYSTEM_NAME: "grpc",
        names.RPC_METHOD: name,
        "rpc.grpc.attempt": number,
    }
    if peer:
        attributes[network_attributes.NETWORK_PEER_ADDRESS] = peer
    return Plan(trace.SpanKind.INTERNAL, f"Attempt.{name}", attributes, CLIENT_FAULTS, streams=streams)


@lru_cache(maxsize=4096)
def server_plan(method: str, *, streams: bool = False) -> Plan:
    """What the spans of a method that is served have in common."""
    name = method.removeprefix("/")
    attributes = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: name}
    return Plan(trace.SpanKind.SERVER, name, attributes, SERVER_FAULTS, streams=streams)


def client_call_span(method: str, target: str, *, streams: bool = False) -> trace.Span:
    """Starts the span of a whole call under the current span. `method` is "/package.Service/Method"."""
    if STATE.recorder is not None:
        return STATE.recorder.called(call_plan(method, target, streams=streams), monotonic())
    if STATE.tracer is None:
        return OFF
    plan = call_plan(method, target)
    return STATE.tracer.start_span(plan.name, kind=plan.kind, attributes=plan.attributes)


def attempt_span(
    parent: trace.Span,
    method: str,
    attempt_no: int,
    peer: str = "",
    *,
    delay: float | None = None,
    streams: bool = False,
) -> trace.Span:
    """Starts the span of an attempt under the call's. `attempt_no` 1 is the first; `delay`: seconds waited before."""
    if parent is OFF:
        return OFF
    plan = attempt_plan(method, attempt_no, peer, streams=streams)
    if type(parent) is Record:
        if STATE.recorder is None:
            return OFF
        record = STATE.recorder.attempted(plan, parent, monotonic())
        if delay is not None:
            record.set_attribute("rpc.grpc.attempt.delay", delay)
        return record
    if STATE.tracer is None:
        return OFF
    attributes = plan.attributes if delay is None else {**plan.attributes, "rpc.grpc.attempt.delay": delay}
    return STATE.tracer.start_span(
        plan.name, context=trace.set_span_in_context(parent), kind=plan.kind, attributes=attributes
    )


def server_span(method: str, metadata: Iterable[tuple[str, str | bytes]], *, streams: bool = False) -> trace.Span:
    """Starts the span of a call that is served; its parent is the attempt whose traceparent is in `metadata`.

    A record is the current span at once, so the context must be the call's own; the SDK's wants `current`.
    """
    if STATE.recorder is not None:
        return STATE.recorder.served(server_plan(method, streams=streams), metadata, monotonic())
    if STATE.tracer is None:
        return OFF
    plan = server_plan(method)
    carrier = {key: value for key, value in metadata if key in _PROPAGATOR.fields and isinstance(value, str)}
    return STATE.tracer.start_span(
        plan.name,
        # Never the current context: it would be that of whoever started the server.
        context=_PROPAGATOR.extract(carrier, Context()),
        kind=plan.kind,
        attributes=plan.attributes,
    )


def current(span: trace.Span) -> AbstractContextManager[object]:
    """Makes `span` the current one for a block, so that logs and the calls made inside belong to it."""
    if span is OFF:
        return nullcontext()
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def current_ids() -> tuple[str, str] | None:
    """Trace id and span id of the current span in hexadecimal, for a log line; None where there is none."""
    found: trace.Span = trace.get_current_span()
    if type(found) is Quiet:
        found = found.record()
    if type(found) is Record:
        return found.trace_id, found.span_id
    context = found.get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def current_exemplar() -> Exemplary | None:
    """The traced call in whose handler this is asked; None elsewhere."""
    found = trace.get_current_span()
    return found if type(found) is Record and found.sampled else None


def inject(span: trace.Span, metadata: list[tuple[str, str | bytes]]) -> None:
    """Adds the W3C headers that make `span` the parent of what the receiver does."""
    if span is OFF:
        return
    if type(span) is Record:
        metadata += headers(span)
        return
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
    metadata.extend(carrier.items())


def headers(record: Record | Pair) -> tuple[tuple[str, str], ...]:
    """The W3C headers of a record."""
    if record.state:
        return (("traceparent", record.traceparent()), ("tracestate", record.state))
    return (("traceparent", record.traceparent()),)


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
    if type(span) is Quiet:
        span = span.record()
    if type(span) is Record:
        span.finish(code, details, lost=lost)
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
