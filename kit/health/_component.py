"""One component and the task that checks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import grpc.aio

from kit.clock import Clock
from kit.health.result import Finding, HealthLayer, HealthResult
from kit.resilience.detector import Detector, Step
from kit.resilience.pulse import Health, HealthCheck, next_check

__all__ = ["RECHECK", "RETRY", "CheckFunction", "Component"]

#: Seconds after which what has never been well is checked again, until three checks have failed: a process that starts
#: is ready as soon as what it needs is.
RETRY = 1.0
#: Seconds after which what is unhealthy is checked again, so that it is back long before 30 s are over.
RECHECK = 5.0
#: Characters of a message.
_LONGEST = 300

#: What it returns: a Finding, what that says; False, it does not serve; anything else, it is well. What it raises is a
#: check that failed. A check that is an object may have `layer`, `endpoint` (what it is about, for people and events)
#: and `close`, which is awaited when nothing is checked any more.
CheckFunction: TypeAlias = Callable[[], Awaitable[object]]


class Component:
    """What the checks have found. `told` is called with each step that counts, on the event loop."""

    def __init__(
        self,
        name: str,
        check: CheckFunction,
        rules: HealthCheck,
        *,
        layer: HealthLayer,
        required: bool,
        clock: Clock,
        random: Callable[[], float],
        told: Callable[[Component, Step], None],
    ) -> None:
        self.name = name
        self.required = required
        self.layer = layer
        self.endpoint = str(getattr(check, "endpoint", ""))
        #: Whether a check has ever succeeded.
        self.known = False
        self._check = check
        self._rules = rules
        self._clock = clock
        self._random = random
        self._told = told
        self._detector = Detector(name, self.endpoint, rules)
        self._message = "not checked yet"
        self._details: Mapping[str, str] = {}
        self._timestamp: float | None = None
        #: The check that runs; it outlives its time-out where it does not heed its cancellation.
        self._running: asyncio.Task[object] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def status(self) -> Health:
        """By the checks up to now."""
        return self._detector.status

    @property
    def serves(self) -> bool:
        """Whether one can work with it: it has been well once, and is not unhealthy now."""
        return self.known and self.status is not Health.UNHEALTHY

    def result(self) -> HealthResult:
        """All that is known."""
        record = self._detector.record()
        details = dict(self._details)
        if record.failures:
            details["failures"] = str(record.failures)
        return HealthResult(
            component=self.name,
            layer=self.layer,
            required=self.required,
            status=record.status,
            message=self._message,
            timestamp=self._timestamp,
            latency=record.response_time,
            details=details,
        )

    async def run(self) -> None:
        """Checks for ever."""
        while True:
            await self.look()
            await self._clock.sleep(self._pause())

    async def look(self) -> None:
        """Checks once, after a check that runs. Raises nothing."""
        async with self._one_at_a_time:
            await self._look()

    async def _look(self) -> None:
        began = self._clock.now()
        finding = await self._ask()
        now = self._clock.now()
        detector = self._detector
        if finding.status is Health.HEALTHY:
            step = detector.answered(began, now)
        elif finding.status is Health.DEGRADED:
            step = detector.limped(began, now)
        elif finding.status is Health.UNHEALTHY:
            step = detector.said_no(began, now)
        else:
            step = detector.failed(began, now)
        if not step.counted:
            return
        self.known = self.known or finding.status in (Health.HEALTHY, Health.DEGRADED)
        took = now - began
        slow = finding.status is Health.HEALTHY and took > self._rules.slow
        self._message = f"slow: {took:.3g} s" if slow and not finding.message else finding.message[:_LONGEST]
        self._details = finding.details
        self._timestamp = self._clock.wall()
        self._told(self, step)

    async def close(self) -> None:
        """Ends a check that runs, as far as it lets itself be ended, and lets go of what it holds."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running], timeout=1.0)
        close = getattr(self._check, "close", None)
        if close is not None:
            await close()

    def _pause(self) -> float:
        status = self._detector.status
        if status is Health.UNHEALTHY:
            return min(RECHECK, self._rules.interval)
        if not self.known:
            return min(RETRY, self._rules.interval)
        return next_check(self._rules, self._random())

    async def _ask(self) -> Finding:
        if self._running is not None:
            if not self._running.done():
                return Finding(Health.UNKNOWN, "the check before this one has still not ended")
            self._running = None
        running = self._running = asyncio.ensure_future(_run(self._check))
        running.add_done_callback(_seen)
        over = asyncio.ensure_future(self._clock.sleep(self._rules.timeout))
        try:
            await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                return Finding(Health.UNKNOWN, f"no answer within {self._rules.timeout:.3g} s")
            self._running = None
            return _finding(running)
        finally:
            over.cancel()
            running.cancel()


async def _run(check: CheckFunction) -> object:
    return await check()


def _seen(done: asyncio.Task[object]) -> None:
    """Else asyncio complains of an error that nobody asked for, where it came after the time-out."""
    if not done.cancelled():
        done.exception()


def _finding(done: asyncio.Task[object]) -> Finding:
    if done.cancelled():
        return Finding(Health.UNKNOWN, "the check was cancelled")
    error = done.exception()
    if error is not None:
        return Finding(Health.UNKNOWN, _words(error))
    answer = done.result()
    if isinstance(answer, Finding):
        return answer
    if answer is False:
        return Finding(Health.UNHEALTHY, "the check says no")
    return Finding()


def _words(error: BaseException) -> str:
    """The first line of what went wrong."""
    if isinstance(error, grpc.aio.AioRpcError):
        code, details = error.code(), error.details()
        return f"{code.name}: {details}" if details else str(code.name)
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
