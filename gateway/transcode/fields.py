"""Fields of a message by name, and their values as a path or a query says them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

__all__ = ["MAX_DEPTH", "Target", "UnknownFieldError", "is_scalar_like", "named", "resolve"]

#: Dots that a field path may have; messages may contain themselves.
MAX_DEPTH = 8

_F = FieldDescriptor
_RANGES: Mapping[int, tuple[int, int]] = {
    _F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    _F.CPPTYPE_UINT32: (0, 2**32 - 1),
    _F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    _F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|NaN|-?Infinity")
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_ZONE_WITHOUT_PLUS = re.compile(r"[0-9] [0-9]{2}:?[0-9]{2}$")

_PREFIX = "google.protobuf."
#: Messages that JSON writes as one string, and a sentence that says which.
_STRINGS = {
    f"{_PREFIX}Timestamp": "must be an RFC 3339 time such as 2024-05-01T10:00:00Z",
    f"{_PREFIX}Duration": "must be seconds such as 1.5s",
    f"{_PREFIX}FieldMask": "must be field names parted by commas, such as displayName",
}
_WRAPPERS = frozenset(
    _PREFIX + name
    for name in (
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
    )
)

Convert = Callable[[str], Any]


class UnknownFieldError(ValueError):
    """A message has no field of this name."""


@dataclass(frozen=True, slots=True)
class Target:
    """A field that a text can be put into. `path` are the .proto names that lead to it."""

    path: tuple[str, ...]
    field: FieldDescriptor
    convert: Convert

    @property
    def name(self) -> str:
        """The dotted name, as in the .proto."""
        return ".".join(self.path)

    def put(self, message: Message, text: str) -> None:
        """Sets the field, or appends where it is repeated. Raises ValueError with what the text must be."""
        value = self.convert(text)
        owner: Any = message
        for name in self.path[:-1]:
            owner = getattr(owner, name)
        name = self.path[-1]
        if self.field.is_repeated:
            getattr(owner, name).append(value)
        elif self.field.message_type is None:
            setattr(owner, name, value)
        else:
            _put_message(getattr(owner, name), value, _STRINGS.get(self.field.message_type.full_name, ""))


def named(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """The field with this .proto name or JSON name."""
    found: FieldDescriptor | None = descriptor.fields_by_name.get(name)
    return found if found is not None else descriptor.fields_by_camelcase_name.get(name) or _by_json(descriptor, name)


def _by_json(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    return next((field for field in descriptor.fields if field.json_name == name), None)


def is_scalar_like(field: FieldDescriptor) -> bool:
    """Whether one text can say the field's value."""
    kind = field.message_type
    return kind is None or kind.full_name in _STRINGS or kind.full_name in _WRAPPERS


def resolve(descriptor: Descriptor, dotted: str) -> Target:
    """The field that a dotted name means. Raises ValueError with what is wrong with the name."""
    path: list[str] = []
    names = dotted.split(".")
    if len(names) > MAX_DEPTH:
        raise ValueError("is nested too deeply")
    for index, name in enumerate(names):
        field = named(descriptor, name)
        if field is None:
            raise UnknownFieldError("is not a field of the request")
        path.append(field.name)
        if index == len(names) - 1:
            return Target(tuple(path), field, _converter(field))
        if field.message_type is None or field.is_repeated or is_scalar_like(field):
            raise UnknownFieldError(f"is not a field of the request: {field.name} has no fields of its own")
        descriptor = field.message_type
    raise AssertionError("unreachable")


def _converter(field: FieldDescriptor) -> Convert:
    kind = field.message_type
    if kind is not None:
        if field.is_repeated:
            raise ValueError("is a list of messages, which only a body can carry")
        if kind.full_name in _WRAPPERS:
            return _converter(kind.fields_by_name["value"])
        if kind.full_name in _STRINGS:
            return _as_time if kind.full_name.endswith("Timestamp") else str
        raise ValueError("is a message: name a field of it, as in a.b, or send it in the body")
    if field.cpp_type in _RANGES:
        return _integer(*_RANGES[field.cpp_type])
    if field.type == _F.TYPE_BYTES:
        return _bytes
    if field.enum_type is not None:
        return _enum(field.enum_type)
    others: dict[int, Convert] = {_F.CPPTYPE_BOOL: _bool, _F.CPPTYPE_STRING: str}
    return others.get(field.cpp_type, _float)


def _put_message(message: Any, value: Any, must_be: str) -> None:
    if not must_be:
        message.value = value
        return
    try:
        if message.DESCRIPTOR.name == "FieldMask" and "_" in value:
            message.paths.extend(value.split(","))
        else:
            message.FromJsonString(value)
    except ValueError:
        raise ValueError(must_be) from None


def _as_time(text: str) -> str:
    """A "+" of a zone that was not escaped has become a space: no time has one there, so it is put back."""
    return text.replace(" ", "+") if _ZONE_WITHOUT_PLUS.search(text) else text


def _integer(low: int, high: int) -> Convert:
    def convert(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise ValueError("must be a whole number")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return convert


def _enum(kind: EnumDescriptor) -> Convert:
    int32 = _integer(*_RANGES[_F.CPPTYPE_INT32])

    def convert(text: str) -> int:
        if text in kind.values_by_name:
            number: int = kind.values_by_name[text].number
            return number
        if _INTEGER.fullmatch(text) and (int(text) in kind.values_by_number or not kind.is_closed):
            # An open enum keeps numbers that it has no name for.
            return int32(text)  # type: ignore[no-any-return] # a Convert returns what its field takes
        raise ValueError(f"must be one of {', '.join(kind.values_by_name)}")

    return convert


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError("must be a number")
    return float(text)


def _bool(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64") from None
