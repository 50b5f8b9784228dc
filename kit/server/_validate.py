"""The layer that holds requests against the rules in their .proto (buf.validate), before the handler sees them.

    string email = 1 [(buf.validate.field).string.email = true];

Whether a method's request has rules, in the message itself or in any below it, is decided once, from its descriptor. A
method without them costs nothing. Of a stream of requests each message is checked when the handler reads it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kit._descriptors import option, reachable
from kit.errors import ConfigurationError, FieldViolation, InvalidArgument
from kit.pipeline import Shape
from kit.policy.from_proto import find_method
from kit.server._call import Handler, ServerCall, ServerMethod

__all__ = ["ValidateLayer", "has_rules"]

#: The number of buf.validate's extension of each kind of options.
_RULES = 1159
#: Bytes up to which a request is told all that is wrong with it; of a larger one only the first violation is looked
#: for, so that nobody can make the server write a million of them.
_ALL_UP_TO = 64 * 1024
#: Violations and characters of each that are sent: the whole status has to fit into a client's limit.
_MAX_VIOLATIONS = 16
_MAX_TEXT = 200

#: What is wrong with a message; nothing where all is well.
Check = Callable[[Any], None]


class ValidateLayer:
    """See the module."""

    name = "validate"

    def __init__(self, wanted: bool = True) -> None:
        """`wanted` False checks nothing, whatever the .proto says."""
        self._wanted = wanted
        self._validator: Any = None

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`. Raises ConfigurationError for rules that cannot be checked."""
        request = _request_of(method) if self._wanted else None
        if request is None or not has_rules(request):
            return inner
        check = self._check_of(method.path, request)

        async def one(call: ServerCall) -> Any:
            # What could not be parsed is refused further in.
            if isinstance(call.request, Message):
                check(call.request)
            return await inner(call)

        async def stream(call: ServerCall) -> Any:
            call.request = _Checked(call.request, check)
            call.context = _CheckedContext(call.context, check)  # type: ignore[assignment]  # it looks like one
            return await inner(call)

        return stream if method.shape in (Shape.STREAM_UNARY, Shape.STREAM_STREAM) else one

    def _check_of(self, path: str, request: Descriptor) -> Check:
        if self._validator is None:
            self._validator = _load(path)
        find = self._validator.collect_violations
        for below in reachable(request):
            try:
                # Rules are compiled when a message of the type is seen first.
                find(message_factory.GetMessageClass(below)())
            except Exception as error:
                raise ConfigurationError(f"{path}: the rules of {below.full_name} cannot be used: {error}") from error

        def check(message: Message) -> None:
            found = find(message, fail_fast=message.ByteSize() > _ALL_UP_TO)
            if found:
                raise _refusal(found, path)

        return check


def has_rules(request: Descriptor) -> bool:
    """Whether the message, or one that can be below it, has rules of buf.validate."""
    return any(
        option(thing.GetOptions(), _RULES) is not None
        for below in reachable(request)
        for thing in (below, *below.fields, *below.oneofs)
    )


def _request_of(method: ServerMethod) -> Descriptor | None:
    """The type of the request; None where nothing is known of it."""
    known = find_method(method.path)
    if known is not None:
        return known.input_type
    # Generated code gives the class's own method.
    kind = getattr(method.request_deserializer, "__self__", None)
    descriptor = getattr(kind, "DESCRIPTOR", None)
    return descriptor if isinstance(descriptor, Descriptor) else None


def _load(path: str) -> Any:
    if importlib.util.find_spec("protovalidate") is None:
        raise ConfigurationError(
            f"{path}: its request has rules of buf.validate, which need the extra `validate`: "
            "pip install grpc-service-kit[validate]; validate=False serves it without them"
        )
    import protovalidate

    return protovalidate.Validator()


def _refusal(found: Iterable[Any], path: str) -> InvalidArgument:
    violations = [FieldViolation(_path(one.proto.field), _text(one.proto)) for one in found]
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidArgument(
        f"{first.field}: {first.description}{more}" if first.field else f"{first.description}{more}",
        reason="INVALID_REQUEST",
        domain=path.rpartition("/")[0].removeprefix("/"),
        violations=violations[:_MAX_VIOLATIONS],
    )


def _text(violation: Any) -> str:
    said = violation.message or violation.rule_id or "breaks a rule"
    return f"{'key: ' if violation.for_key else ''}{said}"[:_MAX_TEXT]


def _path(field: Any) -> str:
    """As "lines[2].sku", 'tags["a"]'; "" for the message as a whole."""
    parts: list[str] = []
    for element in () if field is None else field.elements:
        at = element.subscript
        index = "" if at is None else f'["{at.value}"]' if at.field == "string_key" else f"[{_plain(at.value)}]"
        parts.append(f"{element.field_name}{index}")
    return ".".join(parts)[:_MAX_TEXT]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Checked:
    """The requests of a stream, each checked as it is read."""

    __slots__ = ("_check", "_inner", "_requests")

    def __init__(self, requests: AsyncIterator[Any], check: Check) -> None:
        self._requests = requests
        self._check = check
        self._inner: AsyncIterator[Any] | None = None

    def __aiter__(self) -> _Checked:
        return self

    async def __anext__(self) -> Any:
        if self._inner is None:
            self._inner = aiter(self._requests)
        message = await anext(self._inner)
        self._check(message)
        return message


class _CheckedContext:
    """A call's context whose `read` checks as well."""

    __slots__ = ("_check", "_context")

    def __init__(self, context: Any, check: Check) -> None:
        self._context = context
        self._check = check

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        if isinstance(message, Message):
            self._check(message)
        return message
