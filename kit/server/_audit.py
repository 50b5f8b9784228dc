"""The layer that writes down who changed what: a line in the log `kit.audit` for each call that may change anything.

Calls of methods that are declared NO_SIDE_EFFECTS, of health and of reflection are left out. A line says who called,
from where, what (the resource that the request names), how it ended and how long it took; of requests and answers
nothing else. A call that was denied for want of a scope or role is written down as well, by the same rule.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kit.clock import SYSTEM, Clock
from kit.errors import PermissionDenied, StatusError
from kit.observe.channels import AUDIT, channel
from kit.policy import IdempotencyLevel
from kit.server._answers import answer_to
from kit.server._call import Handler, ServerCall, ServerMethod
from kit.server._layers import code_of_cancelled
from kit.server.auth._rules import OPEN
from kitapi.v1 import policy_pb2

__all__ = ["AuditLayer", "resource_in"]

log = channel(AUDIT)

_IDEMPOTENCY_KEY = "idempotency-key"
#: Fields that name a resource (AIP-122), the first that a request has and sets.
_NAMES = ("name", "parent")
#: Characters of a resource's name that are written.
_MAX_NAME = 256


class AuditLayer:
    """See the module."""

    name = "audit"

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""
        if not is_mutation(method):
            return inner
        now = self._clock.now

        async def handle(call: ServerCall) -> Any:
            began = now()
            # Read at once: a call that its client or the deadline ended has none any more.
            peer = call.context.peer()
            try:
                response = await inner(call)
            except BaseException as error:
                _write(call, peer, _code_of(call, error), now() - began)
                raise
            _write(call, peer, _own_code(call, grpc.StatusCode.OK), now() - began)
            return response

        return handle

    def denials(self, method: ServerMethod) -> Callable[[ServerCall, PermissionDenied], None] | None:
        """What writes down the denied calls of a method; None for one that changes nothing."""
        return (
            (lambda call, refusal: _write(call, call.context.peer(), refusal.code, 0.0))
            if is_mutation(method)
            else None
        )


def is_mutation(method: ServerMethod) -> bool:
    """Whether calls of the method may change something: unless it says that they do not, they may."""
    level = method.policy.policy.idempotency_level
    return level is not IdempotencyLevel.NO_SIDE_EFFECTS and method.service not in OPEN


def resource_in(request: object) -> str:
    """The name of the resource that a request is about; "" where it has none, or one that is declared sensitive."""
    if not isinstance(request, Message):
        return ""
    descriptor: Any = request.DESCRIPTOR
    for field in _NAMES:
        if _is_name(descriptor, field) and (value := getattr(request, field)):
            return str(value)[:_MAX_NAME]
    if "update_mask" in descriptor.fields_by_name:  # AIP-134: the resource is inside
        for inside in descriptor.fields:
            if inside.message_type is not None and not inside.is_repeated and _is_name(inside.message_type, "name"):
                return str(getattr(request, inside.name).name)[:_MAX_NAME]
    return ""


def _is_name(descriptor: Any, name: str) -> bool:
    field: FieldDescriptor | None = descriptor.fields_by_name.get(name)
    if field is None or field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
        return False
    return not field.GetOptions().Extensions[policy_pb2.sensitive]


def write(**fields: object) -> None:
    """One line."""
    log.info("call", **fields)


def _write(call: ServerCall, peer: str, code: grpc.StatusCode, seconds: float) -> None:
    who = call.principal
    key = next((value for name, value in call.metadata if name == _IDEMPOTENCY_KEY), None)
    write(
        method=call.method,
        principal="" if who is None else who.name,
        authenticated_by="" if who is None else who.method,
        peer=peer,
        resource=resource_in(call.request),
        code=code.name,
        duration_ms=round(seconds * 1000, 3),
        **({} if key is None else {"idempotency_key_sha256": _digest(key)}),
    )


def _digest(key: str | bytes) -> str:
    """Tells calls with the same key without telling the key, by which the answer could be had again."""
    return hashlib.sha256(key if isinstance(key, bytes) else key.encode()).hexdigest()[:16]


def _code_of(call: ServerCall, error: BaseException) -> grpc.StatusCode:
    """The status that `map errors` will send for it."""
    if isinstance(error, grpc.aio.AbortError):
        return _own_code(call, grpc.StatusCode.UNKNOWN)
    if isinstance(error, asyncio.CancelledError):
        return code_of_cancelled(call)
    return error.code if isinstance(error, StatusError) else answer_to(error, str).code


def _own_code(call: ServerCall, otherwise: grpc.StatusCode) -> grpc.StatusCode:
    """What the handler set itself, by `abort` or `set_code`."""
    code = call.context.code()
    return code if isinstance(code, grpc.StatusCode) and code else otherwise
