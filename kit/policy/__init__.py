"""Policy: what is declared about the calls of a method, and what follows from it.

`model` has the dataclasses, `leaves` takes them apart field by field, `from_proto` reads descriptors, `overlay` reads
TOML, `presets` has the defaults, `resolve` puts all of it together. The machines that work by a policy are in
`kit.resilience`, the layers that enforce it in `kit.layers`.
"""

from kit.policy.model import DownstreamCall, IdempotencyLevel, MethodPolicy, Preset, RatePolicy
from kit.policy.resolve import Overrides, PolicySource, Resolved, overrides_from, policy_for, worst_case_seconds
from kit.resilience.backoff import Jitter
from kit.resilience.balance import BalanceKind, BalancePolicy
from kit.resilience.breaker_rules import BreakerKind, BreakerPolicy
from kit.resilience.budget import RetryBudget
from kit.resilience.hedging import HedgingPolicy
from kit.resilience.outlier import OutlierPolicy
from kit.resilience.retry import RetryPolicy
from kit.resilience.throttle import RetryThrottling

__all__ = [
    "BalanceKind",
    "BalancePolicy",
    "BreakerKind",
    "BreakerPolicy",
    "DownstreamCall",
    "HedgingPolicy",
    "IdempotencyLevel",
    "Jitter",
    "MethodPolicy",
    "OutlierPolicy",
    "Overrides",
    "PolicySource",
    "Preset",
    "RatePolicy",
    "Resolved",
    "RetryBudget",
    "RetryPolicy",
    "RetryThrottling",
    "overrides_from",
    "policy_for",
    "worst_case_seconds",
]
