"""Deadline arithmetic.

Theory of operation. A call has one deadline for all of its attempts: the earliest of what the caller was itself given
(handed on from the call that it serves), of the timeout that the code names, and of the policy's timeout. An attempt
may take the policy's per-try timeout, but never longer than what is left of the call. Instants and durations are
seconds; infinity means that there is no limit.
"""

from __future__ import annotations

import math

__all__ = ["attempt_timeout", "call_expiry"]


def call_expiry(now: float, inherited: float, policy_timeout: float, timeout: float | None) -> float:
    """The instant at which a call that starts now must have ended.

    `inherited` is an instant, the timeouts are durations; `timeout` None means that the code named none.
    """
    allowed = policy_timeout if timeout is None else min(timeout, policy_timeout)
    return min(inherited, now + allowed)


def attempt_timeout(now: float, expires_at: float, per_try_timeout: float) -> float:
    """Seconds that an attempt may take which starts now; 0.0 when the call has no time left."""
    if expires_at == math.inf:
        return per_try_timeout
    return max(0.0, min(expires_at - now, per_try_timeout))
