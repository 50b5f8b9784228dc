"""Further attempts beside those that run, as `kit.resilience.hedging` decides. Each attempt is a task.

An attempt whose answer is a stream has ended, for the race, when its answer began: the transport settles it then. The
stream goes on as the call's; what the layers inside wanted to do at its end is taken over with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from kit.clock import Clock
from kit.errors import BreakerOpen, CallRefused, PolicyError
from kit.layers.allowance import Allowances
from kit.layers.retry import own_time_was_up, pushback_of, status_of
from kit.pipeline import Call, Handler, Method, Outcome
from kit.policy.resolve import STREAMS_ARE_NOT_HEDGED
from kit.resilience.hedging import Hedge, Step, delay_of
from kit.resilience.quantile import LatencyQuantile
from kit.resilience.retry import StopReason

__all__ = ["HedgeLayer"]

_LOST = (grpc.StatusCode.CANCELLED, "another attempt was faster")


class HedgeLayer:
    """Sends an attempt beside a slow one. The losers are cancelled, which reaches their servers."""

    name = "hedge"

    def __init__(self, clock: Clock, allowances: Allowances | None = None) -> None:
        self._clock = clock
        self._allowances = allowances if allowances is not None else Allowances(clock)

    def wrap(self, method: Method, inner: Handler) -> Handler:
        rules = method.policy.hedging
        if rules is None:
            return inner
        if method.shape.streams_requests:
            # Where no descriptor is known, a policy does not show that the client streams.
            raise PolicyError(method.path, "hedging.max_attempts", STREAMS_ARE_NOT_HEDGED)
        clock, streams = self._clock, method.shape.streams_responses
        allowance = self._allowances.of(method)
        seen = LatencyQuantile(rules.quantile) if rules.quantile is not None else None

        async def handle(call: Call) -> Outcome:
            if allowance is not None:
                allowance.began()
            now = clock.now()
            machine = Hedge(rules, now, delay_of(rules, seen.value(now) if seen is not None else None))
            racing = _Race(call, inner, clock)
            racing.send(0.0)
            sent_at = now
            won = None
            try:
                step = machine.woken(now)
                while step.result is None:
                    if step.send:
                        now = clock.now()
                        refusal = allowance.refusal() if allowance is not None else None
                        if refusal is not None:
                            call.stop = refusal
                            step = machine.refused(now)
                        else:
                            racing.send(now - sent_at)
                            sent_at = now
                            step = machine.sent(now)
                        continue
                    ended = await racing.next(step.wake_at)
                    if ended is None:
                        step = machine.woken(clock.now())
                        continue
                    step = judged(machine, call, racing.branches[ended - 1], racing.outcome(ended), ended)
                won = step.result
            finally:
                racing.stop(won)
            outcome, branch = racing.outcome(won), racing.branches[won - 1]
            call.inner, call.attempt = branch.inner, branch.attempt
            if call.waiter is not None:
                call.waiter.set()
            now = clock.now()
            if outcome.error is not None:
                if call.stop is None:
                    call.stop = _why(outcome.error, machine.sent_attempts < rules.max_attempts)
            elif streams:
                # Its end is to come, and says by itself why there was no further attempt.
                call.stop, call.at_end = None, branch.at_end
                call.when_ended(ender(branch))
            else:
                call.stop = StopReason.OK
                if branch.attempt is not None:
                    branch.attempt.settle(grpc.StatusCode.OK, "", now)
            if seen is not None and outcome.error is None:
                for tried in call.attempts:
                    seen.add(now, (now if tried.code is None else tried.ended) - tried.started)
            for tried in call.attempts:
                if tried is not branch.attempt:
                    tried.settle(*_LOST, now)
            return outcome

        def ender(branch: Call) -> Callable[[grpc.StatusCode, str], None]:
            def ended(code: grpc.StatusCode, details: str) -> None:
                if branch.attempt is not None:
                    branch.attempt.settle(code, details, clock.now())
                if allowance is not None:
                    allowance.ended(code.value[0], rules.non_fatal)

            return ended

        def judged(machine: Hedge, call: Call, branch: Call, outcome: Outcome, number: int) -> Step:
            now = clock.now()
            error = outcome.error
            if error is None:
                if streams:
                    return machine.began(number)
                if allowance is not None:
                    allowance.ended(0, ())
                return machine.ended(number, 0, now)
            code, pushback = error.code(), pushback_of(error)
            if branch.attempt is not None:
                branch.attempt.settle(code, error.details() or "", now)
            if error.initial_metadata():
                # The server had begun to answer.
                call.stop = StopReason.COMMITTED
                if allowance is not None:
                    allowance.ended(code.value[0], rules.non_fatal)
                return machine.began(number)
            refused = isinstance(error, CallRefused) and not outcome.unsent
            if refused and machine.sent_attempts > 1:
                # Of a call that was sent as well, it cannot be said that it did not happen.
                call.stop = StopReason.BREAKER_OPEN if isinstance(error, BreakerOpen) else StopReason.NO_ENDPOINT
            timed_out = own_time_was_up(branch, error, now)
            if allowance is not None and not refused:
                call.allowance = allowance
                allowance.ended(
                    status_of(error), rules.non_fatal, pushback=pushback, unsent=outcome.unsent, timed_out=timed_out
                )
            return machine.ended(
                number,
                status_of(error),
                now,
                unsent=outcome.unsent or refused,
                timed_out=timed_out,
                pushback="-1" if refused else pushback,
            )

        return handle


def _why(error: grpc.aio.AioRpcError, left: bool) -> StopReason:
    if isinstance(error, BreakerOpen):
        return StopReason.BREAKER_OPEN
    if isinstance(error, CallRefused):
        return StopReason.NO_ENDPOINT
    if not left:
        return StopReason.ATTEMPTS_EXHAUSTED
    return StopReason.PUSHBACK if pushback_of(error) is not None else StopReason.NOT_RETRYABLE


class _Race:
    """The attempts of one call, numbered from 1."""

    def __init__(self, call: Call, inner: Handler, clock: Clock) -> None:
        self._call = call
        self._inner = inner
        self._clock = clock
        self.branches: list[Call] = []
        self._tasks: list[asyncio.Task[Outcome]] = []
        self._told: set[int] = set()

    def send(self, delay: float) -> None:
        """Starts one more."""
        branch = self._call.branch()
        branch.hedge = any(not task.done() for task in self._tasks)
        branch.delay = delay
        branch.waited = branch.waited or bool(self._tasks)
        # It may raise, where the call cannot be made at all; each branch has a task.
        attempt = self._inner(branch)
        # The task begins in a moment, and the channel may be closed by then. A stock one says no sooner that it is.
        branch.waited = branch.waited or branch.send is None
        self._tasks.append(asyncio.ensure_future(attempt))
        self.branches.append(branch)

    async def next(self, wake_at: float) -> int | None:
        """The number of an attempt that has ended and was not given before; None at `wake_at`."""
        running: dict[asyncio.Future[Any], int] = {
            task: number for number, task in enumerate(self._tasks, 1) if number not in self._told
        }
        alarm = None
        if wake_at != math.inf:
            alarm = asyncio.ensure_future(self._clock.sleep(max(0.0, wake_at - self._clock.now())))
        waits = [*running, alarm] if alarm is not None else [*running]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if alarm is not None and alarm.cancelled() and not any(task.done() for task in running):
                # The channel was closed: nothing is sent any more.
                if not running:
                    raise asyncio.CancelledError
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if alarm is not None:
                alarm.cancel()
        for task, number in running.items():
            if task.done():
                self._told.add(number)
                return number
        return None

    def outcome(self, number: int) -> Outcome:
        """How an attempt that has ended came out."""
        return self._tasks[number - 1].result()

    def stop(self, won: int | None) -> None:
        """Cancels what still runs, and answers that began as well, but for the winner."""
        for number, (task, branch) in enumerate(zip(self._tasks, self.branches, strict=True), 1):
            if number == won:
                continue
            branch.lost = won is not None
            if not task.done():
                task.cancel()
            # Looked at, so that asyncio does not complain of what the winner made irrelevant.
            elif not task.cancelled() and task.exception() is None and task.result().error is None:
                if self._call.method.shape.streams_responses:
                    branch.inner.cancel()
                for tell in branch.at_end:
                    tell(*_LOST)
