"""The policies of breaker, throttle, budget, hedging, ejection and choice: from each source, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

import kit
from kit.errors import PolicyError
from kit.policy import BalanceKind, BreakerKind, policy_for, worst_case_seconds
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import IDEMPOTENT, NO_SIDE_EFFECTS, Rpc, declare

BREAKER = policy_pb2.BreakerPolicy(
    kind=policy_pb2.BreakerPolicy.COUNT_WINDOW, window_size=10, failure_rate=0.3, open_for=Duration(seconds=5)
)
OUTLIER = policy_pb2.OutlierPolicy(consecutive_errors=3, base_ejection_time=Duration(seconds=7))
BALANCE = policy_pb2.BalancePolicy(kind=policy_pb2.BalancePolicy.WEIGHTED, slow_start=Duration(seconds=9))


def test_what_the_proto_declares_is_what_the_machines_work_by() -> None:
    policy = policy_pb2.MethodPolicy(
        breaker=BREAKER,
        outlier=OUTLIER,
        balance=BALANCE,
        retry_throttling=policy_pb2.RetryThrottling(max_tokens=7, token_ratio=0.5),
        retry_budget=policy_pb2.RetryBudget(ratio=0.3),
        hedging=policy_pb2.HedgingPolicy(
            max_attempts=2, hedging_delay=Duration(nanos=50_000_000), non_fatal_status_codes=[code_pb2.ABORTED]
        ),
    )
    path = declare(Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=policy))
    found = policy_for(f"{path}/Get")
    assert found.breaker is not None
    assert (found.breaker.kind, found.breaker.window_size, found.breaker.open_for) == (BreakerKind.COUNT_WINDOW, 10, 5)
    assert found.outlier is not None
    assert (found.outlier.consecutive_errors, found.outlier.base_ejection_time) == (3, 7.0)
    assert (found.balance.kind, found.balance.slow_start) == (BalanceKind.WEIGHTED, 9.0)
    assert found.throttle is not None
    assert (found.throttle.max_tokens, found.throttle.token_ratio) == (7000, 500)
    assert found.budget is not None
    assert found.budget.ratio == 0.3
    assert found.hedging is not None
    assert (found.hedging.max_attempts, found.hedging.delay, found.hedging.non_fatal) == (2, 0.05, frozenset({10}))


def test_toml_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(
        '["/toml.Service/Get"]\n'
        'idempotency_level = "idempotent"\n'
        'breaker = { kind = "time_window", window = "20s", failure_rate = 0.25, slow_call = "500ms" }\n'
        'hedging = { max_attempts = 2, delay_quantile = 0.9, non_fatal_status_codes = ["ABORTED"] }\n'
        "retry_throttling = { max_tokens = 10, token_ratio = 0.1 }\n"
        "retry_budget = { ratio = 0.1, min_per_second = 1, window = 5 }\n"
        'outlier = { interval = "1s", max_ejection_percent = 30 }\n'
        'balance = { kind = "round_robin" }\n',
        "utf-8",
    )
    found = policy_for("/toml.Service/Get", str(file))
    assert found.breaker is not None
    assert (found.breaker.window, found.breaker.failure_rate, found.breaker.slow_call) == (20.0, 0.25, 0.5)
    assert found.hedging is not None
    assert found.hedging.quantile == 0.9
    assert found.budget is not None
    assert found.budget.window == 5.0
    assert found.outlier is not None
    assert (found.outlier.interval, found.outlier.max_ejection_percent) == (1.0, 30)
    assert found.balance.kind is BalanceKind.ROUND_ROBIN


def test_with_nothing_declared_there_is_none_of_it() -> None:
    found = policy_for("/nobody.Knows/This")
    assert (found.breaker, found.throttle, found.budget, found.hedging, found.outlier) == (None,) * 5


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=0)), "breaker.failure_threshold"),
        (kit.MethodPolicy(breaker=kit.BreakerPolicy(window_size=5)), "breaker.window_size"),
        (
            kit.MethodPolicy(
                idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
                retry=kit.RetryPolicy(max_attempts=4),
                breaker=kit.BreakerPolicy(kind=BreakerKind.COUNT_WINDOW, window_size=10, minimum_calls=2),
            ),
            "breaker.minimum_calls",
        ),
        (
            kit.MethodPolicy(
                idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
                hedging=kit.HedgingPolicy(max_attempts=3),
                breaker=kit.BreakerPolicy(failure_threshold=2),
            ),
            "breaker.failure_threshold",
        ),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_naming_the_field(policy: kit.MethodPolicy, field: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        policy_for("/test.Service/Do", policy)
    assert refusal.value.field == field
    assert refusal.value.method in ("*", "/test.Service/Do")


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (
            policy_pb2.MethodPolicy(retry_throttling=policy_pb2.RetryThrottling(max_tokens=1001)),
            "retry_throttling.max_tokens",
        ),
        (policy_pb2.MethodPolicy(retry_budget=policy_pb2.RetryBudget(ratio=-1)), "retry_budget.ratio"),
        (policy_pb2.MethodPolicy(hedging=policy_pb2.HedgingPolicy(max_attempts=6)), "hedging.max_attempts"),
        (
            policy_pb2.MethodPolicy(outlier=policy_pb2.OutlierPolicy(max_ejection_percent=101)),
            "outlier.max_ejection_percent",
        ),
        (
            policy_pb2.MethodPolicy(balance=policy_pb2.BalancePolicy(slow_start=Duration(seconds=-1))),
            "balance.slow_start",
        ),
    ],
)
def test_an_impossible_value_in_a_proto_is_refused_naming_the_field(
    policy: policy_pb2.MethodPolicy, field: str
) -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=policy))
    with pytest.raises(PolicyError) as refusal:
        policy_for(f"{path}/Get")
    assert refusal.value.field == field


def test_hedging_that_a_method_merely_inherits_is_off_where_it_would_do_harm() -> None:
    service = policy_pb2.MethodPolicy(hedging=policy_pb2.HedgingPolicy(max_attempts=3))
    path = declare(
        Rpc(name="Create"),
        Rpc(name="Get", level=NO_SIDE_EFFECTS),
        Rpc(name="Watch", level=NO_SIDE_EFFECTS, server_streaming=True),
        Rpc(name="Upload", level=NO_SIDE_EFFECTS, client_streaming=True),
        service=service,
    )
    assert policy_for(f"{path}/Create").hedging is None
    assert policy_for(f"{path}/Upload").hedging is None
    assert policy_for(f"{path}/Watch").hedging is not None
    assert policy_for(f"{path}/Get").hedging is not None


def test_a_replay_buffer_is_taken_from_each_source(tmp_path: Path) -> None:
    kept = policy_pb2.MethodPolicy(retry=policy_pb2.RetryPolicy(max_attempts=2, replay_buffer_bytes=1000))
    path = declare(
        Rpc(name="Upload", level=IDEMPOTENT, client_streaming=True, policy=kept),
        Rpc(name="Plain", level=IDEMPOTENT, client_streaming=True),
    )
    file = tmp_path / "policy.toml"
    file.write_text(f'["{path}/Upload"]\nretry.replay_buffer_bytes = 2000\n', "utf-8")
    given = {f"{path}/Upload": kit.MethodPolicy(retry=kit.RetryPolicy(replay_buffer_bytes=0))}
    assert policy_for(f"{path}/Plain").retry.replay_buffer == 0
    assert policy_for(f"{path}/Upload").retry.replay_buffer == 1000
    assert policy_for(f"{path}/Upload", str(file)).retry.replay_buffer == 2000
    assert policy_for(f"{path}/Upload", given).retry.replay_buffer == 0


@pytest.mark.parametrize(
    ("rpc", "size", "reason"),
    [
        (Rpc(name="Do", level=IDEMPOTENT), 1, "there is no stream to keep"),
        (Rpc(name="Do", client_streaming=True), 1, "not declared safe"),
        (Rpc(name="Do", level=IDEMPOTENT, client_streaming=True), 2**24 + 1, "must be 0 to 16777216"),
    ],
)
def test_a_replay_buffer_that_cannot_be_meant_is_refused(rpc: Rpc, size: int, reason: str, tmp_path: Path) -> None:
    path = f"{declare(rpc)}/Do"
    file = tmp_path / "policy.toml"
    file.write_text(f'["{path}"]\nretry.replay_buffer_bytes = {size}\n', "utf-8")
    with pytest.raises(PolicyError) as refusal:
        policy_for(path, str(file))
    assert (refusal.value.method, refusal.value.field) == (path, "retry.replay_buffer_bytes")
    assert reason in refusal.value.reason


def test_the_worst_case_of_hedging_is_one_attempt_after_the_other() -> None:
    policy = kit.MethodPolicy(
        idempotency_level=kit.IdempotencyLevel.IDEMPOTENT,
        per_try_timeout=2.0,
        hedging=kit.HedgingPolicy(max_attempts=3, hedging_delay=0.1),
    )
    assert worst_case_seconds(policy_for("/test.Service/Do", policy)) == 6.0
