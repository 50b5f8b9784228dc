"""One attempt: its number, its share of the time, its metadata, its span."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from time import monotonic
from typing import Any

import grpc

from kit.clock import Clock
from kit.layers.trace import example, told
from kit.observe import tracing
from kit.observe._state import STATE
from kit.observe.calls import client_calls
from kit.pipeline import Attempted, Call, Handler, Method, Outcome
from kit.resilience.deadline import attempt_timeout

__all__ = ["KIT_PREVIOUS_ATTEMPTS_KEY", "PREVIOUS_ATTEMPTS_KEY", "AttemptLayer", "TraceAttemptLayer"]

PREVIOUS_ATTEMPTS_KEY = "grpc-previous-rpc-attempts"
#: The same number once more: grpc core drops the official header while its own (transparent) retries are enabled, which
#: they should be. With the channel option ("grpc.enable_retries", 0) the official one arrives.
KIT_PREVIOUS_ATTEMPTS_KEY = "kit-previous-rpc-attempts"

log = logging.getLogger("kit.client")


class AttemptLayer:
    """Notes that the attempt starts, bounds its time, and tells the server how many came before it.

    Its end is noted by who acts on it: the retry layer for what is tried again, the report layer for the last.
    """

    name = "attempt"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wrap(self, method: Method, inner: Handler) -> Handler:
        now = self._clock.now
        per_try = method.policy.per_try_timeout
        hedging = method.policy.hedging
        most = method.policy.retry.max_attempts if hedging is None else hedging.max_attempts

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            begun = call.begun
            started = now() if begun is None else begun.started
            before = len(call.attempts)
            endpoint = call.endpoint.address if call.endpoint is not None else ""
            allowed = attempt_timeout(started, call.expires_at, per_try)
            tried = Attempted(before + 1, endpoint, call.delay, started, allowed)
            tried.hedge = call.hedge
            call.attempt = tried
            call.attempts.append(tried)
            if before:
                call.sent_metadata = list(call.metadata or ())
                seen = sum(earlier.sent for earlier in call.attempts) - 1
                if seen:
                    call.sent_metadata += [(PREVIOUS_ATTEMPTS_KEY, str(seen)), (KIT_PREVIOUS_ATTEMPTS_KEY, str(seen))]
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s: attempt %d/%d%s", method.path, before + 1, most, f" to {endpoint}" if endpoint else "")
            return inner(call)

        return handle


class TraceAttemptLayer:
    """One span for each attempt, under the call's; its context is what the server continues. The attempt is counted."""

    name = "trace attempt"

    def wrap(self, method: Method, inner: Handler) -> Handler:
        streams = method.shape.streams_responses or method.shape.streams_requests

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            return observed(call) if STATE.on else inner(call)

        async def observed(call: Call) -> Outcome:
            tried = call.attempt or call.attempts[-1]
            begun = call.begun
            started = monotonic()
            if begun is not None:
                # It is under way already.
                span = tracing.OFF if begun.span is None else begun.span
                started = begun.started
            elif call.span is tracing.OFF:
                span = tracing.OFF
            else:
                delay = tried.delay if tried.number > 1 else None
                span = tracing.attempt_span(
                    call.span, method.path, tried.number, tried.endpoint, delay=delay, streams=streams
                )
                if call.sent_metadata is None:
                    call.sent_metadata = list(call.metadata or ())
                tracing.inject(span, call.sent_metadata)
            if begun is None and STATE.metrics:
                client_calls(method.path, method.target).attempts_started += 1

            def ended(code: grpc.StatusCode, details: str) -> None:
                tracing.end_span(span, code, details, lost=call.lost)
                if STATE.metrics:
                    counts = client_calls(method.path, method.target)
                    counts.attempts.of(code).record(monotonic() - started, example(span))

            return await told(call, inner, ended, tracing.OFF)

        return handle
