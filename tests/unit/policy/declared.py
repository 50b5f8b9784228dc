"""Descriptors made on the spot, as protoc would make them from a .proto that declares policy."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor_pb2 import MethodOptions

from kitapi.v1 import policy_pb2

_counter = itertools.count()

NO_SIDE_EFFECTS = MethodOptions.NO_SIDE_EFFECTS
IDEMPOTENT = MethodOptions.IDEMPOTENT


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """One method. Requests and answers are google.protobuf.StringValue, or another wrapper that is named."""

    name: str
    level: MethodOptions.IdempotencyLevel.ValueType = MethodOptions.IDEMPOTENCY_UNKNOWN
    policy: policy_pb2.MethodPolicy | None = None
    client_streaming: bool = False
    server_streaming: bool = False
    takes: str = "StringValue"
    gives: str = "StringValue"


def declare(*rpcs: Rpc, service: policy_pb2.MethodPolicy | None = None, package: str | None = None) -> str:
    """Adds a service to the default pool; gives its path: "/package.Service"."""
    package = package or f"declared{next(_counter)}.v1"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/declared.proto",
        package=package,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name, policy_pb2.DESCRIPTOR.name],
    )
    made = file.service.add(name="Declared")
    if service is not None:
        made.options.Extensions[policy_pb2.service].CopyFrom(service)
    for rpc in rpcs:
        method = made.method.add(
            name=rpc.name,
            input_type=f".google.protobuf.{rpc.takes}",
            output_type=f".google.protobuf.{rpc.gives}",
            client_streaming=rpc.client_streaming,
            server_streaming=rpc.server_streaming,
        )
        if rpc.level:
            method.options.idempotency_level = rpc.level
        if rpc.policy is not None:
            method.options.Extensions[policy_pb2.method].CopyFrom(rpc.policy)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return f"/{package}.Declared"
