"""JSON bodies: text to document, document to message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.transcode.binding import invalid
from gateway.transcode.codec import Codec, DocumentError
from gateway.transcode.fields import named
from kit.errors import InvalidArgument

__all__ = ["JsonBody", "parse"]


def parse(raw: bytes) -> Any:
    """The document that a body holds. Raises InvalidArgument that says where the text stops being JSON."""
    try:
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise invalid("", f"The body is not UTF-8: byte {error.start + 1} cannot be read") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise invalid("", f"The body is not JSON: {error.msg[:1].lower()}{error.msg[1:]} at {where}") from None
    except RecursionError:
        raise invalid("", "The body is nested too deeply") from None
    except ValueError as error:
        raise invalid("", f"The body is not JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the name "{twice}" stands twice in one object')
    return found


def _constant(name: str) -> Any:
    raise ValueError(f'{name} must be written as a string, "{name}"')


class JsonBody:
    """Binds a document to a request by the rule's `body`: "*" or the name of a field.

    `path_fields` are the names of the fields that the path binds: a body must not give them too. With `patch` a
    FieldMask of the request that the query left out is set from the names that the document has.
    """

    def __init__(
        self, request: Descriptor, body: str, path_fields: Sequence[tuple[str, ...]], *, codec: Codec, patch: bool
    ) -> None:
        self._codec = codec
        self._field = None if body == "*" else request.fields_by_name[body]
        below = 0 if self._field is None else 1
        self._path_fields = [path for path in path_fields if below == 0 or path[0] == body]
        self._below = below
        self._request = request
        masks = [
            field.name
            for field in request.fields
            if field.message_type is not None
            and field.message_type.full_name == "google.protobuf.FieldMask"
            and not field.is_repeated
        ]
        is_message = self._field is not None and self._field.message_type is not None and not self._field.is_repeated
        self._mask = masks[0] if patch and is_message and len(masks) == 1 else ""

    def bind(self, message: Message, document: Any) -> None:
        """Puts the document into the request. Raises InvalidArgument."""
        for path in self._path_fields:
            if _holds(
                document, path[self._below :], self._request if self._field is None else self._field.message_type
            ):
                raise invalid(".".join(path), "is given by the path and must not be in the body as well")
        try:
            if self._field is None:
                if not isinstance(document, dict):
                    raise invalid("", "The body must be a JSON object")
                self._codec.merge(document, message)
            elif self._field.message_type is not None and not self._field.is_repeated:
                if not isinstance(document, dict) and _has_parts(self._field):
                    raise invalid("", "The body must be a JSON object")
                part = getattr(message, self._field.name)
                part.SetInParent()
                self._codec.merge(document, part)
            else:
                self._codec.merge({self._field.json_name: document}, message)
        except DocumentError as error:
            raise self._explained(error) from None
        if self._mask and isinstance(document, dict):
            assert self._field is not None
            assert self._field.message_type is not None
            mask: Any = getattr(message, self._mask)
            if not mask.paths:
                mask.paths.extend(_mask_paths(document, self._field.message_type))

    def _explained(self, error: DocumentError) -> InvalidArgument:
        prefix = ""
        if self._field is not None and self._field.message_type is not None and not self._field.is_repeated:
            prefix = self._field.name
        where = ".".join(part for part in (prefix, error.path) if part)
        if not where:
            return invalid("", f"The body {error.description}")
        return invalid(where, error.description)


def _holds(document: Any, path: Sequence[str], descriptor: Descriptor | None) -> bool:
    """Whether the document gives the field, by either of its names."""
    for name in path:
        field = None if descriptor is None else descriptor.fields_by_name.get(name)
        if field is None or not isinstance(document, dict):
            return False
        found = next((key for key in document if key in {field.name, field.json_name}), None)
        if found is None:
            return False
        document, descriptor = document[found], field.message_type
    return True


def _mask_paths(document: dict[str, Any], descriptor: Descriptor, prefix: str = "") -> Iterator[str]:
    for key, value in document.items():
        field = named(descriptor, key)
        if field is None:
            continue
        inner = field.message_type
        if isinstance(value, dict) and value and inner is not None and _has_parts(field):
            yield from _mask_paths(value, inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _has_parts(field: FieldDescriptor) -> bool:
    """Whether a mask may name fields below this one."""
    kind = field.message_type
    return kind is not None and not field.is_repeated and not kind.full_name.startswith("google.protobuf.")
