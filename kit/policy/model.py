"""The dataclasses in which a policy is written down.

A field that is None is unset and inherits; times are seconds, and `math.inf` says that there is no limit.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kit.resilience.balance import BalancePolicy
from kit.resilience.breaker_rules import BreakerPolicy
from kit.resilience.budget import RetryBudget
from kit.resilience.fallback import FallbackPolicy
from kit.resilience.hedging import HedgingPolicy
from kit.resilience.idempotency import IdempotencyKeyPolicy
from kit.resilience.kinds import check_kinds
from kit.resilience.limiter import ConcurrencyPolicy
from kit.resilience.outlier import OutlierPolicy
from kit.resilience.priority import Priority
from kit.resilience.retry import RetryPolicy
from kit.resilience.throttle import RetryThrottling

__all__ = ["AuthPolicy", "DownstreamCall", "IdempotencyLevel", "MethodPolicy", "Preset", "RatePolicy"]


class Preset(enum.Enum):
    """A named set of defaults. The values are those of kitapi.v1.Preset."""

    DEVELOPMENT = 1
    PRODUCTION = 2
    CRITICAL = 3


class IdempotencyLevel(enum.Enum):
    """google.protobuf.MethodOptions.IdempotencyLevel: whether a method may be executed twice."""

    UNKNOWN = 0
    NO_SIDE_EFFECTS = 1
    IDEMPOTENT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePolicy:
    """What a call weighs against a rate limit."""

    #: Tokens that a call costs at the gateway; 0 is free.
    cost: int | None = None
    #: Calls of the method per second that one server takes, its workers together, with bursts of as many; inf turns it
    #: off.
    per_second: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthPolicy:
    """Who may call. A server enforces it; clients need not know."""

    #: Scopes that the caller must all have.
    scopes: tuple[str, ...] | None = None
    #: Roles of which the caller must have one.
    roles: tuple[str, ...] | None = None
    #: Nobody needs to be known.
    public: bool | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        for name in ("scopes", "roles"):
            names = getattr(self, name)
            if names is not None and not (isinstance(names, tuple) and all(isinstance(one, str) for one in names)):
                raise TypeError(f"{name} must be a tuple of texts, not {names!r}")
            if names is not None and not all(names):
                raise ValueError(f"{name} must not contain an empty text")
        if self.public and (self.scopes or self.roles):
            raise ValueError("public contradicts scopes and roles; remove it, or set it to False")


@dataclass(frozen=True, kw_only=True, slots=True)
class DownstreamCall:
    """One call that a handler makes; read by `kit check`."""

    #: "package.Service/Method"
    method: str
    #: How many times, one after the other.
    times: int = 1
    #: Made beside the other parallel ones: only the longest of them counts.
    parallel: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodPolicy:
    """Everything that can be said about the calls of one method; the fields are those of kitapi.v1.MethodPolicy.

    `idempotency_level` is what the .proto says by its option of that name; set it here for a method whose descriptor is
    not known to the process.
    """

    preset: Preset | None = None
    #: Time that the whole call may take.
    timeout: float | None = None
    #: Time that a single attempt may take.
    per_try_timeout: float | None = None
    retry: RetryPolicy | None = None
    hedging: HedgingPolicy | None = None
    retry_throttling: RetryThrottling | None = None
    retry_budget: RetryBudget | None = None
    breaker: BreakerPolicy | None = None
    concurrency: ConcurrencyPolicy | None = None
    outlier: OutlierPolicy | None = None
    balance: BalancePolicy | None = None
    rate: RatePolicy | None = None
    auth: AuthPolicy | None = None
    #: What a server sheds first under overload.
    priority: Priority | None = None
    idempotency_key: IdempotencyKeyPolicy | None = None
    fallback: FallbackPolicy | None = None
    downstream: tuple[DownstreamCall, ...] | None = None
    idempotency_level: IdempotencyLevel | None = None
