"""How much each client may ask: GCRA, one number of state a client. Pure: the time is an argument.

The machine keeps for each identity the "theoretical arrival time" tat: the instant at which all that was used is given
back. With `rate` tokens a second and a burst of `burst`, a request of cost c moves tat on by c / rate, and is refused
if tat would then lie more than burst / rate ahead of now:

    state of an identity            request of cost c at `now`                       outcome
    tat <= now (all is free)        c <= burst                                       allowed, tat = now + c / rate
    tat >  now                      tat + c / rate - now <= burst / rate             allowed, tat = tat + c / rate
    tat >  now                      tat + c / rate - now >  burst / rate             refused, tat stays

The least recently seen identity is forgotten when there are too many, which gives it its burst back.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from gateway.problem import QUOTA_EXCEEDED, Problem
from kit.errors import ConfigurationError

__all__ = ["Decision", "Limit", "Limiter", "identity_of"]

#: Rounding of floating point must not refuse the last token of a burst. In seconds.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one client may use.

    The default is far above what a console or one program asks for; it only stops a runaway loop from taking the
    machine away from everybody else.
    """

    #: Tokens given back a second; 0 switches the limit off.
    rate: float = 20_000.0
    #: Tokens that may be used at once.
    burst: int = 40_000
    #: Identities that are remembered, at about 200 B each.
    max_identities: int = 65_536

    def __post_init__(self) -> None:
        if not 0 <= self.rate < math.inf:
            raise ConfigurationError("limit.rate: must be 0 (no limit) or more tokens a second")
        if self.burst < 1:
            raise ConfigurationError("limit.burst: must be at least 1 token")
        if self.max_identities < 1:
            raise ConfigurationError("limit.max_identities: must be at least 1")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may go on, and what to tell the client. Times are seconds from the decision."""

    allowed: bool
    #: Whole tokens that are left.
    remaining: int
    #: Until everything is given back; where it is refused, until the request would be allowed.
    reset: float

    def headers(self, limit: Limit) -> tuple[tuple[bytes, bytes], ...]:
        """RateLimit-Policy and RateLimit."""
        window = max(1, math.ceil(limit.burst / limit.rate))
        return (
            (b"ratelimit-policy", b'"burst";q=%d;w=%d' % (limit.burst, window)),
            (b"ratelimit", b'"burst";r=%d;t=%d' % (self.remaining, math.ceil(self.reset - _TOLERANCE))),
        )

    def problem(self) -> Problem:
        """The refusal."""
        wait = max(1, math.ceil(self.reset))
        return Problem(
            status=429,
            code="RESOURCE_EXHAUSTED",
            type=QUOTA_EXCEEDED,
            title="Quota exceeded",
            reason="QUOTA_EXCEEDED",
            domain="gateway",
            detail=f"You are over the limit of requests. Come back in {wait} s.",
            retry_after=wait,
        )


class Limiter:
    """One limit for every identity, each with its own count."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._tats: OrderedDict[str, float] = OrderedDict()

    def take(self, identity: str, cost: int, now: float) -> Decision:
        """Takes `cost` tokens of the identity at `now` (seconds, monotonic). A cost of 0 is always allowed.

        A cost above the burst is taken as the whole burst, or such a request could never be made.
        """
        limit = self.limit
        capacity = limit.burst / limit.rate
        tat = max(self._tats.get(identity, now), now)
        after = tat + min(cost, limit.burst) / limit.rate
        wait = after - now - capacity
        if wait > _TOLERANCE and cost > 0:
            self._tats.move_to_end(identity)
            return Decision(False, self._left(tat - now), wait)
        if cost > 0:
            self._tats[identity] = after
            self._tats.move_to_end(identity)
            if len(self._tats) > limit.max_identities:
                self._tats.popitem(last=False)
        return Decision(True, self._left(after - now), after - now)

    def _left(self, used_seconds: float) -> int:
        return max(0, math.floor(self.limit.burst - used_seconds * self.limit.rate + _TOLERANCE * self.limit.rate))


def identity_of(address: str) -> str:
    """Whom a client's address stands for: an IPv4 address, the /64 of an IPv6 one, which is one customer's."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address or "unknown"
    if ip.version == 4:
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
