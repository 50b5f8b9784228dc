"""Policies as messages: every leaf arrives, with its origin."""

from __future__ import annotations

import math
from typing import Any

import kit
from kit.ops.policies import effective_policy
from kit.policy import DownstreamCall, policy_for
from kitapi.v1 import policy_pb2

METHOD = "/shop.v1.Shop/Get"


def message(policy: kit.MethodPolicy) -> Any:
    return effective_policy(policy_for(METHOD, {METHOD: policy}), served=False, target="shop:1")


def test_every_kind_of_leaf_arrives() -> None:
    found = message(
        kit.MethodPolicy(
            timeout=1.5,
            per_try_timeout=math.inf,
            retry=kit.RetryPolicy(max_attempts=3, retryable_status_codes=frozenset({14, 8}), jitter=kit.Jitter.FULL),
            breaker=kit.BreakerPolicy(kind=kit.BreakerKind.TIME_WINDOW, window=10.0, failure_rate=0.5, minimum_calls=5),
            retry_budget=kit.RetryBudget(ratio=0.1),
            downstream=(DownstreamCall(method="shop.v1.Stock/Take", times=2, parallel=True),),
            idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
        )
    )
    assert (found.method, found.target, found.served) == ("shop.v1.Shop/Get", "shop:1", False)
    policy = found.policy
    assert policy.timeout.ToMilliseconds() == 1500
    assert not policy.HasField("per_try_timeout")
    assert policy.retry.max_attempts == 3
    assert list(policy.retry.retryable_status_codes) == [8, 14]
    assert policy.retry.jitter == policy_pb2.FULL
    assert policy.breaker.kind == policy_pb2.BreakerPolicy.TIME_WINDOW
    assert policy.breaker.window.seconds == 10
    assert policy.retry_budget.ratio == 0.1
    (call,) = policy.downstream
    assert (call.method, call.times, call.parallel) == ("shop.v1.Stock/Take", 2, True)
    origin = f'code, "{METHOD}"'
    assert found.origins["timeout"] == found.origins["per_try_timeout"] == origin
    assert found.origins["idempotency_level"] == origin
    assert found.origins["retry.max_backoff"] == "kit default"


def test_rights_and_priority_arrive() -> None:
    found = message(
        kit.MethodPolicy(priority=kit.Priority.SHEDDABLE, auth=kit.AuthPolicy(scopes=("shop.read",), roles=("clerk",)))
    )
    assert found.policy.priority == policy_pb2.Priority.SHEDDABLE
    assert list(found.policy.auth.scopes) == ["shop.read"]
    assert list(found.policy.auth.roles) == ["clerk"]


def test_a_preset_arrives() -> None:
    assert message(kit.MethodPolicy(preset=kit.Preset.PRODUCTION)).policy.preset == policy_pb2.PRODUCTION
