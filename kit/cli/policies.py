"""`kit policies`: what is in force in a running process."""

from __future__ import annotations

from google.protobuf import json_format

from kit.cli._ops import listing
from kitapi.v1 import ops_pb2

_DEFAULT = "kit default"


def _row(one: ops_pb2.EffectivePolicy) -> tuple[str, ...]:
    plain = json_format.MessageToDict(one.policy, preserving_proto_field_name=True)
    leaves = [leaf for leaf in _leaves(plain) if one.origins.get(leaf[0], _DEFAULT) != _DEFAULT]
    said = ", ".join(f"{name}={_shown(value)}" for name, value in leaves)
    return ("served" if one.served else one.target or "(stock)", one.method, said)


def _shown(value: object) -> str:
    """As a person would write it: the members of a list with a + between them, a call by its method."""
    if isinstance(value, list):
        return "+".join(_shown(each) for each in value)
    return str(value.get("method", value)) if isinstance(value, dict) else str(value)


def _leaves(plain: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in plain.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


policies = listing(
    "policies",
    """List the policies in force in the process at ADDRESS: of the methods that it serves, and of those that it has
    called. What is the kit's default is left out; --json has it, and the origin of each value.""",
    lambda _: ("ListPolicies", ops_pb2.ListPoliciesRequest(), "policies"),
    ("TARGET", "METHOD", "POLICY"),
    _row,
)
