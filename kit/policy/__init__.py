"""Policy: what is declared about the calls of a method, and what follows from it.

`model` has the dataclasses, `leaves` takes them apart field by field, `from_proto` reads descriptors, `overlay` reads
TOML, `watched` follows it, `presets` has the defaults, `unenforced` what is refused, `resolve` puts all of it together,
`early` asks it before a method is used, and `budget` asks whether policies fit together. The machines that work by a
policy are in `kit.resilience`, the layers that enforce it in `kit.layers`.
"""

from kit.policy.model import AuthPolicy, DownstreamCall, IdempotencyLevel, MethodPolicy, Preset, RatePolicy
from kit.policy.resolve import (
    Overrides,
    PolicySource,
    Resolved,
    overrides_from,
    policy_for,
    worst_case_seconds,
)
from kit.resilience.backoff import Jitter
from kit.resilience.balance import BalanceKind, BalancePolicy
from kit.resilience.breaker_rules import BreakerKind, BreakerPolicy
from kit.resilience.budget import RetryBudget
from kit.resilience.fallback import FallbackPolicy
from kit.resilience.hedging import HedgingPolicy
from kit.resilience.idempotency import IdempotencyKeyMode, IdempotencyKeyPolicy
from kit.resilience.limiter import ConcurrencyPolicy
from kit.resilience.outlier import OutlierPolicy
from kit.resilience.priority import Priority
from kit.resilience.retry import RetryPolicy
from kit.resilience.throttle import RetryThrottling

__all__ = [
    "AuthPolicy",
    "BalanceKind",
    "BalancePolicy",
    "BreakerKind",
    "BreakerPolicy",
    "ConcurrencyPolicy",
    "DownstreamCall",
    "FallbackPolicy",
    "HedgingPolicy",
    "IdempotencyKeyMode",
    "IdempotencyKeyPolicy",
    "IdempotencyLevel",
    "Jitter",
    "MethodPolicy",
    "OutlierPolicy",
    "Overrides",
    "PolicySource",
    "Preset",
    "Priority",
    "RatePolicy",
    "Resolved",
    "RetryBudget",
    "RetryPolicy",
    "RetryThrottling",
    "overrides_from",
    "policy_for",
    "worst_case_seconds",
]
