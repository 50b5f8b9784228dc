"""Records: whose child a call is, whether it is taken, what is kept all the same, and what plain code sees."""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanContext, TraceFlags

from kit.observe import tracing
from kit.observe._sampling import Sampling
from kit.observe._state import STATE
from kit.observe.recorder import Keeping, Kept, Recorder
from kit.observe.records import Pair, Quiet, Record

Code = grpc.StatusCode
METHOD = "/shop.v1.Shop/Buy"
PLAN = tracing.server_plan(METHOD)
CALL, TRY = tracing.call_plan(METHOD, "shop:1"), tracing.attempt_plan(METHOD, 1, "10.0.0.1:1")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Taken(list[Any]):
    def add(self, item: Any) -> None:
        self.append(item)


@pytest.fixture
def taken() -> Iterator[Taken]:
    yield Taken()
    STATE.trace()


def recorder(taken: Taken, sampler: Sampler = DEFAULT_ON, keeping: Keeping | None = None) -> Recorder:
    made = Recorder(Sampling(sampler), keeping, taken)
    STATE.trace(recorder=made)
    return made


def alone(work: Callable[[], Any]) -> Any:
    """In a context of its own, as each call is served."""
    return contextvars.Context().run(work)


def served(made: Recorder, *metadata: tuple[str, str | bytes]) -> Record:
    return alone(lambda: made.served(PLAN, metadata, 1.0)).record()  # type: ignore[no-any-return]  # Context.run


@pytest.mark.parametrize("flag", ["01", "00", "03"])
def test_a_served_call_continues_the_trace_of_its_caller_and_takes_over_its_decision(taken: Taken, flag: str) -> None:
    record = served(recorder(taken), ("x", "y"), ("traceparent", f"00-{TRACE}-{SPAN}-{flag}"), ("tracestate", "a=1"))
    assert (record.trace_id, record.parent_id, record.remote) == (TRACE, SPAN, True)
    assert record.sampled == (flag != "00")
    assert record.state == "a=1"
    assert len(record.span_id) == 16
    assert record.span_id != SPAN


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        b"\xff",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'z' * 32}-{SPAN}-00",
        f" 00-{TRACE}-{SPAN}-0",
    ],
)
def test_a_damaged_traceparent_begins_a_trace_of_its_own(taken: Taken, value: str | bytes) -> None:
    record = served(recorder(taken), ("traceparent", value), ("tracestate", "a=1"))
    assert record.trace_id != TRACE
    assert (record.parent_id, record.state, record.remote) == ("", "", False)
    assert record.get_span_context().is_valid


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known(taken: Taken) -> None:
    assert served(recorder(taken), ("traceparent", f"01-{TRACE}-{SPAN}-01-more")).trace_id == TRACE


def test_calls_hang_under_the_current_span_whoever_made_it(taken: Taken) -> None:
    made = recorder(taken)

    def work() -> None:
        record = made.served(PLAN, (("traceparent", f"00-{TRACE}-{SPAN}-01"),), 1.0).record()
        assert trace.get_current_span() is record
        below = made.called(CALL, 2.0)
        assert (below.trace_id, below.parent_id, below.sampled) == (TRACE, record.span_id, True)
        context = SpanContext(int(TRACE, 16), 5, False, TraceFlags(0))
        with trace.use_span(trace.NonRecordingSpan(context)):
            pair = made.paired(CALL, TRY, 2.0)
        assert (pair.trace_id, pair.parent_id, pair.sampled) == (TRACE, f"{5:016x}", False)

    alone(work)
    top = alone(lambda: made.called(CALL, 1.0))
    assert (top.parent_id, top.sampled) == ("", True)


def test_inside_a_call_that_is_not_sampled_nothing_is_recorded_but_ids_are_there(taken: Taken) -> None:
    made = recorder(taken)

    def work() -> None:
        quiet = made.served(PLAN, (("traceparent", f"00-{TRACE}-{SPAN}-00"),), 1.0)
        current = trace.get_current_span()
        assert type(current) is type(quiet) is Quiet
        assert not current.is_recording()
        current.set_attribute("a", 1)
        ids = tracing.current_ids()
        assert ids == (TRACE, quiet.record().span_id)
        assert f"{current.get_span_context().span_id:016x}" == ids[1]
        pair = made.paired(CALL, TRY, 1.0)
        assert (pair.trace_id, pair.parent_id, pair.sampled) == (TRACE, ids[1], False)
        assert pair.traceparent() == f"00-{TRACE}-{pair.attempt_id}-00"

    alone(work)


@pytest.mark.parametrize(
    "sampler",
    [
        ALWAYS_ON,
        ALWAYS_OFF,
        DEFAULT_ON,
        DEFAULT_OFF,
        TraceIdRatioBased(0.3),
        ParentBasedTraceIdRatio(0.3),
        ParentBased(TraceIdRatioBased(0.5), remote_parent_not_sampled=ALWAYS_ON),
        ParentBased(ALWAYS_OFF, local_parent_sampled=ALWAYS_OFF),
    ],
    ids=lambda sampler: sampler.get_description()[:60],
)
@pytest.mark.parametrize("parent", ["none", "remote 00", "remote 01", "local 0", "local 1"])
def test_the_decision_is_the_samplers_own(
    taken: Taken, sampler: Sampler, parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    monkeypatch.setattr("kit.observe.recorder.getrandbits", chance.getrandbits)
    made = recorder(taken, sampler)
    where, _, flag = parent.partition(" ")
    for number in range(50):
        given = f"{chance.getrandbits(128):032x}"
        if where == "remote":
            record = served(made, ("traceparent", f"00-{given}-{SPAN}-{flag}"))
        elif where == "local":
            context = SpanContext(int(given, 16), 5, False, TraceFlags(int(flag)))
            with trace.use_span(trace.NonRecordingSpan(context)):
                record = made.called(CALL, 1.0)
        else:
            record = alone(lambda: made.called(CALL, 1.0)) if number % 2 else served(made)
        above = Context()
        if where != "none":
            flags = TraceFlags(int(flag[-1]))
            span = SpanContext(int(given, 16), 5, where == "remote", flags)
            above = trace.set_span_in_context(trace.NonRecordingSpan(span), Context())
        wanted = sampler.should_sample(above, int(record.trace_id, 16), "x").decision.is_sampled()  # type: ignore[no-untyped-call]  # the SDK's
        assert record.sampled == wanted


def test_usual_samplers_are_taken_apart_and_others_are_asked() -> None:
    assert Sampling(ALWAYS_OFF).is_off
    assert Sampling(DEFAULT_OFF).is_off
    assert Sampling(ParentBasedTraceIdRatio(0.25)).bound == 1 << 62
    assert not Sampling(ParentBasedTraceIdRatio(0.25)).is_off
    assert Sampling(ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF)).asked is not None


def test_what_was_sampled_is_taken_once_and_no_more_changed(taken: Taken) -> None:
    made = recorder(taken)
    record = alone(lambda: made.called(CALL, 1.0))
    assert record.is_recording()
    record.finish(Code.NOT_FOUND, "no", now=2.0)
    record.finish(Code.OK)
    record.set_attribute("late", 1)
    record.set_attributes({"late": 1})
    record.add_event("late")
    record.update_name("late")
    record.set_status(trace.StatusCode.OK)
    assert taken == [record]
    assert (record.code, record.ended, record.extra, record.is_recording()) == (Code.NOT_FOUND, 2.0, None, False)


def test_failed_and_slow_calls_are_kept_within_a_rate(taken: Taken) -> None:
    keeping = Keeping(errors=True, slower_than=0.5, per_second=2)
    made = recorder(taken, ParentBased(ALWAYS_OFF), keeping)

    def end(code: grpc.StatusCode, seconds: float, at: float, *, lost: bool = False) -> None:
        alone(lambda: made.called(CALL, at - seconds)).finish(code, lost=lost, now=at)

    end(Code.OK, 0.4, 100.0)
    end(Code.CANCELLED, 0.4, 100.0, lost=True)
    assert taken == []
    end(Code.INTERNAL, 0.1, 100.0)
    end(Code.OK, 0.6, 100.0)
    end(Code.INTERNAL, 0.1, 100.1)
    assert [kept.why for kept in taken] == ["error", "slow"]
    end(Code.INTERNAL, 0.1, 100.6)
    assert [kept.why for kept in taken] == ["error", "slow", "error"]
    assert all(isinstance(kept, Kept) for kept in taken)


def test_the_faults_of_a_caller_are_not_kept_by_the_server(taken: Taken) -> None:
    keeping = Keeping(errors=True, slower_than=10.0, per_second=10)
    made = recorder(taken, ParentBased(ALWAYS_OFF), keeping)
    for code in (Code.NOT_FOUND, Code.CANCELLED, Code.INTERNAL):
        served(made).finish(code, now=1.5)
    assert [kept.record.code for kept in taken] == [Code.INTERNAL]


def test_a_pair_that_goes_on_becomes_the_same_two_spans(taken: Taken) -> None:
    pair = alone(lambda: recorder(taken).paired(CALL, TRY, 1.0))
    assert isinstance(pair, Pair)
    call, attempt = pair.records()
    assert (call.span_id, attempt.span_id, attempt.parent_id) == (pair.span_id, pair.attempt_id, pair.span_id)
    assert attempt.traceparent() == pair.traceparent()
    assert len({pair.trace_id, pair.span_id, pair.attempt_id}) == 3
    assert call.started == attempt.started == 1.0
