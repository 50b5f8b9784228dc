"""The call's deadline: the earliest of what was handed on, what the code names and what the policy allows.

Of the deadline of the call that is being served a little is kept (`kit.resilience.deadline`). A call whose time is
already over is refused here, before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any

from kit.call import served_until
from kit.clock import Clock
from kit.errors import DeadlineExpired
from kit.pipeline import Call, Handler, Method, Outcome
from kit.resilience.deadline import call_expiry
from kit.resilience.retry import StopReason

__all__ = ["DeadlineLayer"]


class DeadlineLayer:
    """Sets `Call.expires_at`; attempts are given what is left of it."""

    name = "deadline"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wrap(self, method: Method, inner: Handler) -> Handler:
        allowed = method.policy.timeout
        clock_now = self._clock.now

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            begun = call.begun
            if begun is not None:
                # Set already, and in time: it was sent.
                return inner(call)
            now = clock_now()
            inherited = call.expires_at
            served = served_until() if inherited != math.inf else inherited
            call.expires_at = call_expiry(now, inherited, allowed, call.timeout, served)
            return refused(call) if call.expires_at <= now else inner(call)

        async def refused(call: Call) -> Outcome:
            call.stop = StopReason.DEADLINE
            return Outcome(error=DeadlineExpired(f"{_over(call)}; nothing was sent"))

        return handle


def _over(call: Call) -> str:
    """Whose time is over, and what to change."""
    said = "the deadline had passed before the call was made"
    if call.timeout is not None and call.timeout <= 0:
        return f"{said}: timeout={call.timeout:g} leaves no time; give more than 0, or None for the policy's"
    return f"{said}, of the call that is served here or of kit.timeout; work that outlives it goes to kit.background()"
