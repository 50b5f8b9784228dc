"""What is inherited can be turned off, in each source, by the value that means "none" for the field."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import kit
from kit.errors import PolicyError
from kit.policy import BreakerKind, Resolved, policy_for
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import IDEMPOTENT, Rpc, declare

EVERYTHING = policy_pb2.MethodPolicy(
    retry=policy_pb2.RetryPolicy(max_attempts=3),
    breaker=policy_pb2.BreakerPolicy(failure_threshold=7),
    outlier=policy_pb2.OutlierPolicy(consecutive_errors=3),
    retry_budget=policy_pb2.RetryBudget(ratio=0.3),
    retry_throttling=policy_pb2.RetryThrottling(max_tokens=7),
    concurrency=policy_pb2.ConcurrencyPolicy(max_concurrent=5, adaptive=True),
)
OFF = policy_pb2.MethodPolicy(
    retry=policy_pb2.RetryPolicy(max_attempts=1),
    breaker=policy_pb2.BreakerPolicy(kind=policy_pb2.BreakerPolicy.OFF),
    outlier=policy_pb2.OutlierPolicy(max_ejection_percent=0),
    retry_budget=policy_pb2.RetryBudget(ratio=math.inf),
    retry_throttling=policy_pb2.RetryThrottling(max_tokens=math.inf),
    concurrency=policy_pb2.ConcurrencyPolicy(max_concurrent=0),
)
TOML = """
["%s/Get"]
retry.max_attempts = 1
breaker.kind = "off"
outlier.max_ejection_percent = 0
retry_budget.ratio = inf
retry_throttling.max_tokens = inf
concurrency.max_concurrent = 0
"""
CODE = kit.MethodPolicy(
    retry=kit.RetryPolicy(max_attempts=1),
    breaker=kit.BreakerPolicy(kind=BreakerKind.OFF),
    outlier=kit.OutlierPolicy(max_ejection_percent=0),
    retry_budget=kit.RetryBudget(ratio=math.inf),
    retry_throttling=kit.RetryThrottling(max_tokens=math.inf),
    concurrency=kit.ConcurrencyPolicy(max_concurrent=0),
)


def present(found: Resolved) -> set[str]:
    names = ("breaker", "outlier", "budget", "throttle", "concurrency")
    return {name for name in names if getattr(found, name) is not None} | (
        {"retry"} if found.retry.max_attempts > 1 else set()
    )


def test_all_of_it_is_inherited_where_nothing_is_said() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT), service=EVERYTHING)
    found = policy_for(f"{path}/Get")
    assert present(found) == {"breaker", "outlier", "budget", "throttle", "concurrency", "retry"}


@pytest.mark.parametrize("source", ["proto", "toml", "code"])
def test_each_source_can_turn_off_all_of_it(source: str, tmp_path: Path) -> None:
    option = OFF if source == "proto" else None
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=option), service=EVERYTHING)
    file = tmp_path / "policy.toml"
    file.write_text(TOML % path, "utf-8")
    given = {"proto": None, "toml": file, "code": {f"{path}/Get": CODE}}[source]
    assert present(policy_for(f"{path}/Get", given)) == set()


def test_what_is_off_can_be_turned_on_again_nearer_by() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=EVERYTHING), service=OFF)
    given = {f"{path}/Get": kit.MethodPolicy(breaker=kit.BreakerPolicy(kind=BreakerKind.CONSECUTIVE))}
    assert "breaker" not in present(policy_for(f"{path}/Get"))
    found = policy_for(f"{path}/Get", given).breaker
    assert found is not None
    assert found.failure_threshold == 7


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_queued=3)), "concurrency.max_concurrent"),
        (kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(adaptive=False)), "concurrency.max_concurrent"),
    ],
)
def test_a_limit_without_a_number_is_refused(policy: kit.MethodPolicy, field: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        policy_for("/test.Service/Do", policy)
    assert (refusal.value.method, refusal.value.field) == ("/test.Service/Do", field)


def test_a_limit_in_toml_is_what_the_machine_works_by(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('["*"]\nconcurrency = { max_concurrent = 9, adaptive = true, max_queued = 4 }\n', "utf-8")
    found = policy_for("/test.Service/Do", file).concurrency
    assert found is not None
    assert (found.max_concurrent, found.adaptive, found.max_queued) == (9, True, 4)
    file.write_text('["*"]\nconcurrency = { max_concurrent = 9, adaptive = 1 }\n', "utf-8")
    with pytest.raises(PolicyError, match="true or false"):
        policy_for("/test.Service/Do", file)
