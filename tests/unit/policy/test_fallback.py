"""The policy of fallbacks: from each source, what fits a method, and what is refused."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from google.rpc import code_pb2

import kit
from kit.errors import PolicyError
from kit.policy import policy_for, worst_case_seconds
from kit.policy.fallback import answer_from
from kit.resilience.fallback import FallbackRules
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import NO_SIDE_EFFECTS, Rpc, declare

METHOD = "/no.such.Service/Get"


def with_fallback(**given: object) -> policy_pb2.MethodPolicy:
    return policy_pb2.MethodPolicy(fallback=policy_pb2.FallbackPolicy(**given))  # type: ignore[arg-type]


def in_code(**given: object) -> kit.MethodPolicy:
    return kit.MethodPolicy(fallback=kit.FallbackPolicy(**given))  # type: ignore[arg-type]


def test_what_the_proto_declares_is_what_the_layer_works_by() -> None:
    policy = with_fallback(
        method="Other", cached_for=Duration(seconds=90), default_json='"none"', status_codes=[code_pb2.UNAVAILABLE]
    )
    path = declare(Rpc(name="Get", policy=policy), Rpc(name="Other"))
    found = policy_for(f"{path}/Get")
    assert found.fallback == FallbackRules(
        cached_for=90.0, method="Other", default_json='"none"', codes=frozenset({14})
    )
    assert found.stand_in is not None
    assert found.stand_in.method == f"{path}/Other"
    assert found.origins["fallback.status_codes"] == ".proto, method option"
    assert policy_for(f"{path}/Other").fallback is None


def test_toml_and_code_can_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(
        '["*"]\nfallback = { cached_for = "90s", method = "Other", default_json = "{}", status_codes = ["ABORTED"] }\n',
        "utf-8",
    )
    given = in_code(cached_for=90.0, method="Other", default_json="{}", status_codes=[grpc.StatusCode.ABORTED])
    assert policy_for(METHOD, file).fallback == policy_for(METHOD, given).fallback
    file.write_text('["*"]\nfallback = { method = 3 }\n', "utf-8")
    with pytest.raises(PolicyError, match="must be a text"):
        policy_for(METHOD, file)


def test_each_answer_that_is_inherited_can_be_turned_off() -> None:
    path = declare(
        Rpc(name="Get", policy=with_fallback(cached_for=Duration(), method="", default_json="")),
        Rpc(name="List", policy=with_fallback(method="")),
        Rpc(name="Other"),
        service=with_fallback(cached_for=Duration(seconds=9), method="Other", default_json="{}"),
    )
    assert policy_for(f"{path}/Get").fallback is None
    assert policy_for(f"{path}/List").fallback == FallbackRules(cached_for=9.0, default_json="{}")


def test_the_method_that_stands_in_does_not_inherit_that_it_stands_in_for_itself() -> None:
    path = declare(Rpc(name="Get"), Rpc(name="Other"), service=with_fallback(method="Other", default_json="{}"))
    assert policy_for(f"{path}/Other").fallback == FallbackRules(default_json="{}")
    with pytest.raises(PolicyError, match="stand in for itself") as refusal:
        policy_for(f"{path}/Other", {f"{path}/Other": in_code(method="Other")})
    assert refusal.value.field == "fallback.method"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Missing", "there is no /"),
        ("Number", "takes google.protobuf.Int64Value, and not google.protobuf.StringValue"),
        ("Count", "gives google.protobuf.Int64Value, and not google.protobuf.StringValue"),
        ("Watch", "streams"),
        ("Upload", "streams"),
        ("a.B/C", "short name"),
    ],
)
def test_a_method_that_cannot_stand_in_is_refused(name: str, says: str) -> None:
    others = (
        Rpc(name="Number", takes="Int64Value"),
        Rpc(name="Count", gives="Int64Value"),
        Rpc(name="Watch", server_streaming=True),
        Rpc(name="Upload", client_streaming=True),
    )
    for policy, service in ((with_fallback(method=name), None), (None, with_fallback(method=name))):
        path = declare(Rpc(name="Get", policy=policy), *others, service=service)
        with pytest.raises(PolicyError, match=says) as refusal:
            policy_for(f"{path}/Get")
        assert (refusal.value.method, refusal.value.field) == (f"{path}/Get", "fallback.method")


def test_what_is_said_of_all_methods_is_left_out_where_it_does_not_fit() -> None:
    path = declare(Rpc(name="Get"), Rpc(name="Count", gives="Int64Value"), Rpc(name="Other"))
    given = in_code(cached_for=5.0, method="Other", default_json='"none"')
    assert policy_for(f"{path}/Get", given).fallback == FallbackRules(
        cached_for=5.0, method="Other", default_json='"none"'
    )
    assert policy_for(f"{path}/Count", given).fallback == FallbackRules(cached_for=5.0)
    assert policy_for(f"{path}/Count", in_code(default_json='"none"')).fallback is None


def test_circles_are_refused_where_no_descriptor_is_known_as_well() -> None:
    path = declare(
        Rpc(name="A", policy=with_fallback(method="B")),
        Rpc(name="B", policy=with_fallback(method="C")),
        Rpc(name="C", policy=with_fallback(method="B")),
    )
    for name, way in (("A", "A > /.*B > /.*C > /.*B"), ("B", "B > /.*C > /.*B")):
        with pytest.raises(PolicyError, match=f"circle: /.*{way}"):
            policy_for(f"{path}/{name}")
    unknown = {"/x.Y/A": in_code(method="B"), "/x.Y/B": in_code(method="A")}
    with pytest.raises(PolicyError, match=r"circle: /x\.Y/A > /x\.Y/B > /x\.Y/A"):
        policy_for("/x.Y/A", unknown)


@pytest.mark.parametrize("streaming", ["client_streaming", "server_streaming"])
def test_a_stream_is_given_no_fallback_by_name_and_inherits_none(streaming: str) -> None:
    rpc = {"name": "Watch", streaming: True}
    path = declare(Rpc(**rpc), service=with_fallback(cached_for=Duration(seconds=5)))  # type: ignore[arg-type]
    assert policy_for(f"{path}/Watch").fallback is None
    off = {f"{path}/Watch": in_code(cached_for=0.0)}
    assert policy_for(f"{path}/Watch", off).fallback is None
    with pytest.raises(PolicyError, match="one request and one answer") as refusal:
        policy_for(f"{path}/Watch", {f"{path}/Watch": in_code(default_json="{}")})
    assert refusal.value.field == "fallback.default_json"


@pytest.mark.parametrize(
    ("text", "says"), [("nonsense", "is not JSON"), ("5", "is no google.protobuf.StringValue"), ("{", "is not JSON")]
)
def test_a_default_that_is_no_answer_of_the_method_is_refused(text: str, says: str) -> None:
    path = declare(Rpc(name="Get", policy=with_fallback(default_json=text)))
    with pytest.raises(PolicyError, match=says) as refusal:
        policy_for(f"{path}/Get")
    assert refusal.value.field == "fallback.default_json"


def test_without_a_descriptor_a_default_must_be_json_at_least() -> None:
    assert policy_for(METHOD, in_code(default_json='{"any": 1}')).fallback is not None
    with pytest.raises(PolicyError, match="is not JSON"):
        policy_for(METHOD, in_code(default_json="nonsense"))


def test_an_empty_object_is_the_empty_message_of_every_type() -> None:
    assert answer_from("{}", StringValue) == StringValue()
    assert answer_from(" { } ", Int64Value) == Int64Value()
    assert answer_from('"7"', Int64Value) == Int64Value(value=7)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"cached_for": Duration(seconds=-1)}, "fallback.cached_for"),
        ({"status_codes": [code_pb2.CANCELLED], "default_json": "{}"}, "fallback.status_codes"),
        ({"status_codes": [code_pb2.OK], "default_json": "{}"}, "fallback.status_codes"),
        ({"status_codes": [code_pb2.UNAVAILABLE]}, "fallback.status_codes"),
    ],
)
def test_an_impossible_value_is_refused_naming_the_field(given: dict[str, object], field: str) -> None:
    path = declare(Rpc(name="Get", policy=with_fallback(**given)))
    with pytest.raises(PolicyError) as refusal:
        policy_for(f"{path}/Get")
    assert (refusal.value.method, refusal.value.field) == (f"{path}/Get", field)


def test_status_codes_of_a_service_say_nothing_to_a_method_that_has_no_answer() -> None:
    path = declare(Rpc(name="Get"), service=with_fallback(status_codes=[code_pb2.UNAVAILABLE]))
    assert policy_for(f"{path}/Get").fallback is None


def test_the_worst_case_counts_the_method_that_stands_in() -> None:
    per_try = policy_pb2.MethodPolicy(per_try_timeout=Duration(seconds=2))
    path = declare(
        Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=with_fallback(method="Other")),
        Rpc(name="Other", level=NO_SIDE_EFFECTS),
        service=per_try,
    )
    assert worst_case_seconds(policy_for(f"{path}/Get")) == 4.0
    given = {f"{path}/Get": kit.MethodPolicy(timeout=3.0)}
    assert worst_case_seconds(policy_for(f"{path}/Get", given)) == 3.0
