"""What is kept of a call that is traced: a record of a few numbers, which becomes a span later, off its path.

Theory of operation. Starting and ending a span of the SDK costs a served call of 150 us some 20 us, sampled or not. A
`Record` is made in one, whatever the sampler says: a call that is not sampled needs ids as well, to be handed on and
logged. When it ends it is put into a list (`kit.observe._batch`), if it was sampled, or if it failed or was slow
(`kit.observe.recorder`); otherwise it is forgotten. A `Record` is a `trace.Span` too, and the current one while a
handler runs, so that what plain OpenTelemetry code does there ends up under it.

Instants are monotonic seconds; what is exported is told by the wall clock as of then (`kit.observe._encode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.util import types

from kit.observe._state import STATE

if TYPE_CHECKING:
    from kit.observe.recorder import Recorder

__all__ = ["Extra", "Metadata", "Pair", "Plan", "Quiet", "Record"]

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

_OK = grpc.StatusCode.OK
_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


class Plan:
    """What all spans of one kind have in common: made once for each method, target, and peer."""

    __slots__ = ("attributes", "errors", "kind", "name", "streams", "templates")

    def __init__(
        self,
        kind: trace.SpanKind,
        name: str,
        attributes: Mapping[str, str | int | float],
        errors: frozenset[grpc.StatusCode],
        *,
        streams: bool = False,
    ) -> None:
        self.kind = kind
        self.name = name
        self.attributes = dict(attributes)
        #: The statuses that are errors of the span.
        self.errors = errors
        #: How long a stream takes says nothing of how slow it is.
        self.streams = streams
        #: For whoever encodes them.
        self.templates: dict[Any, Any] = {}


class Extra:
    """What few spans have: attributes and events of their own, another name or status."""

    __slots__ = ("attributes", "described", "events", "links", "name", "status")

    def __init__(self) -> None:
        self.attributes: dict[str, types.AttributeValue] = {}
        self.events: list[tuple[str, float, dict[str, types.AttributeValue]]] = []
        self.links: list[tuple[SpanContext, types.Attributes]] = []
        self.name = ""
        self.status: trace.StatusCode | None = None
        self.described = ""


class Record(trace.Span):
    """A span: ids in hexadecimal, instants, the outcome. It is no more changed once it has ended."""

    __slots__ = (
        "code",
        "details",
        "ended",
        "extra",
        "lost",
        "parent_id",
        "plan",
        "remote",
        "sampled",
        "span_id",
        "started",
        "state",
        "trace_id",
    )

    def __init__(
        self,
        plan: Plan,
        trace_id: str,
        span_id: str,
        parent_id: str,
        sampled: bool,
        started: float,
        state: str = "",
        remote: bool = False,
    ) -> None:
        self.plan = plan
        self.trace_id = trace_id
        self.span_id = span_id
        #: "" where it has no parent.
        self.parent_id = parent_id
        self.sampled = sampled
        self.started = started
        #: The tracestate that came with the trace, handed on as it is.
        self.state = state
        #: Whether the parent is another process's.
        self.remote = remote
        self.ended = 0.0
        self.code: grpc.StatusCode = _OK
        self.details = ""
        self.lost = False
        self.extra: Extra | None = None

    # What the kit does with it

    @property
    def is_error(self) -> bool:
        """Whether it ended with a status that is an error of its side."""
        return self.code in self.plan.errors and not self.lost

    @property
    def may_be_slow(self) -> bool:
        """Whether its duration says that it was slow."""
        return not self.plan.streams

    def record(self) -> Record:
        """Itself; see `Quiet`."""
        return self

    def traceparent(self) -> str:
        """The header that makes it the parent of what the receiver does."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def finish(self, code: grpc.StatusCode, details: str = "", *, lost: bool = False, now: float | None = None) -> None:
        """Ends it; a second time changes nothing."""
        if self.ended:
            return
        self.ended = monotonic() if now is None else now
        self.code, self.details, self.lost = code, details, lost
        recorder = STATE.recorder
        if recorder is not None:
            recorder.ended(self)

    def exemplar(self) -> tuple[str, str, float]:
        """For a bucket of a histogram; see `kit.observe.metrics`."""
        return self.trace_id, self.span_id, time() - monotonic() + (self.ended or monotonic())

    # What others' code does with the current span

    def get_span_context(self) -> SpanContext:
        return SpanContext(
            int(self.trace_id, 16),
            int(self.span_id, 16),
            False,
            _SAMPLED if self.sampled else _NOT_SAMPLED,
            TraceState.from_header([self.state]) if self.state else None,
        )

    def is_recording(self) -> bool:
        return self.sampled and not self.ended

    def _extra(self) -> Extra:
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        if not self.ended:
            self._extra().attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        if not self.ended:
            self._extra().attributes.update(attributes)

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        if not self.ended:
            when = monotonic() if timestamp is None else timestamp / 1e9 - (time() - monotonic())
            self._extra().events.append((name, when, dict(attributes or {})))

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        if not self.ended:
            self._extra().links.append((context, attributes))

    def update_name(self, name: str) -> None:
        if not self.ended:
            self._extra().name = name

    def set_status(self, status: trace.Status | trace.StatusCode, description: str | None = None) -> None:
        if self.ended:
            return
        given = status if isinstance(status, trace.Status) else trace.Status(status, description)
        extra = self._extra()
        extra.status, extra.described = given.status_code, given.description or ""

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        what = {"exception.type": type(exception).__qualname__, "exception.message": str(exception)}
        self.add_event("exception", {**what, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """The kit ends it, when the call has its outcome."""


class Pair:
    """A call and its only attempt, which succeeded: two spans that differ in their names alone."""

    __slots__ = (
        "attempt_id",
        "attempted",
        "ended",
        "parent_id",
        "plan",
        "sampled",
        "span_id",
        "started",
        "state",
        "trace_id",
    )

    is_error = False
    may_be_slow = True

    def __init__(
        self, plan: Plan, attempted: Plan, ids: str, parent_id: str, sampled: bool, started: float, state: str
    ) -> None:
        """`ids` are a trace id, a span id for the call and one for the attempt, in one text."""
        self.plan = plan
        self.attempted = attempted
        self.trace_id = ids[:32]
        self.span_id = ids[32:48]
        self.attempt_id = ids[48:]
        self.parent_id = parent_id
        self.sampled = sampled
        self.started = started
        self.state = state
        self.ended = 0.0

    def exemplar(self) -> tuple[str, str, float]:
        """As a record's."""
        return self.trace_id, self.span_id, time() - monotonic() + (self.ended or monotonic())

    def traceparent(self) -> str:
        """That of the attempt."""
        return f"00-{self.trace_id}-{self.attempt_id}-{'01' if self.sampled else '00'}"

    def records(self) -> tuple[Record, Record]:
        """The call and the attempt for themselves, where they go on as such."""
        call = Record(self.plan, self.trace_id, self.span_id, self.parent_id, self.sampled, self.started, self.state)
        attempt = Record(
            self.attempted, self.trace_id, self.attempt_id, self.span_id, self.sampled, self.started, self.state
        )
        for record in (call, attempt):
            record.ended = self.ended
        return call, attempt


class Quiet(trace.NonRecordingSpan):
    """A call that is served and not sampled, as who called has decided. Made a record where somebody asks for more."""

    __slots__ = ("_metadata", "_record", "_recorder", "plan", "started")

    sampled = False

    def __init__(self, recorder: Recorder, plan: Plan, metadata: Metadata, started: float) -> None:
        self._recorder = recorder
        self._metadata = metadata
        self._record: Record | None = None
        self.plan = plan
        self.started = started

    def record(self) -> Record:
        """The call as a record."""
        if self._record is None:
            self._record = self._recorder.begun(self.plan, self._metadata, self.started)
            # Also where the header, which said so, turns out to be damaged.
            self._record.sampled = False
        return self._record

    def get_span_context(self) -> SpanContext:
        return self.record().get_span_context()

    def __repr__(self) -> str:
        return f"Quiet({self.plan.name})"
