"""Policy as the descriptors declare it: options of the method and of its service."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from kit.errors import PolicyError
from kit.policy.leaves import ENFORCED, GROUPS, Leaves
from kit.policy.model import DownstreamCall, IdempotencyLevel, Preset
from kit.policy.unenforced import reason
from kit.resilience.backoff import Jitter
from kit.resilience.balance import BalanceKind
from kit.resilience.breaker_rules import BreakerKind
from kit.resilience.idempotency import IdempotencyKeyMode
from kit.resilience.priority import Priority
from kitapi.v1 import policy_pb2

__all__ = ["find_method", "idempotency_level", "method_leaves", "service_leaves"]

#: Enumerations by the leaf that has them; their values are those of the .proto.
_ENUMS = {
    "preset": Preset,
    "retry.jitter": Jitter,
    "breaker.kind": BreakerKind,
    "balance.kind": BalanceKind,
    "idempotency_key.mode": IdempotencyKeyMode,
    "priority": Priority,
}


def find_method(method: str, pool: descriptor_pool.DescriptorPool | None = None) -> MethodDescriptor | None:
    """The descriptor of "/package.Service/Method", or None where the process knows none."""
    name = method.removeprefix("/").replace("/", ".")
    try:
        found: MethodDescriptor = (pool or descriptor_pool.Default()).FindMethodByName(name)
    except KeyError:
        return None
    return found


def idempotency_level(method: MethodDescriptor) -> IdempotencyLevel:
    """What the method's option of that name says."""
    options: descriptor_pb2.MethodOptions = method.GetOptions()
    return IdempotencyLevel(options.idempotency_level)


def method_leaves(method: MethodDescriptor) -> Leaves:
    """What the method's own `(kitapi.v1.method)` sets. Raises PolicyError where it sets what nothing enforces."""
    options: descriptor_pb2.MethodOptions = method.GetOptions()
    if not options.HasExtension(policy_pb2.method):
        return {}
    return _leaves(options.Extensions[policy_pb2.method], _path(method))


def service_leaves(method: MethodDescriptor) -> Leaves:
    """What `(kitapi.v1.service)` of the method's service sets."""
    options: descriptor_pb2.ServiceOptions = method.containing_service.GetOptions()
    if not options.HasExtension(policy_pb2.service):
        return {}
    return _leaves(options.Extensions[policy_pb2.service], _path(method))


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def _leaves(policy: Message, method: str, prefix: str = "") -> Leaves:
    found: Leaves = {}
    for field, value in policy.ListFields():
        name = prefix + field.name
        if name == "downstream":
            found[name] = tuple(_downstream(call, method) for call in value)
        elif isinstance(value, Duration):
            found[_enforced(name, method)] = value.ToNanoseconds() / 1e9
        elif isinstance(value, Message):
            if name not in GROUPS:
                raise PolicyError(method, name, reason(name))
            found |= _leaves(value, method, f"{name}.")
        else:
            leaf = _value(value, method, _enforced(name, method))
            if leaf is not None:
                found[name] = leaf
    return found


def _enforced(name: str, method: str) -> str:
    if name not in ENFORCED:
        raise PolicyError(method, name, reason(name))
    return name


def _value(value: Any, method: str, name: str) -> Any:
    """A scalar leaf as the model has it; None for an enum's "unspecified", which sets nothing."""
    if name.endswith("status_codes"):
        codes = frozenset(int(code) for code in value)
        if 0 in codes:
            raise PolicyError(method, name, "OK is not a failure")
        return codes
    if name in ("auth.scopes", "auth.roles"):
        return tuple(value)
    if name in _ENUMS:
        return _ENUMS[name](value) if value else None
    return value


def _downstream(call: policy_pb2.DownstreamCall, method: str) -> DownstreamCall:
    if not call.method:
        raise PolicyError(method, "downstream.method", "the method that is called must be named")
    return DownstreamCall(
        method=call.method.removeprefix("/"),
        times=call.times if call.HasField("times") else 1,
        parallel=call.parallel,
    )
