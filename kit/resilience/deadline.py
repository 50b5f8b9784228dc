"""Deadline arithmetic.

Theory of operation. A call has one deadline for all of its attempts: the earliest of what the caller was itself given
(handed on from the call that it serves), of the timeout that the code names, and of the policy's timeout. An attempt
may take the policy's per-try timeout, but never longer than what is left of the call. Instants and durations are
seconds; infinity means that there is no limit.

A call that is made while another one is served must not be given more time than that one has left. gRPC gives more:
what it sends is rounded up to three digits (at most 1 % more), and where up to 3 % more has been sent over the same
connection before, that is sent again, as it is a header that is known already. So 4 % are kept of a deadline that is
handed on, and 5 ms, for gRPC's clock, which counts milliseconds, and the way. What is kept is not lost: it is the time
in which the caller can still answer when the callee has not. A timeout that the code names stays what it is.
"""

from __future__ import annotations

import math

__all__ = ["attempt_timeout", "call_expiry", "handed_on"]

#: 0.96 * 1.01 / 0.97 is just below 1.
_SHARE = 0.96
_KEPT = 0.005


def handed_on(remaining: float) -> float:
    """The timeout to send where the served call has `remaining` seconds left, so that no more than that arrives.

    It may be negative: then too little is left. It shrinks with `remaining` more slowly than that, so what it gives at
    the start of a call holds for every later attempt as well.
    """
    return remaining * _SHARE - _KEPT


def call_expiry(
    now: float, inherited: float, policy_timeout: float, timeout: float | None, served: float = math.inf
) -> float:
    """The instant at which a call that starts now must have ended.

    `inherited` and `served` are instants, the timeouts are durations; `timeout` None means that the code named none.
    `served` is the end of the call that is being served, of which a part is kept; infinite where none is.
    """
    allowed = policy_timeout if timeout is None else min(timeout, policy_timeout)
    expires_at = min(inherited, now + allowed)
    return expires_at if served == math.inf else min(expires_at, now + handed_on(served - now))


def attempt_timeout(now: float, expires_at: float, per_try_timeout: float) -> float:
    """Seconds that an attempt may take which starts now; 0.0 when the call has no time left."""
    if expires_at == math.inf:
        return per_try_timeout
    return max(0.0, min(expires_at - now, per_try_timeout))
