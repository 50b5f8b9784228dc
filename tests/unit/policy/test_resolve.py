"""What policy holds for a method, and where it comes from."""

from __future__ import annotations

import math
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

import kit
from kit.errors import PolicyError
from kit.policy import DownstreamCall, IdempotencyLevel, Jitter, Preset, overrides_from, policy_for, worst_case_seconds
from kit.policy.from_proto import find_method
from kitapi.v1 import policy_pb2
from loganalyzer.cache.v1 import cache_pb2
from loganalyzer.importer.v1 import importer_pb2
from loganalyzer.search.v1 import search_pb2
from loganalyzer.workspace.v1 import workspace_pb2
from tests.unit.policy.declared import IDEMPOTENT, NO_SIDE_EFFECTS, Rpc, declare

MethodPolicy = policy_pb2.MethodPolicy


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIT_POLICY", raising=False)
    monkeypatch.delenv("KIT_PRESET", raising=False)


def seconds(value: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(round(value * 1e9))
    return made


def three(**more: object) -> policy_pb2.RetryPolicy:
    return policy_pb2.RetryPolicy(max_attempts=3, **more)  # type: ignore[arg-type]


def test_a_method_that_nothing_is_known_of_gets_the_defaults() -> None:
    found = policy_for("/no.such.Service/Method")
    assert not found.known
    assert (found.timeout, found.per_try_timeout, found.retry.max_attempts) == (math.inf, math.inf, 1)
    assert set(found.origins.values()) == {"kit default"}
    assert worst_case_seconds(found) == math.inf


def test_the_methods_own_option_wins_over_the_services_leaf_by_leaf() -> None:
    path = declare(
        Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=MethodPolicy(timeout=seconds(2), retry=three())),
        service=MethodPolicy(
            timeout=seconds(9),
            per_try_timeout=seconds(1.5),
            retry=policy_pb2.RetryPolicy(max_attempts=5, initial_backoff=seconds(0.25)),
        ),
    )
    found = policy_for(f"{path}/Get")
    assert (found.timeout, found.per_try_timeout) == (2.0, 1.5)
    assert (found.retry.max_attempts, found.retry.backoff.initial, found.retry.backoff.maximum) == (3, 0.25, 5.0)
    assert found.origins["timeout"] == found.origins["retry.max_attempts"] == ".proto, method option"
    assert found.origins["per_try_timeout"] == found.origins["retry.initial_backoff"] == ".proto, service option"
    assert found.origins["retry.max_backoff"] == "kit default"
    assert found.origins["idempotency_level"] == ".proto, idempotency_level"


def test_every_leaf_of_the_effective_policy_has_a_value_and_an_origin() -> None:
    found = policy_for(f"{declare(Rpc(name='Get'))}/Get")
    assert set(found.origins) == {
        "timeout",
        "per_try_timeout",
        "retry.max_attempts",
        "retry.initial_backoff",
        "retry.max_backoff",
        "retry.backoff_multiplier",
        "retry.retryable_status_codes",
        "retry.jitter",
        "retry.replay_buffer_bytes",
        "rate.cost",
        "downstream",
        "idempotency_level",
    }


def test_enums_codes_and_downstream_calls_are_read() -> None:
    retry = three(jitter=policy_pb2.FULL, retryable_status_codes=[code_pb2.ABORTED, code_pb2.UNAVAILABLE])
    policy = MethodPolicy(
        preset=policy_pb2.DEVELOPMENT,
        retry=retry,
        rate=policy_pb2.RatePolicy(cost=0),
        downstream=[policy_pb2.DownstreamCall(method="/a.B/C"), policy_pb2.DownstreamCall(method="a.B/D", times=3)],
    )
    found = policy_for(f"{declare(Rpc(name='Get', level=IDEMPOTENT, policy=policy))}/Get")
    assert found.policy.preset is Preset.DEVELOPMENT
    assert found.retry.backoff.jitter is Jitter.FULL
    assert found.retry.retryable == {10, 14}
    assert found.policy.rate is not None
    assert found.policy.rate.cost == 0
    assert found.policy.downstream == (DownstreamCall(method="a.B/C"), DownstreamCall(method="a.B/D", times=3))


@pytest.mark.parametrize(
    ("preset", "attempts", "initial", "cap", "per_try", "worst"),
    [
        (policy_pb2.PRODUCTION, 4, 1.0, 10.0, 30.0, 4 * 30 + 7),
        (policy_pb2.DEVELOPMENT, 2, 0.5, 10.0, 10.0, 2 * 10 + 0.5),
        (policy_pb2.CRITICAL, 4, 1.0, 10.0, 30.0, 4 * 30 + 7),
    ],
)
def test_the_presets_have_the_figures_that_the_product_must_have(
    preset: policy_pb2.Preset.ValueType, attempts: int, initial: float, cap: float, per_try: float, worst: float
) -> None:
    found = policy_for(f"{declare(Rpc(name='Get', level=IDEMPOTENT, policy=MethodPolicy(preset=preset)))}/Get")
    assert (found.retry.max_attempts, found.per_try_timeout) == (attempts, per_try)
    assert (found.retry.backoff.initial, found.retry.backoff.multiplier, found.retry.backoff.maximum) == (
        initial,
        2,
        cap,
    )
    assert found.retry.backoff.jitter is Jitter.PLUS_MINUS_25
    assert worst_case_seconds(found) == worst
    assert found.origins["retry.max_attempts"] == f"preset {policy_pb2.Preset.Name(preset)}"


def test_the_protos_own_values_win_over_a_preset_and_max_attempts_one_turns_retry_off() -> None:
    policy = MethodPolicy(preset=policy_pb2.PRODUCTION, retry=policy_pb2.RetryPolicy(max_attempts=1))
    found = policy_for(f"{declare(Rpc(name='Get', level=IDEMPOTENT, policy=policy))}/Get")
    assert found.retry.max_attempts == 1
    assert found.per_try_timeout == 30.0


def test_the_timeout_bounds_the_worst_case() -> None:
    policy = MethodPolicy(preset=policy_pb2.PRODUCTION, timeout=seconds(5))
    found = policy_for(f"{declare(Rpc(name='Get', level=IDEMPOTENT, policy=policy))}/Get")
    assert worst_case_seconds(found) == 5.0


def test_a_retry_that_an_unsafe_method_is_given_by_name_is_refused() -> None:
    path = declare(Rpc(name="Create", policy=MethodPolicy(retry=three())))
    with pytest.raises(PolicyError) as refusal:
        policy_for(f"{path}/Create")
    assert refusal.value.method == f"{path}/Create"
    assert refusal.value.field == "retry.max_attempts"
    assert "idempotency_level" in refusal.value.reason


@pytest.mark.parametrize("service", [MethodPolicy(retry=three()), MethodPolicy(preset=policy_pb2.PRODUCTION)])
def test_a_retry_that_an_unsafe_method_inherits_is_narrowed(service: MethodPolicy) -> None:
    path = declare(Rpc(name="Create"), Rpc(name="Get", level=NO_SIDE_EFFECTS), service=service)
    assert policy_for(f"{path}/Create").narrowed
    assert not policy_for(f"{path}/Create").retry.replay_safe
    assert not policy_for(f"{path}/Get").narrowed


def test_a_preset_on_the_method_itself_is_narrowed_too() -> None:
    path = declare(Rpc(name="Create", policy=MethodPolicy(preset=policy_pb2.PRODUCTION)))
    assert policy_for(f"{path}/Create").narrowed


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (MethodPolicy(timeout=seconds(0)), "timeout"),
        (MethodPolicy(timeout=seconds(-1)), "timeout"),
        (MethodPolicy(per_try_timeout=seconds(-1)), "per_try_timeout"),
        (MethodPolicy(retry=policy_pb2.RetryPolicy(max_attempts=6)), "retry.max_attempts"),
        (MethodPolicy(retry=policy_pb2.RetryPolicy(max_attempts=0)), "retry.max_attempts"),
        (MethodPolicy(retry=three(backoff_multiplier=0.5)), "retry.backoff_multiplier"),
        (MethodPolicy(retry=three(max_backoff=seconds(-1))), "retry.max_backoff"),
        (MethodPolicy(retry=three(initial_backoff=seconds(2), max_backoff=seconds(1))), "retry.initial_backoff"),
        (MethodPolicy(retry=three(retryable_status_codes=[code_pb2.OK])), "retry.retryable_status_codes"),
        (MethodPolicy(downstream=[policy_pb2.DownstreamCall()]), "downstream.method"),
    ],
)
def test_an_impossible_value_is_refused_naming_method_field_and_reason(policy: MethodPolicy, field: str) -> None:
    path = declare(Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=policy))
    with pytest.raises(PolicyError) as refusal:
        policy_for(f"{path}/Get")
    assert (refusal.value.method, refusal.value.field) == (f"{path}/Get", field)
    assert refusal.value.reason


def test_the_code_wins_over_the_environment_which_wins_over_the_proto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = MethodPolicy(timeout=seconds(9), per_try_timeout=seconds(9), preset=policy_pb2.DEVELOPMENT, retry=three())
    method = f"{declare(Rpc(name='Get', level=NO_SIDE_EFFECTS, policy=policy))}/Get"
    overlay = tmp_path / "policy.toml"
    overlay.write_text(f'["{method}"]\nper_try_timeout = "500ms"\ntimeout = 5\npreset = "critical"\n', "utf-8")
    monkeypatch.setenv("KIT_POLICY", str(overlay))
    monkeypatch.setenv("KIT_PRESET", "production")
    found = policy_for(method, {method: kit.MethodPolicy(timeout=3.0)})
    assert (found.timeout, found.per_try_timeout, found.retry.max_attempts) == (3.0, 0.5, 3)
    assert found.policy.preset is Preset.PRODUCTION
    assert found.retry.backoff.initial == 1.0
    assert found.origins["timeout"] == f'code, "{method}"'
    assert found.origins["per_try_timeout"] == f'KIT_POLICY {overlay}, "{method}"'
    assert found.origins["preset"] == "KIT_PRESET"
    assert found.origins["retry.max_attempts"] == ".proto, method option"


def test_the_nearest_key_wins() -> None:
    path = declare(Rpc(name="Get"), Rpc(name="Put"))
    given = {
        f"{path}/Get": kit.MethodPolicy(timeout=1.0),
        f"{path}/*": kit.MethodPolicy(timeout=2.0, per_try_timeout=2.0),
        "*": kit.MethodPolicy(timeout=3.0),
    }
    assert policy_for(f"{path}/Get", given).timeout == 1.0
    assert policy_for(f"{path}/Get", given).per_try_timeout == 2.0
    assert policy_for(f"{path}/Put", given).timeout == 2.0
    assert policy_for("/other.Service/Get", given).timeout == 3.0
    assert policy_for("/other.Service/Get", kit.MethodPolicy(timeout=4.0)).timeout == 4.0


def test_what_the_code_leaves_open_is_inherited() -> None:
    policy = MethodPolicy(retry=three(initial_backoff=seconds(0.25)))
    path = declare(Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=policy))
    found = policy_for(f"{path}/Get", kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=2)))
    assert (found.retry.max_attempts, found.retry.backoff.initial) == (2, 0.25)


def test_the_code_can_say_that_an_unknown_method_is_safe() -> None:
    method = "/no.such.Service/Method"
    retry = kit.RetryPolicy(max_attempts=2, retryable_status_codes=[grpc.StatusCode.ABORTED])
    with pytest.raises(PolicyError, match="idempotency_level"):
        policy_for(method, {method: kit.MethodPolicy(retry=retry)})
    safe = kit.MethodPolicy(retry=retry, idempotency_level=IdempotencyLevel.IDEMPOTENT)
    assert policy_for(method, {method: safe}).retry.replay_safe


@pytest.mark.parametrize("key", ["pkg.Service/Method", "/pkg.Service", "Method", "/pkg.Service/Me*"])
def test_a_key_that_names_nothing_is_refused(key: str) -> None:
    with pytest.raises(PolicyError, match="a key is"):
        overrides_from({key: kit.MethodPolicy(timeout=1.0)})


def test_an_impossible_value_in_the_code_is_refused_when_it_is_given() -> None:
    with pytest.raises(PolicyError, match="timeout"):
        overrides_from({"*": kit.MethodPolicy(timeout=0.0)})


def test_an_unknown_preset_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_PRESET", "fast")
    with pytest.raises(PolicyError, match="development, production, critical"):
        policy_for("/a.B/C")


def test_methods_are_found_with_and_without_the_leading_slash() -> None:
    path = declare(Rpc(name="Get"))
    assert policy_for(f"{path}/Get".removeprefix("/")) == policy_for(f"{path}/Get")
    assert find_method(f"{path}/Nothing") is None


@pytest.mark.parametrize("module", [cache_pb2, importer_pb2, search_pb2, workspace_pb2])
def test_every_policy_of_the_log_analyzer_loads(module: object) -> None:
    services = module.DESCRIPTOR.services_by_name.values()  # type: ignore[attr-defined]
    found = [policy_for(f"/{service.full_name}/{rpc.name}") for service in services for rpc in service.methods]
    assert found
    assert all(policy.known and policy.timeout < math.inf for policy in found)
