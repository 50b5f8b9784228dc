"""What is told of each call that is served: a SERVER span, and counts by method and status."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Awaitable
from time import monotonic
from typing import Any

import grpc

from kit.observe import tracing
from kit.observe._state import STATE
from kit.observe.calls import ServerCalls, server_calls
from kit.server._call import Handler, ServerCall, ServerMethod

#: Probes come every few seconds and tell nothing.
_UNTOLD = "/grpc.health.v1.Health/"
_OK = grpc.StatusCode.OK


class TelemetryLayer:
    """A span for the call; current while the handler runs, so that logs and calls made inside belong to it."""

    name = "telemetry"

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        if method.path.startswith(_UNTOLD):
            return inner
        path, streams = method.path, method.shape.streams_responses or method.shape.streams_requests
        plan = tracing.server_plan(path, streams=streams)
        # Counted only from the first call on that is: a scrape shows no methods that nobody calls.
        counts: ServerCalls | None = None

        def handle(call: ServerCall) -> Awaitable[Any]:
            return told(call) if STATE.on else inner(call)

        async def told(call: ServerCall) -> Any:
            nonlocal counts
            started = monotonic()
            if STATE.metrics:
                if counts is None:
                    counts = server_calls(path)
                counts.started += 1
            recorder = STATE.recorder
            record, slower_than = None, math.inf
            if recorder is not None:
                record, slower_than = recorder.served(plan, call.metadata, started), recorder.slower_than
            try:
                return await (inner(call) if STATE.tracer is None else spanned(call))
            finally:
                ended = monotonic()
                code, seconds = call.code, ended - started
                if record is not None and (record.sampled or code is not _OK or seconds > slower_than):
                    record.record().finish(code, call.details, now=ended)
                if counts is not None and STATE.metrics:
                    buckets = counts.ok if code is _OK else counts.durations.of(code)
                    index = bisect_left(buckets.bounds, seconds)
                    buckets.counts[index] += 1
                    buckets.sum += seconds
                    if record is not None and record.sampled:
                        buckets.exemplars[index] = (seconds, record.record())

        async def spanned(call: ServerCall) -> Any:
            """With the SDK's own span."""
            span = tracing.server_span(path, call.metadata)
            try:
                with tracing.current(span):
                    return await inner(call)
            finally:
                tracing.end_span(span, call.code, call.details)

        return handle
