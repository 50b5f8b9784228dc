"""What is told of a whole call: its span, under which every attempt's hangs, and its counts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import grpc
from opentelemetry import trace

from kit.errors import CallRefused
from kit.observe import tracing
from kit.observe._instruments import Exemplary
from kit.observe._state import STATE
from kit.observe.calls import client_calls
from kit.observe.records import Record
from kit.pipeline import CANCELLED, Call, Handler, Method, Outcome

__all__ = ["TraceCallLayer", "example", "told"]

#: What happens at the end of a call or an attempt.
Ended = Callable[[grpc.StatusCode, str], None]


class TraceCallLayer:
    """One CLIENT span for each call, ended with what the caller sees; the call is counted then."""

    name = "trace call"

    def wrap(self, method: Method, inner: Handler) -> Handler:
        streams = method.shape.streams_responses or method.shape.streams_requests

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            return observed(call) if STATE.on else inner(call)

        async def observed(call: Call) -> Outcome:
            started = monotonic() if call.begun is None else call.begun.started
            if call.span is tracing.OFF and call.begun is None:
                call.span = tracing.client_call_span(method.path, method.target, streams=streams)
            span = call.span

            def ended(code: grpc.StatusCode, details: str) -> None:
                tracing.end_span(span, code, details)
                if STATE.metrics:
                    hedges = sum(tried.hedge for tried in call.attempts)
                    client_calls(method.path, method.target).ended(
                        code,
                        monotonic() - started,
                        example(span),
                        retries=len(call.attempts) - hedges - 1,
                        hedges=hedges,
                    )

            return await told(call, inner, ended, span)

        return handle


async def told(call: Call, inner: Handler, ended: Ended, span: trace.Span) -> Outcome:
    """What `inner` makes of the call. It has ended then, or, where the answer is a stream, when that has ended."""
    code, details = CANCELLED
    stays_open = False
    try:
        outcome = await inner(call)
        error = outcome.error
        if error is not None:
            code, details = error.code(), error.details() or ""
            if isinstance(error, CallRefused):
                tracing.add_event(span, "kit.refused", {"kit.refused.by": type(error).__name__})
        elif call.method.shape.streams_responses:
            stays_open = True
            call.when_ended(ended)
        else:
            code, details = grpc.StatusCode.OK, ""
        return outcome
    finally:
        if not stays_open:
            ended(code, details)


def example(span: trace.Span) -> Exemplary | None:
    """The span as a bucket's example, where it is exported."""
    return span if type(span) is Record and span.sampled else None
