"""The seam to the JSON implementation: messages on the wire to JSON text, JSON documents into messages.

`JsonFormat` is protobuf's own implementation. A faster one takes its place by implementing `Codec`; answers go from
wire bytes to JSON bytes in one call, so it need not know Python messages at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf import descriptor_pool, json_format
from google.protobuf.message import Message

from gateway.transcode.fields import named

__all__ = ["Codec", "DocumentError", "Encode", "JsonFormat"]

#: Wire bytes of a message to JSON.
Encode = Callable[[bytes], bytes]


class DocumentError(ValueError):
    """A JSON document that is not the message. `path` is dotted, "" for the whole; the message says what is wrong."""

    def __init__(self, path: str, description: str) -> None:
        super().__init__(f"{path} {description}".strip())
        self.path = path
        self.description = description


class Codec(Protocol):
    """lowerCamelCase names, 64-bit integers as strings, enums by name, fields without presence always written."""

    def encoder(self, kind: type[Message], field: str = "") -> Encode:
        """Encodes messages of a type, or the value of one field of them."""
        ...

    def merge(self, document: Any, message: Message) -> None:
        """Puts a parsed document into a message. Raises DocumentError."""
        ...


class JsonFormat:
    """`google.protobuf.json_format` behind the seam. `pool` knows the types that an Any may hold."""

    def __init__(self, pool: descriptor_pool.DescriptorPool | None = None) -> None:
        self._pool = pool

    def encoder(self, kind: type[Message], field: str = "") -> Encode:
        """Encodes messages of a type, or the value of one field of them."""
        printer = json_format.MessageToDict
        options: dict[str, Any] = {"always_print_fields_with_no_presence": True, "descriptor_pool": self._pool}
        if not field:

            def encode(wire: bytes) -> bytes:
                return _text(printer(kind.FromString(wire), **options))

            return encode
        descriptor = kind.DESCRIPTOR.fields_by_name[field]
        # What a message that is not set, or an optional value, is written as.
        missing: Any = {} if descriptor.message_type is not None else None

        def encode_field(wire: bytes) -> bytes:
            return _text(printer(kind.FromString(wire), **options).get(descriptor.json_name, missing))

        return encode_field

    def merge(self, document: Any, message: Message) -> None:
        """Puts a parsed document into a message. Raises DocumentError."""
        try:
            json_format.ParseDict(document, message, descriptor_pool=self._pool, max_recursion_depth=64)
        except (json_format.ParseError, json_format.Error) as error:
            raise _explain(str(error), message) from None
        except (TypeError, ValueError, AttributeError, RecursionError):
            # json_format lets a few of its own slips through for documents of an odd shape.
            raise DocumentError("", "does not have the shape of the message") from None


def _text(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


_NO_FIELD = re.compile(r'no field named "([^"]*)"(?: at "([^"]*)")?')
_FAILED = re.compile(r"Failed to parse (\S+) field: (.*)", re.DOTALL)


def _explain(text: str, message: Message) -> DocumentError:
    """json_format's complaint as a field and a sentence; names of messages and of Python's types are left out."""
    if found := _NO_FIELD.search(text):
        inside = _dotted((found[2] or "").partition(".")[2])
        return DocumentError(f"{inside}.{found[1]}" if inside else found[1], "is not a field of the message")
    if found := _FAILED.search(text):
        return DocumentError(_dotted(found[1]), _sentence(message, _dotted(found[1])))
    return DocumentError("", "does not have the shape of the message")


def _dotted(path: str) -> str:
    return path.strip(".")


def _sentence(message: Message, path: str) -> str:
    descriptor: Any = message.DESCRIPTOR
    field = None
    for name in re.sub(r"\[[^]]*]", "", path).split("."):
        field = named(descriptor, name) if descriptor is not None else None
        if field is None:
            return "has a value that the field does not take"
        descriptor = field.message_type
    assert field is not None
    if field.enum_type is not None:
        return f"must be one of {', '.join(field.enum_type.values_by_name)}"
    if field.message_type is not None:
        return f"must be a JSON form of {field.message_type.name}"
    words = {
        field.CPPTYPE_STRING: "a string",
        field.CPPTYPE_BOOL: "true or false",
        field.CPPTYPE_DOUBLE: "a number",
        field.CPPTYPE_FLOAT: "a number",
    }
    wanted = words.get(field.cpp_type, "a whole number in range")
    return f"must be a list, each entry {wanted}" if field.is_repeated else f"must be {wanted}"
