"""What a policy says that a server enforces: who may call, how many, and what is shed first."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import kit
from kit.errors import PolicyError
from kit.policy import policy_for
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import Rpc, declare

Auth = policy_pb2.AuthPolicy


def test_nothing_declared_is_no_rule_no_limit_and_the_default_priority() -> None:
    policy = policy_for("/nowhere.Service/Method")
    assert (policy.auth, policy.rate_per_second, policy.priority) == (None, math.inf, kit.Priority.DEFAULT)


def test_a_proto_declares_all_of_it() -> None:
    declared = policy_pb2.MethodPolicy(
        auth=Auth(scopes=["books.read", "books.list"], roles=["reader"]),
        rate=policy_pb2.RatePolicy(per_second=2.5),
        priority=policy_pb2.Priority.SHEDDABLE,
    )
    policy = policy_for(f"{declare(Rpc(name='Get', policy=declared))}/Get")
    assert policy.auth == kit.AuthPolicy(scopes=("books.read", "books.list"), roles=("reader",))
    assert (policy.rate_per_second, policy.priority) == (2.5, kit.Priority.SHEDDABLE)


def test_a_toml_file_declares_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(
        '["/a.B/C"]\nauth = { scopes = ["x"] }\nrate.per_second = 10\npriority = "critical"\n'
        '["/a.B/D"]\nauth.public = true\n',
        "utf-8",
    )
    policy = policy_for("/a.B/C", file)
    assert policy.auth == kit.AuthPolicy(scopes=("x",))
    assert (policy.rate_per_second, policy.priority) == (10, kit.Priority.CRITICAL)
    assert policy_for("/a.B/D", file).auth == kit.AuthPolicy(public=True)


def test_a_method_is_public_in_a_service_that_asks_for_a_scope() -> None:
    path = declare(
        Rpc(name="Get", policy=policy_pb2.MethodPolicy(auth=Auth(public=True))),
        Rpc(name="Put"),
        service=policy_pb2.MethodPolicy(auth=Auth(scopes=["books.write"])),
    )
    assert policy_for(f"{path}/Get").auth == kit.AuthPolicy(scopes=(), public=True)
    assert policy_for(f"{path}/Put").auth == kit.AuthPolicy(scopes=("books.write",))


def test_a_method_asks_for_a_scope_in_a_service_that_is_public() -> None:
    path = declare(
        Rpc(name="Put", policy=policy_pb2.MethodPolicy(auth=Auth(scopes=["books.write"]))),
        service=policy_pb2.MethodPolicy(auth=Auth(public=True)),
    )
    policy = policy_for(f"{path}/Put")
    assert policy.auth == kit.AuthPolicy(scopes=("books.write",), public=False)
    assert policy.origins["auth.public"] == ".proto, method option: auth.scopes is declared nearer"


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (kit.MethodPolicy(rate=kit.RatePolicy(per_second=0.0)), "rate.per_second"),
        (kit.MethodPolicy(rate=kit.RatePolicy(per_second=math.nan)), "rate.per_second"),
        (kit.MethodPolicy(priority=2), "priority"),  # type: ignore[arg-type]
        (kit.MethodPolicy(auth=("x",)), "auth"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused(policy: kit.MethodPolicy, field: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        policy_for("/a.B/C", policy)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "auth", [{"scopes": "x"}, {"scopes": ("",)}, {"roles": ["x"]}, {"public": 1}, {"public": True, "scopes": ("x",)}]
)
def test_rights_that_cannot_be_meant_are_refused(auth: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"scopes|roles|public"):
        kit.AuthPolicy(**auth)  # type: ignore[arg-type]
