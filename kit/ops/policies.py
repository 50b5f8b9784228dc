"""Effective policies as messages."""

from __future__ import annotations

import enum
import math
from typing import Any

from google.protobuf.duration_pb2 import Duration

from kit.durations import to_duration
from kit.policy import DownstreamCall, Resolved
from kit.policy.leaves import split
from kitapi.v1 import ops_pb2, policy_pb2

__all__ = ["effective_policy"]


def effective_policy(resolved: Resolved, *, served: bool, target: str = "") -> ops_pb2.EffectivePolicy:
    """What is in force for one method, with the origin of each value."""
    policy = policy_pb2.MethodPolicy()
    for name, value in sorted(split(resolved.policy).items()):
        _set(policy, name.split("."), value)
    return ops_pb2.EffectivePolicy(
        method=resolved.method.removeprefix("/"),
        policy=policy,
        origins=dict(resolved.origins),
        served=served,
        target=target,
    )


def _set(message: Any, path: list[str], value: Any) -> None:
    """Sets one leaf; what messages have no field for (`idempotency_level`) or cannot say is told by its origin."""
    name, *rest = path
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        return
    if rest:
        _set(getattr(message, name), rest, value)
    elif field.message_type is not None and field.message_type.full_name == Duration.DESCRIPTOR.full_name:
        if value != math.inf:
            getattr(message, name).CopyFrom(to_duration(value))
    elif isinstance(value, (tuple, list, set, frozenset)):
        getattr(message, name).extend(_item(one) for one in (value if isinstance(value, tuple) else sorted(value)))
    else:
        setattr(message, name, value.value if isinstance(value, enum.Enum) else value)


def _item(value: Any) -> Any:
    if isinstance(value, DownstreamCall):
        return policy_pb2.DownstreamCall(method=value.method, times=value.times, parallel=value.parallel)
    return value.value if isinstance(value, enum.Enum) else value
