"""What is wrong with a policy in code is said when the channel is opened, not when its first stub is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kit
from kit.errors import PolicyError
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import IDEMPOTENT, Rpc, declare

RATE = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_rate=0.3))
KIND = kit.MethodPolicy(breaker=kit.BreakerPolicy(kind=kit.BreakerKind.TIME_WINDOW))
TWICE = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=2))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIT_POLICY", raising=False)
    monkeypatch.delenv("KIT_PRESET", raising=False)


async def refused(policy: Any) -> PolicyError:
    """What both ways in say."""
    with pytest.raises(PolicyError) as refusal:
        kit.client_interceptors(policy=policy)
    with pytest.raises(PolicyError) as again:
        kit.channel("127.0.0.1:1", policy=policy)
    assert str(again.value) == str(refusal.value)
    return refusal.value


@pytest.mark.parametrize("key", ["*", "/no.such.Service/*", "/no.such.Service/Method"])
@pytest.mark.parametrize(
    ("breaker", "field"),
    [
        (kit.BreakerPolicy(failure_threshold=0), "failure_threshold"),
        (kit.BreakerPolicy(failure_rate=1.5), "failure_rate"),
        (kit.BreakerPolicy(open_for=-1.0), "open_for"),
        (kit.BreakerPolicy(slow_call=0.0), "slow_call"),
        (kit.BreakerPolicy(kind=kit.BreakerKind.OFF, lease=0.0), "lease"),
    ],
)
async def test_a_breakers_figure_that_cannot_be_meant(key: str, breaker: kit.BreakerPolicy, field: str) -> None:
    error = await refused({key: kit.MethodPolicy(breaker=breaker)})
    assert (error.method, error.field) == (key, f"breaker.{field}")


@pytest.mark.parametrize("given", [RATE, {"*": RATE}, {"/no.such.Service/*": RATE}, {"/no.such.Service/Method": RATE}])
async def test_a_rate_without_a_kind_says_which_kind_to_set(given: Any) -> None:
    error = await refused(given)
    assert error.field == "breaker.failure_rate"
    assert error.reason.endswith("set kind to COUNT_WINDOW or TIME_WINDOW")


async def test_a_kind_may_stand_further_out_or_further_in() -> None:
    for given in (
        {"*": KIND, "/no.such.Service/Method": RATE},
        {"*": RATE, "/no.such.Service/*": KIND},
        {"/no.such.Service/*": RATE, "/no.such.Service/Method": KIND},
    ):
        assert kit.client_interceptors(policy=given)


async def test_a_kind_may_stand_in_the_proto_of_a_service_that_is_named() -> None:
    kind = policy_pb2.MethodPolicy(breaker=policy_pb2.BreakerPolicy(kind=policy_pb2.BreakerPolicy.TIME_WINDOW))
    path = declare(Rpc(name="Get"), service=kind)
    assert kit.client_interceptors(policy={f"{path}/*": RATE})
    assert kit.client_interceptors(policy={f"{path}/Get": RATE})


async def test_a_kind_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('["*"]\nbreaker.kind = "time_window"\n')
    monkeypatch.setenv("KIT_POLICY", str(file))
    assert kit.client_interceptors(policy=RATE)


async def test_what_a_method_that_is_known_cannot_have() -> None:
    path = declare(Rpc(name="Unsafe"), Rpc(name="Get", level=IDEMPOTENT))
    error = await refused({f"{path}/Unsafe": TWICE})
    assert (error.method, error.field) == (f"{path}/Unsafe", "retry.max_attempts")
    soon = kit.MethodPolicy(retry=TWICE.retry, breaker=kit.BreakerPolicy(failure_threshold=1))
    error = await refused({f"{path}/*": soon})
    assert error.field == "breaker.failure_threshold"


async def test_of_a_method_that_is_not_known_its_proto_may_still_say_that_it_is_safe() -> None:
    assert kit.client_interceptors(policy={"/no.such.Service/Method": TWICE})


@pytest.mark.parametrize("group", ["retry", "breaker", "hedging"])
async def test_a_part_of_a_policy_says_what_to_wrap_it_in(group: str) -> None:
    part = {"retry": TWICE.retry, "breaker": RATE.breaker, "hedging": kit.HedgingPolicy(max_attempts=2)}[group]
    for given in (part, {"*": part}):
        assert f"write MethodPolicy({group}=...)" in str(await refused(given))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: kit.RetryPolicy(jitter="FULL"), "jitter must be one of .*Jitter.FULL"),  # type: ignore[arg-type]
        (
            lambda: kit.BalancePolicy(kind="ROUND_ROBIN"),  # type: ignore[arg-type]
            "kind must be one of .*BalanceKind.ROUND_ROBIN",
        ),
        (
            lambda: kit.RetryPolicy(retryable_status_codes=["UNAVAILABLE"]),
            "retryable_status_codes: 'UNAVAILABLE' is not .*grpc.StatusCode.UNAVAILABLE",
        ),
        (
            lambda: kit.HedgingPolicy(non_fatal_status_codes=["UNAVAILABLE"]),
            "non_fatal_status_codes: 'UNAVAILABLE' is not .*grpc.StatusCode.UNAVAILABLE",
        ),
        (
            lambda: kit.FallbackPolicy(cached_for=1.0, status_codes=["UNAVAILABLE"]),
            "status_codes: 'UNAVAILABLE' is not .*grpc.StatusCode.UNAVAILABLE",
        ),
        (lambda: kit.HealthCheck(interval="10s"), "interval must be a number, not '10s'"),  # type: ignore[arg-type]
    ],
)
def test_a_text_in_place_of_a_member_is_refused_where_it_is_written(make: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize(
    ("policy", "field", "words"),
    [
        (kit.MethodPolicy(breaker=kit.BreakerPolicy(kind="OFF")), "breaker.kind", "BreakerKind.OFF"),  # type: ignore[arg-type]
        (kit.MethodPolicy(preset="production"), "preset", "Preset.PRODUCTION"),  # type: ignore[arg-type]
    ],
)
async def test_a_text_in_place_of_a_member_is_refused_when_the_channel_is_opened(
    policy: kit.MethodPolicy, field: str, words: str
) -> None:
    error = await refused(policy)
    assert error.field == field
    assert words in error.reason


async def test_a_method_may_be_public_in_an_unknown_service_that_asks_for_rights() -> None:
    policy = {
        "/nowhere.v1.Shop/*": kit.MethodPolicy(auth=kit.AuthPolicy(scopes=("orders.read",))),
        "/nowhere.v1.Shop/OpeningHours": kit.MethodPolicy(auth=kit.AuthPolicy(public=True)),
    }
    kit.client_interceptors(policy=policy)
    kit.server_interceptors(policy=policy)
    hours = kit.policy.policy_for("/nowhere.v1.Shop/OpeningHours", policy).auth
    assert hours == kit.AuthPolicy(scopes=(), public=True)
