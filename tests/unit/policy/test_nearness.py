"""A call is hedged or retried: what is declared nearer to the method holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import kit
from kit.errors import PolicyError
from kit.policy import policy_for
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import IDEMPOTENT, Rpc, declare

HEDGED = policy_pb2.MethodPolicy(hedging=policy_pb2.HedgingPolicy(max_attempts=2))
RETRIED = policy_pb2.MethodPolicy(retry=policy_pb2.RetryPolicy(max_attempts=4))
HEDGE = kit.MethodPolicy(hedging=kit.HedgingPolicy(max_attempts=3))
RETRY = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=3))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIT_POLICY", raising=False)
    monkeypatch.delenv("KIT_PRESET", raising=False)


def attempts(path: str, given: kit.policy.PolicySource = None) -> tuple[int, int]:
    """Of retries and of hedging, as they are worked by and as the policy says."""
    found = policy_for(path, given)
    assert found.policy.retry is not None
    hedges = 1 if found.hedging is None else found.hedging.max_attempts
    assert found.policy.hedging is None or (found.policy.hedging.max_attempts or 1) == hedges
    assert found.policy.retry.max_attempts == found.retry.max_attempts
    return found.retry.max_attempts, hedges


def test_hedging_of_the_method_turns_off_retries_of_its_service() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=HEDGED), service=RETRIED)
    assert attempts(f"{path}/Get") == (1, 2)
    origin = policy_for(f"{path}/Get").origins["retry.max_attempts"]
    assert origin == ".proto, method option: hedging is declared nearer"


def test_retries_of_the_method_turn_off_hedging_of_its_service() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=RETRIED), service=HEDGED)
    assert attempts(f"{path}/Get") == (4, 1)
    origin = policy_for(f"{path}/Get").origins["hedging.max_attempts"]
    assert origin == ".proto, method option: retry is declared nearer"


def test_hedging_that_is_declared_turns_off_retries_of_a_preset() -> None:
    policy = policy_pb2.MethodPolicy(preset=policy_pb2.PRODUCTION, hedging=HEDGED.hedging)
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=policy))
    assert attempts(f"{path}/Get") == (1, 2)


@pytest.mark.parametrize(
    ("service", "given", "expected"),
    [(RETRIED, HEDGE, (1, 3)), (HEDGED, RETRY, (3, 1)), (RETRIED, RETRY, (3, 1)), (HEDGED, HEDGE, (1, 3))],
)
def test_what_code_says_is_nearer_than_the_proto(
    service: policy_pb2.MethodPolicy, given: kit.MethodPolicy, expected: tuple[int, int]
) -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT), service=service)
    assert attempts(f"{path}/Get", given) == expected


def test_within_code_the_nearest_key_holds() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT), Rpc(name="Put", level=IDEMPOTENT))
    given = {"*": RETRY, f"{path}/*": HEDGE, f"{path}/Put": RETRY}
    assert (attempts(f"{path}/Get", given), attempts(f"{path}/Put", given)) == ((1, 3), (3, 1))


def test_a_file_is_nearer_than_the_proto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=RETRIED))
    file = tmp_path / "policy.toml"
    file.write_text(f'["{path}/Get"]\nhedging.max_attempts = 2\n')
    monkeypatch.setenv("KIT_POLICY", str(file))
    assert attempts(f"{path}/Get") == (1, 2)


def test_a_figure_of_the_loser_that_is_nearer_still_changes_nothing() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=HEDGED), service=RETRIED)
    backoff = kit.MethodPolicy(retry=kit.RetryPolicy(initial_backoff=0.5))
    assert attempts(f"{path}/Get", backoff) == (1, 2)


def test_hedging_that_the_method_cannot_have_leaves_it_its_retries() -> None:
    service = policy_pb2.MethodPolicy(hedging=HEDGED.hedging)
    path = declare(Rpc(name="Unsafe"), Rpc(name="Upload", level=IDEMPOTENT, client_streaming=True), service=service)
    for name in ("Unsafe", "Upload"):
        found = policy_for(f"{path}/{name}", RETRY)
        assert (found.retry.max_attempts, found.hedging) == (3, None)


def test_both_in_one_place_contradict_each_other() -> None:
    both = policy_pb2.MethodPolicy(hedging=HEDGED.hedging, retry=RETRIED.retry)
    path = declare(Rpc(name="Get", level=IDEMPOTENT, policy=both), Rpc(name="Put", level=IDEMPOTENT))
    in_code = kit.MethodPolicy(retry=RETRY.retry, hedging=HEDGE.hedging)
    for name, given in (("Get", None), ("Put", in_code), ("Put", {f"{path}/Put": in_code})):
        with pytest.raises(PolicyError, match=r"never together with retries; set retry\.max_attempts to 1"):
            policy_for(f"{path}/{name}", given)
    assert attempts(f"{path}/Get", RETRY) == (3, 1)
