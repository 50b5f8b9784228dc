"""Every field of policy.proto either does something or is refused, whatever source it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

import kit
from kit.errors import PolicyError
from kit.policy import policy_for
from kit.policy.leaves import ENFORCED
from kit.policy.overlay import load
from kit.policy.unenforced import INSTEAD
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import NO_SIDE_EFFECTS, Rpc, declare

_VALUES: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_STRING: "x",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 1.0,
}


def leaves(message: Descriptor, prefix: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    """The dotted name of every field that is no group."""
    for field in message.fields:
        inner = field.message_type
        if inner is None or inner.full_name == "google.protobuf.Duration" or field.name == "downstream":
            yield prefix + field.name, field
        else:
            yield from leaves(inner, f"{prefix}{field.name}.")


ALL = dict(leaves(policy_pb2.MethodPolicy.DESCRIPTOR))
REFUSED = sorted(ALL.keys() - ENFORCED)


def declared(name: str) -> policy_pb2.MethodPolicy:
    """A policy that sets this one field."""
    policy = policy_pb2.MethodPolicy()
    *groups, last = name.split(".")
    message: Any = policy
    for group in groups:
        message = getattr(message, group)
    field = ALL[name]
    if field.message_type is not None:
        getattr(message, last).seconds = 1
        return policy
    value = _VALUES.get(field.cpp_type, 1)
    if field.is_repeated:
        getattr(message, last).append(value)
    else:
        setattr(message, last, value)
    return policy


def test_every_field_is_enforced_or_has_words_for_what_to_do_instead() -> None:
    assert [name for name in REFUSED if name not in INSTEAD and name.partition(".")[0] not in INSTEAD] == []


@pytest.mark.parametrize("name", REFUSED)
def test_in_a_proto_it_is_refused_naming_method_field_and_what_to_do(name: str) -> None:
    path = declare(Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=declared(name)))
    with pytest.raises(PolicyError) as refusal:
        policy_for(f"{path}/Get")
    assert refusal.value.method == f"{path}/Get"
    assert name.startswith(refusal.value.field)
    assert "no layer enforces this; remove it" in refusal.value.reason


@pytest.mark.parametrize("name", REFUSED)
def test_in_a_toml_file_it_is_refused_with_the_same_words(name: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f'["/a.B/C"]\n{name} = 1\n', "utf-8")
    with pytest.raises(PolicyError) as refusal:
        load(file)
    assert refusal.value.method == "/a.B/C"
    assert name.startswith(refusal.value.field)
    assert "no layer enforces this; remove it" in refusal.value.reason


@pytest.mark.parametrize("name", sorted({name.partition(".")[0] for name in REFUSED}))
def test_the_code_cannot_say_it(name: str) -> None:
    field = name.partition(".")[0]
    with pytest.raises(TypeError, match=field):
        kit.MethodPolicy(**{field: object()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "meant"), [("timeot = 1", "timeout"), ("retry = { max_atempts = 2 }", "retry.max_attempts")]
)
def test_a_misspelt_field_is_told_from_one_that_nothing_enforces(written: str, meant: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f'["*"]\n{written}\n', "utf-8")
    with pytest.raises(PolicyError, match=f"misspelt; did you mean {meant}"):
        load(file)
