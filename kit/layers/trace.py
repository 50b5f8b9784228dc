"""The span of a whole call. Every attempt's span hangs under it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import grpc
from opentelemetry import trace

from kit.observe import tracing
from kit.pipeline import CANCELLED, Call, Handler, Method, Outcome

__all__ = ["TraceCallLayer", "spanned"]


class TraceCallLayer:
    """One CLIENT span for each call, ended with what the caller sees."""

    name = "trace call"

    def wrap(self, method: Method, inner: Handler) -> Handler:
        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            return traced(call) if tracing.enabled() else inner(call)

        async def traced(call: Call) -> Outcome:
            span = call.span = tracing.client_call_span(method.path, method.target)
            return await spanned(span, call, inner)

        return handle


async def spanned(span: trace.Span, call: Call, inner: Handler) -> Outcome:
    """What `inner` makes of the call. The span ends with it, or, where the answer is a stream, when that has ended."""
    code, details = CANCELLED
    stays_open = False
    try:
        outcome = await inner(call)
        if outcome.error is not None:
            code, details = outcome.error.code(), outcome.error.details() or ""
        elif call.method.shape.streams_responses:
            stays_open = True
            call.when_ended(lambda code, details: tracing.end_span(span, code, details))
        else:
            code, details = grpc.StatusCode.OK, ""
        return outcome
    finally:
        if not stays_open:
            tracing.end_span(span, code, details)
