"""The policy that holds for a method, and where each value of it comes from.

Later ones win, leaf by leaf: the kit's defaults, which a preset replaces; the .proto's service, then its method; the
TOML file that KIT_POLICY names; KIT_PRESET; the code's own argument. Inside one source the nearest key wins: "*", then
"/package.Service/*", then "/package.Service/Method". A call is hedged or retried, not both: of two that are declared
the nearer one turns the other off, and two in one place contradict each other.

A method may be executed twice only where it is declared NO_SIDE_EFFECTS or IDEMPOTENT, or where an idempotency key lets
the server deduplicate. Retries that any other method is given by name are refused; retries that it merely inherits,
from its service or a preset, are narrowed to attempts that provably never reached a server.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from kit.errors import PolicyError
from kit.policy import from_proto, overlay
from kit.policy.fallback import fitting, stand_in_of
from kit.policy.leaves import GROUPS, Leaves, check, merge, refused, split
from kit.policy.model import AuthPolicy, IdempotencyLevel, MethodPolicy, Preset
from kit.policy.presets import DEFAULTS, PRESETS
from kit.resilience.backoff import Backoff, Jitter, nth_delay
from kit.resilience.balance import BalancePolicy, BalanceRules
from kit.resilience.breaker_rules import BreakerKind, BreakerRules
from kit.resilience.budget import BudgetRules
from kit.resilience.fallback import FallbackRules
from kit.resilience.hedging import HedgingRules
from kit.resilience.idempotency import IdempotencyKeyMode, IdempotencyKeyRules
from kit.resilience.limiter import ConcurrencyPolicy, ConcurrencyRules
from kit.resilience.outlier import OutlierRules
from kit.resilience.priority import Priority
from kit.resilience.retry import RetryRules
from kit.resilience.throttle import ThrottleRules

__all__ = [
    "Overrides",
    "PolicySource",
    "Resolved",
    "check_source",
    "overrides_from",
    "policy_for",
    "worst_case_seconds",
]

#: What `policy=` takes: nothing, a policy for every method, policies by key, or the path of a TOML file.
PolicySource: TypeAlias = MethodPolicy | Mapping[str, MethodPolicy] | str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Overrides:
    """A policy source that has been read and checked: leaves by key."""

    tables: Mapping[str, Leaves]
    #: The path that KIT_POLICY names and what stands there, where it has been read already; None: it is looked up.
    environment: tuple[str, Mapping[str, Leaves]] | None = None


_ATTEMPTS = "retry.max_attempts"
_HEDGES = "hedging.max_attempts"
_REPLAY = "retry.replay_buffer_bytes"
_TTL = "idempotency_key.ttl"
_DEDUPLICATED = (IdempotencyKeyMode.OPTIONAL, IdempotencyKeyMode.REQUIRED)
#: Why a policy that hedges a stream of requests is refused.
STREAMS_ARE_NOT_HEDGED = "a stream of requests is not hedged: all of it would be sent several times"
_USUAL_BALANCE = BalanceRules()


class _Switchable(Protocol):
    """A group that can be turned off where it would be inherited."""

    @property
    def off(self) -> bool: ...


_P = TypeVar("_P", bound=_Switchable)
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Resolved:
    """The effective policy of one method.

    What has a default is set in `policy`; a breaker, a throttle, a budget or a limit that nobody declares, or that is
    turned off, is not there at all.
    """

    #: "/package.Service/Method"
    method: str
    policy: MethodPolicy
    #: Dotted leaf to the words for where its value comes from.
    origins: Mapping[str, str]
    #: Seconds; infinite for no limit.
    timeout: float
    per_try_timeout: float
    retry: RetryRules
    #: Whether the process knows the method's descriptor.
    known: bool
    #: None where calls are not hedged.
    hedging: HedgingRules | None = None
    breaker: BreakerRules | None = None
    concurrency: ConcurrencyRules | None = None
    throttle: ThrottleRules | None = None
    budget: BudgetRules | None = None
    outlier: OutlierRules | None = None
    balance: BalanceRules = _USUAL_BALANCE
    idempotency_key: IdempotencyKeyRules | None = None
    fallback: FallbackRules | None = None
    #: What follows is the server's to enforce. Calls per second that one process takes; infinite for no limit.
    rate_per_second: float = math.inf
    priority: Priority = Priority.DEFAULT
    #: None where nothing is said of who may call.
    auth: AuthPolicy | None = None
    #: The policy of the method that `fallback` names.
    stand_in: Resolved | None = None

    @property
    def narrowed(self) -> bool:
        """Whether only attempts that never reached a server are made again, though the policy names more."""
        return self.retry.max_attempts > 1 and not self.retry.replay_safe


def overrides_from(source: PolicySource) -> Overrides:
    """Reads and checks a `policy=` argument. Raises PolicyError."""
    check_source(source)
    if source is None:
        return Overrides({})
    if isinstance(source, MethodPolicy):
        source = {"*": source}
    if not isinstance(source, Mapping):
        return Overrides(overlay.load(Path(source)))
    found: dict[str, Leaves] = {}
    for key, policy in source.items():
        if not isinstance(key, str) or not overlay.is_key(key):
            hint = ""
            if isinstance(key, str) and overlay.is_key(f"/{key}"):
                hint = f"; write {f'/{key}'!r}"
            what = 'a key is "/package.Service/Method", "/package.Service/*" or "*"'
            raise PolicyError(key if isinstance(key, str) else repr(key), "", what + hint)
        if not isinstance(policy, MethodPolicy):
            raise PolicyError(key, "", f"must be a MethodPolicy, not {policy!r}{_wrapped(policy)}")
        found[key] = split(policy, key)
        check(key, found[key])
    return Overrides(found)


def check_source(source: object) -> None:
    """Refuses what a policy cannot be read from. Raises PolicyError."""
    if isinstance(source, (str, os.PathLike)):
        if not os.fspath(source):
            raise PolicyError("", "", "the path is empty; give that of a TOML file, or None for what the .proto says")
    elif source is not None and not isinstance(source, (MethodPolicy, Mapping)):
        what = "a MethodPolicy, a mapping from methods to MethodPolicy, the path of a TOML file, or None"
        raise PolicyError("", "", f"must be {what}, not {source!r}{_wrapped(source)}")


def _wrapped(policy: object) -> str:
    """What to write for a part of a policy that stands by itself."""
    group = next((name for name, kind in GROUPS.items() if isinstance(policy, kind)), None)
    return "" if group is None else f"; write MethodPolicy({group}=...)"


def policy_for(method: str, overrides: PolicySource | Overrides = None) -> Resolved:
    """The effective policy of "/package.Service/Method"; a method that nothing is known of gets the defaults.

    Raises PolicyError for a policy that contradicts itself, is unsafe or sets what nothing enforces.
    """
    if not method.startswith("/"):
        method = f"/{method}"
    given = overrides if isinstance(overrides, Overrides) else overrides_from(overrides)
    return _with_stand_in(_alone(method, given), given, ())


def _with_stand_in(resolved: Resolved, given: Overrides, before: tuple[str, ...]) -> Resolved:
    """The same with the policy of the method that stands in, and so on. Refuses a circle."""
    path = stand_in_of(resolved.method, resolved.fallback)
    if path is None:
        return resolved
    way = (*before, resolved.method)
    if path in way:
        raise PolicyError(way[0], "fallback.method", f"goes round in a circle: {' > '.join((*way, path))}")
    return replace(resolved, stand_in=_with_stand_in(_alone(path, given), given, way))


def _alone(method: str, given: Overrides) -> Resolved:
    """The policy of a method, without that of the one that stands in for it."""
    descriptor = from_proto.find_method(method)
    sources: list[tuple[str, Leaves, bool]] = []
    if descriptor is not None:
        level: Leaves = {"idempotency_level": from_proto.idempotency_level(descriptor)}
        sources += [
            (".proto, service option", from_proto.service_leaves(descriptor), False),
            (".proto, idempotency_level", level, False),
            (".proto, method option", from_proto.method_leaves(descriptor), True),
        ]
    environment = given.environment if given.environment is not None else _environment()
    if environment is not None:
        path, tables = environment
        sources += _keyed(f"KIT_POLICY {path}", tables, method)
    preset = os.environ.get("KIT_PRESET")
    if preset:
        sources.append(("KIT_PRESET", {"preset": _preset(preset)}, False))
    sources += _keyed("code", given.tables, method)
    return _merged(method, sources, known=descriptor is not None)


def _keyed(origin: str, tables: Mapping[str, Leaves], method: str) -> list[tuple[str, Leaves, bool]]:
    service = f"{method.rpartition('/')[0]}/*"
    return [(f'{origin}, "{key}"', tables[key], key == method) for key in ("*", service, method) if key in tables]


def _environment() -> tuple[str, Mapping[str, Leaves]] | None:
    path = os.environ.get("KIT_POLICY")
    return (path, overlay.load(path)) if path else None


def _preset(name: str) -> Preset:
    try:
        return Preset[name.upper()]
    except KeyError as error:
        names = ", ".join(preset.name.lower() for preset in Preset)
        raise PolicyError("", "preset", f"KIT_PRESET must be one of {names}, not {name!r}") from error


def _merged(method: str, sources: list[tuple[str, Leaves, bool]], *, known: bool) -> Resolved:
    leaves: Leaves = {}
    origins: dict[str, str] = {}
    by_name: dict[str, bool] = {}
    #: Which source a leaf is from; what is from none of them is from a preset or the defaults, and further than any.
    near: dict[str, int] = {}
    for place, (origin, found, names_method) in enumerate(sources):
        check(method, found)
        for name, value in found.items():
            leaves[name], origins[name] = value, origin
            by_name[name], near[name] = names_method, place
    preset = leaves.get("preset")
    usual = [] if preset is None else [(f"preset {preset.name}", PRESETS[preset])]
    for origin, defaults in (*usual, ("kit default", DEFAULTS)):
        for name in defaults.keys() - leaves.keys():
            leaves[name], origins[name] = defaults[name], origin
    safe_by_itself = leaves["idempotency_level"] is not IdempotencyLevel.UNKNOWN
    safe = safe_by_itself or leaves.get("idempotency_key.mode") in _DEDUPLICATED
    for name in (_ATTEMPTS, _HEDGES):
        if by_name.get(name) and not safe and leaves[name] > 1:
            hint = "declare idempotency_level in the .proto" if known else "say MethodPolicy(idempotency_level=...)"
            hint += ", an idempotency_key that the server deduplicates"
            raise PolicyError(
                method, name, f"the method is not declared safe to execute twice; {hint}, or set max_attempts to 1"
            )
    if by_name.get(_REPLAY) and leaves[_REPLAY] > 0:
        _check_replay(method, safe=safe)
    _open_or_guarded(method, leaves, origins, near)
    policy = merge(leaves)
    hedging = _hedging(method, policy, by_name=by_name.get(_HEDGES, False)) if safe else None
    if hedging is not None and leaves[_ATTEMPTS] > 1:
        _let_nearer_hold(method, leaves, origins, near)
        policy = merge(leaves)
        hedging = _hedging(method, policy, by_name=False)
    assert policy.retry is not None
    retry = RetryRules.of(policy.retry, replay_safe=safe)
    attempts = max(retry.max_attempts, hedging.max_attempts if hedging is not None else 1)
    resolved = Resolved(
        method=method,
        policy=policy,
        origins=origins,
        timeout=leaves["timeout"],
        per_try_timeout=leaves["per_try_timeout"],
        retry=retry,
        known=known,
        hedging=hedging,
        breaker=_breaker(method, policy, attempts),
        concurrency=_concurrency(method, leaves, policy.concurrency),
        throttle=_given(leaves, "retry_throttling", policy.retry_throttling, ThrottleRules.of),
        budget=_given(leaves, "retry_budget", policy.retry_budget, BudgetRules.of),
        outlier=_given(leaves, "outlier", policy.outlier, OutlierRules.of),
        balance=BalanceRules.of(policy.balance if policy.balance is not None else BalancePolicy()),
        idempotency_key=_key_rules(policy, sent_again=attempts > 1, safe_by_itself=safe_by_itself),
        rate_per_second=leaves.get("rate.per_second", math.inf),
        priority=leaves.get("priority", Priority.DEFAULT),
        auth=_auth(policy, leaves),
        fallback=None if policy.fallback is None else fitting(method, policy.fallback, origins, by_name),
    )
    _check_ttl(resolved, by_name=by_name.get(_TTL, False))
    return resolved


def _let_nearer_hold(method: str, leaves: Leaves, origins: dict[str, str], near: Mapping[str, int]) -> None:
    """A call is hedged or retried: what is declared nearer turns the other off. Both in one place contradict."""
    hedged, retried = near.get(_HEDGES, -1), near.get(_ATTEMPTS, -1)
    if hedged == retried:
        raise PolicyError(method, _HEDGES, f"never together with retries; set {_ATTEMPTS} to 1, or this")
    winner, loser = (_HEDGES, _ATTEMPTS) if hedged > retried else (_ATTEMPTS, _HEDGES)
    why = f"{origins[winner]}: {winner.partition('.')[0]} is declared nearer"
    leaves[loser], origins[loser] = 1, why


def _open_or_guarded(method: str, leaves: Leaves, origins: dict[str, str], near: Mapping[str, int]) -> None:
    """A method is public or asks for rights: what is declared nearer holds. Both in one place contradict."""
    rights = [name for name in ("auth.scopes", "auth.roles") if leaves.get(name)]
    if not (rights and leaves.get("auth.public")):
        return
    nearest, public = max(near[name] for name in rights), near["auth.public"]
    if nearest == public:
        raise PolicyError(method, "auth.public", f"contradicts {' and '.join(rights)}; remove it, or them")
    losers, winner = (rights, "auth.public") if public > nearest else (["auth.public"], rights[0])
    for name in losers:
        leaves[name] = () if name in rights else False
        origins[name] = f"{origins[winner]}: {winner} is declared nearer"


def _key_rules(policy: MethodPolicy, *, sent_again: bool, safe_by_itself: bool) -> IdempotencyKeyRules | None:
    if policy.idempotency_key is None:
        return None
    return IdempotencyKeyRules.of(policy.idempotency_key, sent_again=sent_again, safe_by_itself=safe_by_itself)


def _check_ttl(resolved: Resolved, *, by_name: bool) -> None:
    """Refuses attempts that may come when the server has forgotten the key that makes them safe."""
    declared, rules = resolved.policy.idempotency_key, resolved.idempotency_key
    if by_name and declared is not None and declared.mode is None:
        raise PolicyError(resolved.method, _TTL, "says nothing without a mode; name it, or remove this")
    if rules is None or rules.within == math.inf:
        return
    worst = worst_case_seconds(resolved)
    if worst > rules.within:
        may = "for ever" if worst == math.inf else f"{worst:g} s"
        raise PolicyError(
            resolved.method,
            _TTL,
            f"the server forgets a key after {rules.within:g} s, and attempts and backoffs may take {may}; raise it, "
            f"or lower timeout, per_try_timeout or max_attempts",
        )


def _given(leaves: Leaves, group: str, policy: _P | None, rules: Callable[[_P], _R]) -> _R | None:
    """The rules of what somebody has declared; None for what nobody has, and for what is turned off."""
    declared = any(name.startswith(f"{group}.") for name in leaves)
    return None if policy is None or not declared or policy.off else rules(policy)


def _auth(policy: MethodPolicy, leaves: Leaves) -> AuthPolicy | None:
    """What is said of who may call, where something is."""
    return policy.auth if any(name.startswith("auth.") for name in leaves) else None


def _concurrency(method: str, leaves: Leaves, policy: ConcurrencyPolicy | None) -> ConcurrencyRules | None:
    with refused(method, "concurrency"):
        return _given(leaves, "concurrency", policy, ConcurrencyRules.of)


def _hedging(method: str, policy: MethodPolicy, *, by_name: bool) -> HedgingRules | None:
    if policy.hedging is None:
        return None
    rules = HedgingRules.of(policy.hedging)
    descriptor = from_proto.find_method(method)
    if rules.max_attempts == 1:
        return None
    if descriptor is not None and descriptor.client_streaming:
        if by_name:
            raise PolicyError(method, _HEDGES, STREAMS_ARE_NOT_HEDGED)
        return None
    return rules


def _check_replay(method: str, *, safe: bool) -> None:
    """Refuses a replay buffer that a method is given by name and that nothing would fill."""
    descriptor = from_proto.find_method(method)
    if descriptor is not None and not descriptor.client_streaming:
        raise PolicyError(method, _REPLAY, "the method takes one request: there is no stream to keep; remove it")
    if not safe:
        raise PolicyError(method, _REPLAY, "the method is not declared safe to execute twice; set it to 0")


def _breaker(method: str, policy: MethodPolicy, attempts: int) -> BreakerRules | None:
    with refused(method, "breaker"):
        rules = BreakerRules.of(policy.breaker) if policy.breaker is not None else None
    if rules is not None and rules.fewest_failures < attempts:
        consecutive = rules.kind is BreakerKind.CONSECUTIVE
        raise PolicyError(
            method,
            "breaker.failure_threshold" if consecutive else "breaker.minimum_calls",
            f"the breaker may open after {rules.fewest_failures} failures, which is sooner than one call's "
            f"{attempts} attempts end; raise it to at least {attempts} or lower max_attempts",
        )
    return rules


def worst_case_seconds(resolved: Resolved) -> float:
    """The longest that a call can take: every attempt runs out of its time, with the backoffs between them.

    The method that stands in when all have failed counts as well. Jitter is left out; the call's own timeout bounds it.
    Infinite where neither a timeout nor a per-try timeout is set.
    """
    rules, hedging = resolved.retry, resolved.hedging
    after = 0.0 if resolved.stand_in is None else worst_case_seconds(resolved.stand_in)
    if hedging is not None:
        # Where a failure sends the next attempt, they may also run one after the other.
        return min(resolved.timeout, hedging.max_attempts * resolved.per_try_timeout + after)
    steady = Backoff(
        initial=rules.backoff.initial,
        multiplier=rules.backoff.multiplier,
        maximum=rules.backoff.maximum,
        jitter=Jitter.NONE,
    )
    waits = math.fsum(nth_delay(steady, retry, 0.0) for retry in range(1, rules.max_attempts))
    return min(resolved.timeout, rules.max_attempts * resolved.per_try_timeout + waits + after)
