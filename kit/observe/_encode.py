"""Records become spans: in bytes, as OTLP has them, or as the SDK's `ReadableSpan` for exporters of a user's own.

What all spans of a plan with the same outcome have in common is serialised once, by the class of the protobuf message
itself; to it come ids and times, which have a fixed length. The fields of a message may stand in any order, so the two
are a valid message together. A record with something of its own (an event, an attribute, a text) goes by the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from time import monotonic_ns, time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv._incubating.attributes import rpc_attributes
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import Link, SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState

from kit.observe.recorder import Kept
from kit.observe.records import Pair, Plan, Record

__all__ = ["KEPT", "Encoder"]

#: The attribute of a span that was kept though it was not sampled: "error" or "slow".
KEPT = "kit.kept"

_SCOPE = InstrumentationScope("kit")
#: trace_id, span_id, parent_span_id, start_time_unix_nano, end_time_unix_nano: a tag (and a length) before each.
_WITH_PARENT = Struct("<2s16s2s8s2s8sBQBQ")
_WITHOUT_PARENT = Struct("<2s16s2s8sBQBQ")
_TRACE_ID, _SPAN_ID, _PARENT_ID, _START, _END = b"\x0a\x10", b"\x12\x08", b"\x22\x08", 0x39, 0x41
#: The tag of the spans in the message around them, and that message's in the one around it.
_SPANS, _SCOPE_SPANS, _RESOURCE_SPANS = b"\x12", b"\x12", b"\x0a"


class Encoder:
    """For the spans of one process."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        [empty] = encode_spans([self._span(_ANY)]).resource_spans
        [scope] = empty.scope_spans
        scope.ClearField("spans")
        self._scope = scope.SerializeToString()
        empty.ClearField("scope_spans")
        self._head = empty.SerializeToString()

    def request(self, items: Sequence[Any]) -> trace_service_pb2.ExportTraceServiceRequest:
        """The message for a collector, of records and of spans that the SDK has made."""
        offset = time_ns() - monotonic_ns()
        parts: list[bytes] = []
        others: list[ReadableSpan] = []
        for item in items:
            kind = type(item)
            if kind is Pair and not item.state:
                _pair(item, offset, parts)
            elif kind is Record and item.extra is None and not item.details and not item.state:
                parts.append(_plain(item, offset))
            elif isinstance(item, ReadableSpan):
                others.append(item)
            else:
                others += self.spans([item], offset)
        body = self._scope + b"".join(parts)
        whole = self._head + _SCOPE_SPANS + _varint(len(body)) + body
        request = trace_service_pb2.ExportTraceServiceRequest()
        if parts:
            request.MergeFromString(_RESOURCE_SPANS + _varint(len(whole)) + whole)
        if others:
            request.MergeFrom(encode_spans(others))
        return request

    def spans(self, items: Sequence[Any], offset: int | None = None) -> list[ReadableSpan]:
        """The same as the SDK's spans."""
        if offset is None:
            offset = time_ns() - monotonic_ns()
        found: list[ReadableSpan] = []
        for item in items:
            if isinstance(item, ReadableSpan):
                found.append(item)
                continue
            record, why = (item.record, item.why) if isinstance(item, Kept) else (item, "")
            whole = record.records() if isinstance(record, Pair) else (record,)
            found += [self._span(one, offset, why) for one in whole]
        return found

    def _span(self, record: Record, offset: int = 0, why: str = "") -> ReadableSpan:
        plan, extra = record.plan, record.extra
        flags = TraceFlags(TraceFlags.SAMPLED)
        state = TraceState.from_header([record.state]) if record.state else None
        trace_id = int(record.trace_id, 16)
        parent = None
        if record.parent_id:
            parent = SpanContext(trace_id, int(record.parent_id, 16), record.remote, flags, state)
        attributes: dict[str, Any] = {
            **plan.attributes,
            rpc_attributes.RPC_RESPONSE_STATUS_CODE: record.code.name,
        }
        status = trace.Status(trace.StatusCode.UNSET)
        if record.is_error:
            attributes[error_attributes.ERROR_TYPE] = record.code.name
            status = trace.Status(trace.StatusCode.ERROR, record.details or None)
        if why:
            attributes[KEPT] = why
        name, events, links = plan.name, [], []
        if extra is not None:
            attributes.update(extra.attributes)
            name = extra.name or name
            events = [Event(what, more, _wall(when, offset)) for what, when, more in extra.events]
            links = [Link(context, more) for context, more in extra.links]
            if extra.status is not None and not record.is_error:
                error = extra.status is trace.StatusCode.ERROR
                status = trace.Status(extra.status, (extra.described or None) if error else None)
        return ReadableSpan(
            name=name,
            context=SpanContext(trace_id, int(record.span_id, 16), False, flags, state),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            events=events,
            links=links,
            kind=plan.kind,
            status=status,
            start_time=_wall(record.started, offset),
            end_time=_wall(record.ended, offset),
            instrumentation_scope=_SCOPE,
        )


class _Template:
    """What spans of a plan with the same outcome have in common, ready to be sent."""

    __slots__ = ("head", "tail")

    def __init__(self, record: Record) -> None:
        span = Encoder.__new__(Encoder)
        span._resource = Resource.get_empty()
        [found] = encode_spans([span._span(record)]).resource_spans[0].scope_spans[0].spans
        message = trace_pb2.Span()
        message.CopyFrom(found)
        for field in ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano", "end_time_unix_nano"):
            message.ClearField(field)
        self.tail = message.SerializeToString()
        size = (_WITH_PARENT if record.parent_id else _WITHOUT_PARENT).size
        self.head = _SPANS + _varint(size + len(self.tail))


def _template(plan: Plan, record: Record | Pair, key: Any, attempt: bool = False) -> _Template:
    found = plan.templates.get(key)
    if found is None:
        whole = record if isinstance(record, Record) else record.records()[attempt]
        found = plan.templates[key] = _Template(whole)
    return found


def _plain(record: Record, offset: int) -> bytes:
    code = record.code
    parent = record.parent_id
    template = _template(record.plan, record, (code, bool(parent), record.remote, record.lost))
    start, end = int(record.started * 1e9) + offset, int(record.ended * 1e9) + offset
    trace_id, span_id = bytes.fromhex(record.trace_id), bytes.fromhex(record.span_id)
    if parent:
        packed = _WITH_PARENT.pack(
            _TRACE_ID, trace_id, _SPAN_ID, span_id, _PARENT_ID, bytes.fromhex(parent), _START, start, _END, end
        )
    else:
        packed = _WITHOUT_PARENT.pack(_TRACE_ID, trace_id, _SPAN_ID, span_id, _START, start, _END, end)
    return template.head + packed + template.tail


def _pair(pair: Pair, offset: int, parts: list[bytes]) -> None:
    parent = pair.parent_id
    call = _template(pair.plan, pair, bool(parent))
    attempt = _template(pair.attempted, pair, True, attempt=True)
    start, end = int(pair.started * 1e9) + offset, int(pair.ended * 1e9) + offset
    trace_id, span_id = bytes.fromhex(pair.trace_id), bytes.fromhex(pair.span_id)
    if parent:
        packed = _WITH_PARENT.pack(
            _TRACE_ID, trace_id, _SPAN_ID, span_id, _PARENT_ID, bytes.fromhex(parent), _START, start, _END, end
        )
    else:
        packed = _WITHOUT_PARENT.pack(_TRACE_ID, trace_id, _SPAN_ID, span_id, _START, start, _END, end)
    second = _WITH_PARENT.pack(
        *(_TRACE_ID, trace_id, _SPAN_ID, bytes.fromhex(pair.attempt_id), _PARENT_ID, span_id, _START, start, _END, end)
    )
    parts.append(call.head + packed + call.tail + attempt.head + second + attempt.tail)


def _wall(instant: float, offset: int) -> int:
    return int(instant * 1e9) + offset


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ANY = Record(Plan(trace.SpanKind.INTERNAL, "any", {}, frozenset()), "1" * 32, "1" * 16, "", True, 0.0)
