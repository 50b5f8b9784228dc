"""A policy as a flat table of its leaves: dotted field name to value.

Policies are merged leaf by leaf, so this is the form in which they are read, merged and explained. Only leaves that
something enforces exist; naming any other is an error wherever it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

from kit.durations import LONGEST
from kit.errors import PolicyError
from kit.policy.model import AuthPolicy, DownstreamCall, MethodPolicy, RatePolicy
from kit.policy.unenforced import reason
from kit.resilience.balance import BalancePolicy
from kit.resilience.breaker_rules import BreakerPolicy, check_figures
from kit.resilience.budget import RetryBudget
from kit.resilience.fallback import FallbackPolicy
from kit.resilience.hedging import HedgingPolicy
from kit.resilience.idempotency import IdempotencyKeyPolicy
from kit.resilience.kinds import annotated, check_kinds, fault_of_kind
from kit.resilience.limiter import ConcurrencyPolicy
from kit.resilience.outlier import OutlierPolicy
from kit.resilience.retry import MAX_ATTEMPTS, RetryPolicy
from kit.resilience.throttle import RetryThrottling

__all__ = ["ENFORCED", "GROUPS", "Leaves", "check", "merge", "refused", "split"]

Leaves: TypeAlias = dict[str, Any]

#: The fields of a policy that are messages of their own. What one has no field for, no layer enforces.
GROUPS: Mapping[str, type] = {
    "retry": RetryPolicy,
    "hedging": HedgingPolicy,
    "retry_throttling": RetryThrottling,
    "retry_budget": RetryBudget,
    "breaker": BreakerPolicy,
    "concurrency": ConcurrencyPolicy,
    "outlier": OutlierPolicy,
    "balance": BalancePolicy,
    "rate": RatePolicy,
    "auth": AuthPolicy,
    "idempotency_key": IdempotencyKeyPolicy,
    "fallback": FallbackPolicy,
}

#: The leaves that a layer of the client or of the server, the gateway (rate.cost) or `kit check` (downstream) works by.
ENFORCED = frozenset(
    {"preset", "timeout", "per_try_timeout", "downstream", "idempotency_level", "priority"}
    | {f"{group}.{field.name}" for group, kind in GROUPS.items() for field in fields(kind)}
)

#: What each leaf has to be.
_KINDS: Mapping[str, Any] = {name: hint for name, (hint, _) in annotated(MethodPolicy).items() if name in ENFORCED} | {
    f"{group}.{name}": hint for group, kind in GROUPS.items() for name, (hint, _) in annotated(kind).items()
}


def split(policy: MethodPolicy, method: str = "") -> Leaves:
    """The leaves that are set. Raises PolicyError, which names `method`, for a group that is none."""
    found: Leaves = {}
    for field in fields(policy):
        value = getattr(policy, field.name)
        group = GROUPS.get(field.name)
        if group is not None and value is not None and not isinstance(value, group):
            raise PolicyError(method, field.name, f"must be a {group.__name__}, not {value!r}")
        if is_dataclass(value) and not isinstance(value, type):
            for inner in fields(value):
                leaf = getattr(value, inner.name)
                if leaf is not None:
                    found[f"{field.name}.{inner.name}"] = leaf
        elif value is not None:
            found[field.name] = value
    return found


def merge(leaves: Mapping[str, Any]) -> MethodPolicy:
    """The policy that has these leaves."""
    plain = {name: value for name, value in leaves.items() if "." not in name}
    return MethodPolicy(**plain, **{group: kind(**_below(group, leaves)) for group, kind in GROUPS.items()})


def _below(group: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{group}."
    return {name.removeprefix(prefix): value for name, value in leaves.items() if name.startswith(prefix)}


def check(method: str, leaves: Mapping[str, Any]) -> None:
    """Refuses values that cannot be meant. Raises PolicyError, naming the method, the field and the reason."""
    for name, value in leaves.items():
        if name not in ENFORCED:
            raise PolicyError(method, name, reason(name, ENFORCED))
        fault = _fault_of_downstream(value) if name == "downstream" else fault_of_kind(value, _KINDS[name])
        if fault is not None:
            raise PolicyError(method, name, fault)
        if name in ("timeout", "per_try_timeout") and not value > 0:
            raise PolicyError(method, name, f"must be longer than 0 seconds, not {value}")
        if name in ("timeout", "per_try_timeout") and LONGEST < value < float("inf"):
            raise PolicyError(method, name, f"must be at most {LONGEST:g} seconds, or inf for no limit, not {value}")
        if name in ("retry.initial_backoff", "retry.max_backoff") and not 0 <= value < float("inf"):
            raise PolicyError(method, name, f"must be a time of 0 or more seconds, not {value}")
        if name == "retry.backoff_multiplier" and not 1 <= value < float("inf"):
            raise PolicyError(method, name, f"must be at least 1, not {value}")
        if name == "retry.max_attempts" and not 1 <= value <= MAX_ATTEMPTS:
            raise PolicyError(method, name, f"must be 1 to {MAX_ATTEMPTS}, the first attempt included, not {value}")
        if name == "rate.per_second" and not value > 0:
            raise PolicyError(method, name, f"must be more than 0, or inf for no limit, not {value}")
        if name == "rate.cost" and value < 0:
            raise PolicyError(method, name, f"must be 0 or more, not {value}")
    for group, kind in GROUPS.items():
        with refused(method, group):
            found = kind(**_below(group, leaves))
            if isinstance(found, BreakerPolicy):
                check_figures(found)
    initial, cap = leaves.get("retry.initial_backoff"), leaves.get("retry.max_backoff")
    if initial is not None and cap is not None and initial > cap:
        raise PolicyError(method, "retry.initial_backoff", f"{initial} s is more than max_backoff, {cap} s")


def _fault_of_downstream(value: object) -> str | None:
    if not isinstance(value, (tuple, list)) or not all(isinstance(call, DownstreamCall) for call in value):
        return f"must be a tuple of DownstreamCall, not {value!r}"
    for call in value:
        try:
            check_kinds(call)
        except TypeError as error:
            return str(error)
        if call.times < 0:
            return f"times must be 0 or more, not {call.times}"
    return None


@contextmanager
def refused(method: str, group: str) -> Iterator[None]:
    """Turns what a machine's options refuse, a ValueError that begins with the field, into a PolicyError."""
    try:
        yield
    except (ValueError, TypeError) as error:
        field, _, reason = str(error).partition(" ")
        raise PolicyError(method, f"{group}.{field.rstrip(':')}", reason) from error
