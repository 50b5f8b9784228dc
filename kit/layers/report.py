"""The outermost layer: what callers see when a call failed, and the report of what happened.

A failure leaves here as `CallFailed` (sent, and failed there) or `CallRefused` (refused here), with the report
attached. A report is put together only where a call failed or somebody collects.
"""

from __future__ import annotations

import asyncio
import logging

import grpc
import grpc.aio

from kit.call import Attempt, CallReport
from kit.clock import SYSTEM, Clock
from kit.errors import BreakerOpen, CallFailed, CallRefused
from kit.layers.recent import RECENT, Recent
from kit.pipeline import CANCELLED, Call, Handler, Method, Outcome, Shape
from kit.resilience.retry import StopReason

__all__ = ["ReportLayer", "as_call_error", "report_of"]

_OK = grpc.StatusCode.OK

log = logging.getLogger("kit.client")
_LATE = grpc.StatusCode.DEADLINE_EXCEEDED
#: A call that ended this close (seconds) to its deadline was ended by it.
_SLACK = 0.005


def report_of(call: Call, now: float) -> CallReport:
    """What has happened to the call up to now."""
    attempts = tuple(
        Attempt(
            number=tried.number,
            endpoint=tried.endpoint,
            delay=tried.delay,
            started_after=tried.started - call.started,
            duration=(tried.ended if tried.code is not None else now) - tried.started,
            code=tried.code,
            details=tried.details,
            hedge=tried.hedge,
        )
        for tried in call.attempts
    )
    allowance = call.allowance
    return CallReport(
        method=call.method.path,
        target=call.method.target,
        attempts=attempts,
        code=call.code,
        details=call.details,
        duration=(call.ended if call.code is not None else now) - call.started,
        stop_reason=call.stop.name if call.stop is not None else "",
        idempotency_key=call.idempotency_key,
        degraded=call.degraded,
        failure=call.failure,
        breakers={
            **{
                tried.endpoint: tried.breaker.current_state.name for tried in call.attempts if tried.breaker is not None
            },
            **call.refused_by,
        },
        retries_left=None if allowance is None else allowance.retries_left,
        throttle_tokens=None if allowance is None else allowance.tokens,
    )


def as_call_error(error: grpc.aio.AioRpcError, report: CallReport) -> grpc.aio.AioRpcError:
    """The same failure as an error of the kit, with the report."""
    if isinstance(error, (CallFailed, CallRefused)):
        error.report = report
        return error
    failed = CallFailed(
        error.code(),
        error.details() or "",
        report=report,
        initial_metadata=error.initial_metadata(),
        trailing_metadata=error.trailing_metadata(),
        debug_error_string=error.debug_error_string(),
    )
    # Where grpc raised it tells nobody anything, and its frames would keep the call alive.
    failed.__cause__ = error.with_traceback(None)
    return failed


class ReportLayer:
    """Notes the end of a call, turns its failure into an error with a report, and hands reports to collectors.

    `recent` is where the calls are kept that are worth a look; by default that of the process, on the machine's clock.
    """

    name = "report"

    def __init__(self, clock: Clock, recent: Recent | None = None) -> None:
        self._clock = clock
        self._recent = RECENT if recent is None and clock is SYSTEM else recent

    def wrap(self, method: Method, inner: Handler) -> Handler:
        now, clock, recent = self._clock.now, self._clock, self._recent
        streams = method.shape is not Shape.UNARY_UNARY

        def settle(call: Call, code: grpc.StatusCode, details: str, stop: StopReason) -> CallReport | None:
            """Notes the end. The report, where one was made for somebody."""
            if call.code is not None:
                return None
            call.ended, call.code, call.details = now(), code, details
            if call.stop is None:
                call.stop = stop
            # More than one runs where hedges do.
            for tried in call.attempts:
                tried.settle(code, details, call.ended)
            usual = code is _OK and len(call.attempts) == 1 and not streams and not call.degraded
            wanted = recent is not None and not usual
            if not wanted and not call.collectors:
                return None
            report = report_of(call, call.ended)
            if recent is not None and wanted:
                recent.note(call, report, clock)
            for seen in call.collectors:
                seen.append(report)
            return report

        async def handle(call: Call) -> Outcome:
            begun = call.begun
            call.started = now() if begun is None else begun.started
            try:
                outcome = await inner(call)
            except asyncio.CancelledError:
                settle(call, *CANCELLED, StopReason.CANCELLED)
                raise
            error = outcome.error
            if error is not None:
                stop = StopReason.OFF
                if isinstance(error, BreakerOpen):
                    call.refused_by, stop = error.states, StopReason.BREAKER_OPEN
                elif error.code() is _LATE and now() >= call.expires_at - _SLACK:
                    stop = StopReason.DEADLINE
                report = settle(call, error.code(), error.details() or "", stop) or report_of(call, call.ended)
                outcome.error = as_call_error(error, report)
                if log.isEnabledFor(logging.INFO):
                    _log(report)
            elif method.shape.streams_responses:

                def ended(code: grpc.StatusCode, details: str) -> None:
                    settle(call, code, details, _reason(code))

                call.when_ended(ended)
            else:
                settle(call, _OK, "", StopReason.OK)
            return outcome

        return handle


def _log(report: CallReport) -> None:
    """One line for a call that failed; the fields are there for a formatter that writes them out."""
    fields = {
        "rpc_method": report.method,
        "rpc_code": report.code.name if report.code is not None else "",
        "rpc_attempts": len(report.attempts),
        "rpc_endpoints": [attempt.endpoint for attempt in report.attempts],
        "rpc_stop_reason": report.stop_reason,
        "rpc_seconds": round(report.duration, 6),
    }
    log.info("%s", report, extra=fields)


def _reason(code: grpc.StatusCode) -> StopReason:
    """Why an open stream got no further attempt."""
    if code is _OK:
        return StopReason.OK
    return StopReason.CANCELLED if code is grpc.StatusCode.CANCELLED else StopReason.COMMITTED
