"""What is kept of a call that is traced: a record of a few numbers, which becomes a span later, off its path.

Theory of operation. Starting and ending a span of the SDK costs a served call of 150 us some 20 us, sampled or not. A
`Record` is made in one, whatever the sampler says: a call that is not sampled needs ids as well, to be handed on and
logged. When it ends it is put into a list (`kit.observe._batch`), if it was sampled, or if it failed or was slow and
`Keeping` has room for it; otherwise it is forgotten. A `Record` is a `trace.Span` too, and the current one while a
handler runs, so that what plain OpenTelemetry code does there ends up under it.

Instants are monotonic seconds; what is exported is told by the wall clock as of then (`kit.observe._encode`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import getrandbits
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import grpc
from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.util import types

from kit.observe._state import STATE

if TYPE_CHECKING:
    from kit.observe._sampling import Sampling

__all__ = ["Keeping", "Kept", "Pair", "Plan", "Quiet", "Record", "Recorder", "Sink"]

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

_OK = grpc.StatusCode.OK
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
#: Of a traceparent of version 00.
_LENGTH = 55
#: How OpenTelemetry's context names the current span.
_CURRENT = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
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

    __slots__ = ("attempt_id", "attempted", "ended", "parent_id", "plan", "sampled", "span_id", "started", "state", "trace_id")

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
        return self._record

    def get_span_context(self) -> SpanContext:
        return self.record().get_span_context()

    def __repr__(self) -> str:
        return f"Quiet({self.plan.name})"


class Sink(Protocol):
    """Takes what has ended."""

    def add(self, item: Any) -> None:
        """Never waits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record that was kept though it was not sampled, and why: "error" or "slow"."""

    record: Record | Pair
    why: str


class Keeping:
    """Which calls are kept though they were not sampled: those that failed or were slow, so many per second."""

    __slots__ = ("_at", "_left", "errors", "per_second", "slower_than")

    def __init__(self, *, errors: bool, slower_than: float, per_second: float) -> None:
        self.errors = errors
        #: Seconds; infinite for never.
        self.slower_than = slower_than
        self.per_second = per_second
        self._left = per_second
        self._at = 0.0

    def why(self, record: Record | Pair) -> str:
        """Why the record is kept; "" where it is not."""
        if self.errors and record.is_error:
            return "error" if self._room(record.ended) else ""
        if record.ended - record.started > self.slower_than and record.may_be_slow:
            return "slow" if self._room(record.ended) else ""
        return ""

    def _room(self, now: float) -> bool:
        self._left = min(self.per_second, self._left + max(0.0, now - self._at) * self.per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Recorder:
    """Begins records and takes them in when they have ended."""

    __slots__ = ("_keeping", "_sampling", "_sink", "slower_than", "take")

    def __init__(self, sampling: Sampling, keeping: Keeping | None, sink: Sink) -> None:
        self._sampling = sampling
        self._keeping = keeping
        #: Takes what was sampled.
        self.take = sink.add
        self._sink = sink
        #: Seconds after which a call is worth being looked at though it was not sampled, and did not fail.
        self.slower_than = math.inf if keeping is None else keeping.slower_than

    def served(self, plan: Plan, metadata: Metadata, started: float) -> Record | Quiet:
        """The record of a call that is served, current from now on in this context, which must be the call's own."""
        if self._sampling.by_parent:
            for key, value in metadata:
                if key == "traceparent":
                    if len(value) == _LENGTH and value[-3:] == "-00":
                        quiet = Quiet(self, plan, metadata, started)
                        attach(Context({_CURRENT: quiet}))
                        return quiet
                    break
        record = self.begun(plan, metadata, started)
        attach(Context({_CURRENT: record}))
        return record

    def begun(self, plan: Plan, metadata: Metadata, started: float) -> Record:
        """The same, current nowhere."""
        trace_id = parent_id = state = ""
        flag: bool | None = None
        for key, value in metadata:
            if key == "traceparent" and isinstance(value, str):
                found = _TRACEPARENT.fullmatch(value)
                if found is not None:
                    trace_id, parent_id, flags = found.groups()
                    flag = int(flags, 16) & 1 == 1
            elif key == "tracestate" and isinstance(value, str):
                state = f"{state},{value}" if state else value
        if not trace_id:
            state = ""
            ids = "%048x" % getrandbits(192)
            trace_id, span_id = ids[:32], ids[32:]
        else:
            span_id = "%016x" % getrandbits(64)
        sampling = self._sampling
        if flag is not None and sampling.by_parent:
            sampled = flag
        else:
            sampled = self._asked(plan, trace_id, parent_id, flag, remote=True)
        return Record(plan, trace_id, span_id, parent_id, sampled, started, state, bool(parent_id))

    def called(self, plan: Plan, started: float) -> Record:
        """The record of a call that is made, under the current span."""
        trace_id, parent_id, sampled, state = self._under_current(plan)
        ids = "%048x" % getrandbits(192)
        return Record(plan, trace_id or ids[:32], ids[32:], parent_id, sampled, started, state)

    def paired(self, plan: Plan, attempted: Plan, started: float) -> Pair:
        """The record of a call and its first attempt, under the current span."""
        trace_id, parent_id, sampled, state = self._under_current(plan)
        return Pair(plan, attempted, f"{trace_id}{getrandbits(128):032x}", parent_id, sampled, started, state)

    def _under_current(self, plan: Plan) -> tuple[str, str, bool, str]:
        """Trace id, parent, whether it is sampled, tracestate."""
        current: Any = get_current().get(_CURRENT, trace.INVALID_SPAN)
        if type(current) is Quiet:
            current = current.record()
        if type(current) is Record:
            if self._sampling.by_parent:
                return current.trace_id, current.span_id, current.sampled, current.state
            trace_id, parent_id, flag, state = current.trace_id, current.span_id, current.sampled, current.state
        else:
            context = current.get_span_context()
            if not context.is_valid:
                trace_id = f"{getrandbits(128) or 1:032x}"
                return trace_id, "", self._asked(plan, trace_id, "", None), ""
            trace_id, parent_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            flag, state = context.trace_flags.sampled, context.trace_state.to_header()
        return trace_id, parent_id, self._asked(plan, trace_id, parent_id, flag), state

    def _asked(self, plan: Plan, trace_id: str, parent_id: str, flag: bool | None, *, remote: bool = False) -> bool:
        sampling = self._sampling
        if sampling.asked is None:
            return flag if flag is not None and sampling.by_parent else int(trace_id[16:], 16) < sampling.bound
        context = Context()
        if parent_id:
            flags = _SAMPLED if flag else _NOT_SAMPLED
            parent = SpanContext(int(trace_id, 16), int(parent_id, 16), remote, flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        result = sampling.asked.should_sample(
            context, int(trace_id, 16), plan.name, plan.kind, dict(plan.attributes)
        )
        return result.decision.is_sampled()

    def attempted(self, plan: Plan, call: Record, started: float) -> Record:
        """The record of an attempt of a call."""
        return Record(plan, call.trace_id, f"{getrandbits(64):016x}", call.span_id, call.sampled, started, call.state)

    def ended(self, record: Record | Pair) -> None:
        """Takes in a record that has ended."""
        if record.sampled:
            self._sink.add(record)
        elif self._keeping is not None:
            why = self._keeping.why(record)
            if why:
                self._sink.add(Kept(record=record, why=why))
