"""The requests of a call: what is no stream of them, and what cannot be serialised. Nothing of it is sent."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kit.client._asked import shown
from kit.errors import UsageError, UsageTypeError, UsageValueError
from kit.pipeline import Method
from kit.policy.from_proto import find_method

__all__ = ["check_requests", "serializing", "unserialisable"]


def check_requests(requests: Any) -> None:
    """Refuses what is no iterator of requests. Raises UsageTypeError."""
    kind = type(requests)
    if hasattr(kind, "__aiter__"):
        return
    if isinstance(requests, (str, bytes, bytearray, memoryview, Mapping)):
        hint = "a single request goes into a list: [request]"
    elif hasattr(kind, "__iter__") or hasattr(kind, "__getitem__"):
        return
    elif isinstance(requests, Coroutine):
        requests.close()
        hint = "await it and give what it returns, or let it yield requests"
    elif callable(requests):
        hint = "call it, and give what that returns"
    else:
        hint = "a single request goes into a list: [request]"
    raise UsageTypeError(
        f"the requests are {shown(requests)}, which cannot be iterated; give an iterable or asynchronous iterable of "
        f"requests, or nothing, and write() them: {hint}"
    )


class _Unsendable:
    """Stands where a request's bytes would: grpc raises a TypeError for it, and sends nothing."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def serializing(serializer: Callable[[Any], Any] | None, path: str) -> Callable[[Any], Any] | None:
    """The serializer of a method, so that a request which it cannot serialise, or one of another method, is not sent.

    Where a serializer raises, grpc.aio logs that and sends an empty message. And protobuf serialises a message of any
    type; where the process knows the method, it is held against the type that the method takes.
    """
    if serializer is None:
        return None
    described = find_method(path) if getattr(serializer, "__name__", "") == "SerializeToString" else None
    return _serializing(serializer) if described is None else _serializing_only(serializer, described.input_type)


def _serializing(serializer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def serialize(request: Any) -> Any:
        try:
            return serializer(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, `unserialisable` tells it
            return _Unsendable(error)

    return serialize


def _serializing_only(serializer: Callable[[Any], Any], wanted: Descriptor) -> Callable[[Any], Any]:
    def serialize(request: Any) -> Any:
        try:
            data = serializer(request)
            found = request.DESCRIPTOR
        except Exception as error:  # noqa: BLE001 - likewise
            return _Unsendable(error)
        # One of another pool is the same by its name.
        if found is not wanted and found.full_name != wanted.full_name:
            return _Unsendable(TypeError(f"it is a {found.full_name}"))
        return data

    return serialize


def unserialisable(method: Method, request: Any, error: Exception) -> Exception:
    """The error, or where it comes from a request that cannot be sent, one that names it.

    It is asked for only where a call failed with what is no status. Serialising once more tells. What a serializer
    raises by itself, no TypeError or ValueError, stays what it is.
    """
    if not isinstance(error, (TypeError, ValueError)) or isinstance(error, UsageError):
        return error
    serializer = method.request_serializer
    if serializer is None and isinstance(request, Message):
        return error  # on a stock channel the serializer is grpc's affair
    try:
        data = request if serializer is None else serializer(request)
    except Exception:  # noqa: BLE001 - not one that we have wrapped: it has failed otherwise than now
        return error
    if isinstance(data, bytes):
        return error
    if isinstance(data, _Unsendable):
        error = data.error
        if not isinstance(error, (TypeError, ValueError)):
            return error
    kind = UsageTypeError if isinstance(error, TypeError) else UsageValueError
    described = find_method(method.path)
    wanted = f"; the method takes {described.input_type.full_name}" if described is not None else ""
    found = kind(
        f"{method.path}: the request, {shown(request)}, cannot be serialised ({error}){wanted}; nothing was sent"
    )
    found.__cause__ = error
    return found
