"""Further attempts, as `kit.resilience.retry` decides. Whoever awaits the call drives them; there is no task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import grpc
import grpc.aio

from kit.clock import Clock
from kit.errors import BreakerOpen, CallRefused
from kit.layers.allowance import Allowances
from kit.pipeline import Call, Handler, Method, Outcome
from kit.policy import Resolved
from kit.resilience.retry import Retry, StopReason

__all__ = ["PUSHBACK_KEY", "RetryLayer", "own_time_was_up", "pushback_of", "status_of"]

PUSHBACK_KEY = "grpc-retry-pushback-ms"
#: What grpc core says, and nothing with it, for a call that a server let go of without an answer: as a rule one that
#: stops and had not begun with the call. A caller who gives up has other words.
_LET_GO = (grpc.StatusCode.CANCELLED, "CANCELLED")
_UNAVAILABLE = 14
#: An attempt that ended this close (seconds) to its own time's end was ended by it, and not by the server.
_SLACK = 0.005

log = logging.getLogger("kit.client")


class RetryLayer:
    """Tries again. `random` gives numbers from [0, 1).

    `hopeless` says whether an attempt of the method would be refused though it waited so many seconds.
    """

    name = "retry"

    def __init__(
        self,
        clock: Clock,
        random: Callable[[], float],
        allowances: Allowances | None = None,
        hopeless: Callable[[Method, float], bool] | None = None,
    ) -> None:
        self._clock = clock
        self._allowances = allowances if allowances is not None else Allowances(clock)
        self._random = random
        self._hopeless = hopeless

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Forgets throttles and budgets that no method has any more."""
        self._allowances.keep(policies)

    def wrap(self, method: Method, inner: Handler) -> Handler:
        if not method.may_retry:
            return inner
        rules = method.policy.retry
        if rules.replay_safe and not method.may_replay:
            rules = replace(rules, replay_safe=False)
        clock, random, hopeless = self._clock, self._random, self._hopeless
        allowance = self._allowances.of(method)

        async def handle(call: Call) -> Outcome:
            if allowance is not None and call.begun is None:
                allowance.began()
            outcome = await inner(call)
            if outcome.error is None:
                if allowance is not None:
                    succeeded(call)
                return outcome
            retry = Retry(rules)
            failed: Outcome | None = None
            while True:
                error = outcome.error
                if isinstance(error, CallRefused) and not outcome.unsent:
                    call.stop = StopReason.BREAKER_OPEN if isinstance(error, BreakerOpen) else StopReason.NO_ENDPOINT
                    # Of a call that was sent before, it cannot be said that it did not happen.
                    return outcome if failed is None else failed
                now = clock.now()
                if call.attempts:
                    call.attempts[-1].settle(error.code(), error.details() or "", now)
                if not outcome.unsent:
                    failed = outcome
                remaining = call.expires_at - now
                pushback = pushback_of(error)
                timed_out = own_time_was_up(call, error, now)
                code = status_of(error)
                decision = retry.failed(
                    code,
                    u=random(),
                    remaining=remaining if remaining > _SLACK else 0.0,
                    committed=bool(error.initial_metadata()) or (call.replay is not None and call.replay.committed),
                    unsent=outcome.unsent,
                    timed_out=timed_out,
                    pushback=pushback,
                )
                stop, delay = decision.stop, decision.delay
                if delay is not None and hopeless is not None and hopeless(method, delay):
                    stop = StopReason.BREAKER_OPEN
                if allowance is not None:
                    call.allowance = allowance
                    allowance.ended(
                        code,
                        rules.retryable,
                        pushback=pushback,
                        unsent=outcome.unsent,
                        timed_out=timed_out,
                    )
                    if stop is None and not outcome.unsent:
                        stop = allowance.refusal()
                if delay is None or stop is not None:
                    call.stop = stop
                    return outcome
                log.debug(
                    "%s: attempt %d/%d failed with %s, the next in %.0f ms",
                    method.path,
                    retry.attempts,
                    rules.max_attempts,
                    error.code().name,
                    delay * 1000,
                )
                await clock.sleep(delay)
                call.delay = delay
                outcome = await inner(call)
                if outcome.error is None:
                    if allowance is not None:
                        succeeded(call)
                    return outcome

        def succeeded(call: Call) -> None:
            assert allowance is not None
            if method.shape.streams_responses:
                call.when_ended(lambda code, _details: allowance.ended(code.value[0], rules.retryable))
            else:
                allowance.ended(0, ())

        return handle


def status_of(error: grpc.aio.AioRpcError) -> int:
    """The status by which to decide. A server that stops and lets go of a call is one that is not available."""
    code = error.code()
    if (code, error.details()) == _LET_GO and not error.trailing_metadata():
        return _UNAVAILABLE
    return int(code.value[0])


def own_time_was_up(call: Call, error: grpc.aio.AioRpcError, now: float) -> bool:
    """Whether the attempt ended because of the per-try timeout, while the call as a whole has time left."""
    if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED or not call.attempts:
        return False
    tried = call.attempt if call.attempt is not None else call.attempts[-1]
    return now - tried.started >= tried.timeout - _SLACK and now < call.expires_at - _SLACK


def pushback_of(error: grpc.aio.AioRpcError) -> str | bytes | None:
    """What the server's trailing metadata say about when to come again; None where they do not."""
    for key, value in error.trailing_metadata() or ():
        if key == PUSHBACK_KEY:
            return value
    return None
