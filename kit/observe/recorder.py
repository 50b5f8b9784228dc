"""Begins the records of calls, under the right parent and as the sampler decides, and takes them in when they end."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from random import getrandbits
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import SpanContext, TraceFlags

from kit.observe.records import Metadata, Pair, Plan, Quiet, Record

if TYPE_CHECKING:
    from kit.observe._sampling import Sampling

__all__ = ["Keeping", "Kept", "Recorder", "Sink"]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
#: The lower half of a trace id, by which samplers decide.
_MASK = (1 << 64) - 1
#: Of a traceparent of version 00.
_LENGTH = 55
#: How OpenTelemetry's context names the current span.
_CURRENT = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


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
            ids = f"{getrandbits(192):048x}"
            trace_id, span_id = ids[:32], ids[32:]
        else:
            span_id = f"{getrandbits(64):016x}"
        sampling = self._sampling
        if flag is not None and sampling.by_parent:
            sampled = flag
        else:
            sampled = self._asked(plan, trace_id, parent_id, flag, remote=True)
        return Record(plan, trace_id, span_id, parent_id, sampled, started, state, bool(parent_id))

    def called(self, plan: Plan, started: float) -> Record:
        """The record of a call that is made, under the current span."""
        trace_id, parent_id, sampled, state = self._under_current(plan)
        ids = f"{getrandbits(192):048x}"
        return Record(plan, trace_id or ids[:32], ids[32:], parent_id, sampled, started, state)

    def paired(self, plan: Plan, attempted: Plan, started: float) -> Pair:
        """The record of a call and its first attempt, under the current span."""
        sampling = self._sampling
        if sampling.asked is None and _CURRENT not in get_current():
            bits = getrandbits(256)
            sampled = (bits >> 128) & _MASK < sampling.bound
            return Pair(plan, attempted, f"{bits:064x}", "", sampled, started, "")
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
        from opentelemetry.sdk.trace.sampling import Decision

        context = Context()
        if parent_id:
            flags = _SAMPLED if flag else _NOT_SAMPLED
            parent = SpanContext(int(trace_id, 16), int(parent_id, 16), remote, flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        result = sampling.asked.should_sample(context, int(trace_id, 16), plan.name, plan.kind, dict(plan.attributes))
        return result.decision is Decision.RECORD_AND_SAMPLE

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
