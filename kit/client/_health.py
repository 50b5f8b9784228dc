"""What a channel knows of its endpoints' health, and how it finds out.

`kit.resilience.pulse` says what the checks add up to, `_check` makes them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

from kit.client._check import Answer, Checked, check
from kit.client.endpoints import Endpoint, Endpoints
from kit.client.events import EndpointHealthy, EndpointUnhealthy, Listeners
from kit.client.reports import EndpointCheck, HealthReport
from kit.clock import Clock
from kit.errors import NoEndpoint
from kit.resilience.pulse import Health, HealthCheck, Pulse

__all__ = ["Checks"]

#: Seconds between two checks of an endpoint while somebody waits for one that is healthy.
POLL_INTERVAL = 0.1


class Checks:
    """The health of the endpoints of one channel.

    With `marks` those that are unhealthy are passed over by the pick. That is only right where they go on being
    checked, for nobody else would take it back.
    """

    def __init__(
        self, endpoints: Endpoints, rules: HealthCheck, clock: Clock, listeners: Listeners, *, marks: bool
    ) -> None:
        self._endpoints = endpoints
        self._rules = rules
        self._clock = clock
        self._listeners = listeners
        self._marks = marks
        self._pulses: dict[str, Pulse] = {}

    def pulse(self, address: str) -> Pulse | None:
        """What the checks of an endpoint have added up to; None where there was none."""
        return self._pulses.get(address)

    def forget(self, address: str) -> None:
        """The endpoint has gone."""
        if self._pulses.pop(address, None) is not None:
            self._mark()

    async def one(self, endpoint: Endpoint, within: float = math.inf, *, fails: bool = True) -> EndpointCheck:
        """Checks an endpoint and notes what came of it; a failure only where it `fails`."""
        rules, clock = self._rules, self._clock
        seen = await check(endpoint, rules.service, min(rules.timeout, within), clock)
        pulse = self._pulses.get(endpoint.address)
        if pulse is None:
            pulse = Pulse(rules)
            if endpoint in self._endpoints.all:
                self._pulses[endpoint.address] = pulse
        if fails or seen.answer is Answer.WELL:
            self._note(endpoint.address, pulse, seen)
        latency = seen.ended - seen.began
        status = Health.UNHEALTHY
        if seen.answer is Answer.WELL:
            status = Health.DEGRADED if latency > rules.slow else Health.HEALTHY
        return EndpointCheck(
            address=endpoint.address,
            status=status,
            latency=latency,
            message=seen.message,
            timestamp=clock.wall(),
            failures=pulse.failures,
            said_no=seen.answer is Answer.SAID_NO,
        )

    def told(self, endpoint: Endpoint, serves: bool) -> None:
        """The endpoint has said by itself whether it serves."""
        pulse = self._pulses.get(endpoint.address)
        if pulse is None:
            pulse = self._pulses[endpoint.address] = Pulse(self._rules)
        now = self._clock.now()
        if serves:
            self._note(endpoint.address, pulse, Checked(Answer.WELL, "SERVING", now, now))
        else:
            self._note(endpoint.address, pulse, Checked(Answer.SAID_NO, "tells that it does not serve", now, now))

    async def all(self) -> HealthReport:
        """Checks every endpoint, all at once."""
        found = await asyncio.gather(*(self.one(endpoint) for endpoint in self._endpoints.look(again=True)))
        return HealthReport(target=self._endpoints.target, endpoints=tuple(found), timestamp=self._clock.wall())

    async def first(self, timeout: float) -> EndpointCheck:
        """The first endpoint that serves. Raises NoEndpoint when there is none after `timeout` seconds."""
        found = await self._serving(timeout, all_of_them=False)
        return found[0]

    async def every(self, timeout: float) -> HealthReport:
        """Every endpoint, when each has been found to serve. Raises NoEndpoint when one has not in `timeout` seconds.

        Those that come meanwhile are waited for too, and those that go are not.
        """
        found = await self._serving(timeout, all_of_them=True)
        return HealthReport(target=self._endpoints.target, endpoints=tuple(found), timestamp=self._clock.wall())

    async def _serving(self, timeout: float, *, all_of_them: bool) -> list[EndpointCheck]:
        """Those that serve, once there is one, or once that is `all_of_them`."""
        clock, until = self._clock, self._clock.now() + timeout
        why: dict[str, str] = {}
        asking: dict[Endpoint, asyncio.Task[EndpointCheck]] = {}

        async def serving(endpoint: Endpoint) -> EndpointCheck:
            while True:
                # Failures are expected here, and they come faster than those of heartbeats: they do not count.
                found = await self.one(endpoint, max(0.0, until - clock.now()), fails=False)
                if found.serving:
                    why[endpoint.address] = "healthy"
                    return found
                why[endpoint.address] = found.message
                await clock.sleep(POLL_INTERVAL)

        try:
            while True:
                known = self._endpoints.look(again=True)
                for endpoint in asking.keys() - known:
                    asking.pop(endpoint).cancel()
                for endpoint in known:
                    if endpoint not in asking:
                        asking[endpoint] = asyncio.ensure_future(serving(endpoint))
                left = until - clock.now()
                if left <= 0:
                    raise NoEndpoint(self._nobody(known, why, timeout, all_of_them=all_of_them))
                await _first_of(
                    {task for task in asking.values() if not task.done()}, clock.sleep(min(POLL_INTERVAL, left))
                )
                served = [asking[endpoint].result() for endpoint in known if asking[endpoint].done()]
                if served and (len(served) == len(known) or not all_of_them):
                    return served
        finally:
            for task in asking.values():
                task.cancel()
            await asyncio.gather(*asking.values(), return_exceptions=True)

    def _nobody(self, known: list[Endpoint], why: dict[str, str], timeout: float, *, all_of_them: bool) -> str:
        if not known:
            return f"{self._endpoints.missing()}; waited {timeout:g} s for one that is healthy"
        each = "; ".join(f"{one.address}: {why.get(one.address, 'no answer yet')}" for one in known)
        which = "not every" if all_of_them else "no"
        return f"{which} endpoint of {self._endpoints.target} is healthy after {timeout:g} s: {each}"

    def _note(self, address: str, pulse: Pulse, seen: Checked) -> None:
        note = {Answer.WELL: pulse.answered, Answer.SAID_NO: pulse.said_no, Answer.FAILED: pulse.failed}[seen.answer]
        turn = note(seen.began, seen.ended)
        if turn is None:
            return
        self._mark()
        target = self._endpoints.target
        if turn.healthy:
            self._listeners.tell(EndpointHealthy(target=target, address=address, after=turn.seconds))
        else:
            event = EndpointUnhealthy(target=target, address=address, failures=turn.failures, why=seen.message)
            self._listeners.tell(event, level=logging.WARNING)

    def _mark(self) -> None:
        if self._marks:
            self._endpoints.passed_over = frozenset(
                address for address, pulse in self._pulses.items() if pulse.health is Health.UNHEALTHY
            )


async def _first_of(tasks: set[asyncio.Task[Any]], pause: Any) -> None:
    """Returns when one of the tasks is done, or the pause is over."""
    waiting = asyncio.ensure_future(pause)
    try:
        await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
