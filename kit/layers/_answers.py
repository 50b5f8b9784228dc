"""Answers that can be given again: what a request is known by, a copy of an answer, and the answer of a policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from google.protobuf.message import Message

from kit.call import PRIORITY_KEY
from kit.errors import PolicyError
from kit.layers.idempotency import IDEMPOTENCY_KEY
from kit.pipeline import Call, Method
from kit.policy.fallback import answer_from, answer_type

__all__ = ["Again", "again", "default_of", "request_key"]

#: Makes the answer anew each time: messages can be changed, and each caller has one of its own.
Again: TypeAlias = Callable[[], Any]

#: Metadata that differ from call to call and say nothing of who calls; those of gRPC itself ("grpc-...") neither.
_OF_THE_CALL = frozenset(
    {IDEMPOTENCY_KEY, PRIORITY_KEY, "traceparent", "tracestate", "x-request-id", "x-correlation-id"}
)
#: Bytes that an answer costs beside its own, about: the key and the entry.
_ENTRY = 512


def again(response: Any) -> tuple[Again, int] | None:
    """What gives the answer again, and its bytes; None where it cannot be copied."""
    if isinstance(response, Message):
        data, parse = response.SerializeToString(), type(response).FromString
        return (lambda: parse(data)), len(data) + _ENTRY
    if isinstance(response, bytes):
        return (lambda: response), len(response) + _ENTRY
    return None


def request_key(call: Call) -> Hashable | None:
    """What a request is known by: equal for calls that may have the same answer; None where that cannot be told.

    Who calls is part of it: whatever metadata and credentials the code gave, without what is of one call only.
    """
    method, request = call.method, call.request
    try:
        if isinstance(request, Message):
            message = request.SerializeToString(deterministic=True)
        elif isinstance(request, bytes):
            message = request
        elif method.request_serializer is not None:
            message = method.request_serializer(request)
            if not isinstance(message, bytes):
                return None
        else:
            return None
    except Exception:  # noqa: BLE001 - the transport finds it again, and says what is wrong with the request
        return None
    pairs = sorted(
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in call.metadata or ()
        if name not in _OF_THE_CALL and not name.startswith("grpc-")
    )
    # A digest, so that no token is kept.
    digest = hashlib.sha256()
    for part in (message, *(part for name, value in pairs for part in (name.encode(), value))):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return (method.path, method.response_deserializer, type(request), call.credentials, digest.digest())


def default_of(method: Method, text: str) -> Callable[[Call], Any]:
    """Makes the answer that the policy has written down."""
    kind = answer_type(method.path) or _message_of(method.response_deserializer)
    on_stock = not method.target
    try:
        if kind is not None:
            data = answer_from(text, kind).SerializeToString()
        elif on_stock or json.loads(text) != {}:
            raise ValueError("nothing tells what the method answers with; import its module first")  # noqa: TRY301
        else:
            data = b""
    except ValueError as error:
        raise PolicyError(method.path, "fallback.default_json", str(error)) from error
    parse = method.response_deserializer
    if not on_stock:
        return lambda _call: data if parse is None else parse(data)
    assert kind is not None
    known = kind
    # A stub that sends bytes wants bytes.
    return lambda call: data if isinstance(call.request, bytes) else known.FromString(data)


def _message_of(deserializer: Any) -> type[Message] | None:
    """The message whose `FromString` it is; None where it is anything else."""
    owner = getattr(deserializer, "__self__", None)
    return owner if isinstance(owner, type) and issubclass(owner, Message) else None
