"""The policy of idempotency keys: from each source, what it allows, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

import kit
from kit.errors import PolicyError
from kit.policy import IdempotencyKeyMode, Resolved, policy_for
from kit.resilience.idempotency import IdempotencyKeyRules
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import NO_SIDE_EFFECTS, Rpc, declare

METHOD = "/no.such.Service/Create"
Key = policy_pb2.IdempotencyKeyPolicy
REQUIRED, OPTIONAL, NONE = IdempotencyKeyMode.REQUIRED, IdempotencyKeyMode.OPTIONAL, IdempotencyKeyMode.NONE


def declared(policy: policy_pb2.MethodPolicy, service: policy_pb2.MethodPolicy | None = None) -> Resolved:
    """What holds for a method with no idempotency_level."""
    return policy_for(f"{declare(Rpc(name='Create', policy=policy), service=service)}/Create")


def retried(**more: object) -> policy_pb2.MethodPolicy:
    return policy_pb2.MethodPolicy(retry=policy_pb2.RetryPolicy(max_attempts=3), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [Key.OPTIONAL, Key.REQUIRED])
def test_a_key_that_the_server_deduplicates_allows_retries_whatever_the_idempotency_level(
    mode: Key.Mode.ValueType,
) -> None:
    found = declared(retried(idempotency_key=Key(mode=mode)))
    assert (found.retry.max_attempts, found.retry.replay_safe, found.narrowed) == (3, True, False)
    assert found.idempotency_key == IdempotencyKeyRules(makes_keys=True)
    assert found.origins["idempotency_key.mode"] == ".proto, method option"


def test_it_allows_hedging_as_well() -> None:
    hedging = policy_pb2.HedgingPolicy(max_attempts=2)
    found = declared(policy_pb2.MethodPolicy(hedging=hedging, idempotency_key=Key(mode=Key.OPTIONAL)))
    assert found.hedging is not None
    assert found.idempotency_key == IdempotencyKeyRules(makes_keys=True)


@pytest.mark.parametrize("key", [None, Key(mode=Key.NONE), Key()])
def test_without_it_a_retry_by_name_is_refused_and_the_key_is_among_the_hints(key: Key | None) -> None:
    with pytest.raises(PolicyError, match="idempotency_key that the server deduplicates") as refusal:
        declared(retried(idempotency_key=key))
    assert refusal.value.field == "retry.max_attempts"


def test_none_turns_off_what_is_inherited() -> None:
    service = retried(idempotency_key=Key(mode=Key.REQUIRED))
    found = declared(policy_pb2.MethodPolicy(idempotency_key=Key(mode=Key.NONE)), service)
    assert found.idempotency_key is None
    assert found.narrowed


def test_a_method_without_further_attempts_makes_keys_only_where_they_are_required() -> None:
    for mode, makes_keys in ((Key.OPTIONAL, False), (Key.REQUIRED, True)):
        found = declared(policy_pb2.MethodPolicy(idempotency_key=Key(mode=mode)))
        assert found.idempotency_key == IdempotencyKeyRules(makes_keys=makes_keys)


def test_a_worst_case_longer_than_the_ttl_is_refused_naming_both() -> None:
    policy = kit.MethodPolicy(
        timeout=30.0,
        retry=kit.RetryPolicy(max_attempts=3),
        idempotency_key=kit.IdempotencyKeyPolicy(mode=REQUIRED, ttl=20.0),
    )
    with pytest.raises(PolicyError, match=r"after 20 s.* may take 30 s") as refusal:
        policy_for(METHOD, {METHOD: policy})
    assert (refusal.value.method, refusal.value.field) == (METHOD, "idempotency_key.ttl")


def test_attempts_without_any_limit_are_longer_than_every_ttl() -> None:
    key = kit.IdempotencyKeyPolicy(mode=OPTIONAL, ttl=86400.0)
    with pytest.raises(PolicyError, match="may take for ever"):
        policy_for(METHOD, kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=2), idempotency_key=key))


def test_a_worst_case_of_exactly_the_ttl_is_accepted_and_the_call_gets_no_more_time() -> None:
    policy = kit.MethodPolicy(
        timeout=20.0,
        retry=kit.RetryPolicy(max_attempts=3),
        idempotency_key=kit.IdempotencyKeyPolicy(mode=REQUIRED, ttl=20.0),
    )
    found = policy_for(METHOD, {METHOD: policy}).idempotency_key
    assert found is not None
    assert found.within == 20.0


@pytest.mark.parametrize(
    "policy",
    [
        kit.MethodPolicy(idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, retry=kit.RetryPolicy(max_attempts=3)),
        kit.MethodPolicy(),
    ],
)
def test_a_ttl_bounds_nothing_where_the_call_is_safe_by_itself_or_sent_once(policy: kit.MethodPolicy) -> None:
    key = kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=REQUIRED, ttl=0.5))
    found = policy_for(METHOD, {"/no.such.Service/*": key, METHOD: policy}).idempotency_key
    assert found is not None
    assert found.within == math.inf


def test_a_ttl_by_name_without_a_mode_is_refused_and_an_inherited_one_says_nothing() -> None:
    with pytest.raises(PolicyError, match="without a mode") as refusal:
        declared(policy_pb2.MethodPolicy(idempotency_key=Key(ttl=Duration(seconds=5))))
    assert refusal.value.field == "idempotency_key.ttl"
    service = policy_pb2.MethodPolicy(idempotency_key=Key(ttl=Duration(seconds=5)))
    assert declared(policy_pb2.MethodPolicy(), service).idempotency_key is None


def test_a_ttl_that_is_no_time_is_refused_naming_the_field() -> None:
    with pytest.raises(PolicyError) as refusal:
        declared(policy_pb2.MethodPolicy(idempotency_key=Key(ttl=Duration(seconds=-1))))
    assert refusal.value.field == "idempotency_key.ttl"


def test_toml_can_say_it(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('["*"]\nidempotency_key = { mode = "required", ttl = "1h" }\n', "utf-8")
    policy = policy_for(METHOD, file).policy.idempotency_key
    assert policy == kit.IdempotencyKeyPolicy(mode=REQUIRED, ttl=3600.0)
    file.write_text('["*"]\nidempotency_key = { mode = "sometimes" }\n', "utf-8")
    with pytest.raises(PolicyError, match="one of none, optional, required"):
        policy_for(METHOD, file)


def test_the_key_of_a_method_that_reads_may_be_declared_too() -> None:
    path = declare(Rpc(name="Get", level=NO_SIDE_EFFECTS), service=retried(idempotency_key=Key(mode=Key.OPTIONAL)))
    assert policy_for(f"{path}/Get").idempotency_key == IdempotencyKeyRules(makes_keys=True)
    assert policy_for(f"{path}/Get", {f"{path}/Get": _mode(NONE)}).idempotency_key is None


def _mode(mode: IdempotencyKeyMode) -> kit.MethodPolicy:
    return kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=mode))
