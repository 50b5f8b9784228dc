"""Messages as they may be printed: what their .proto declares sensitive is taken out.

How to print a message is decided once for each descriptor. One that has nothing sensitive at all below it is handed to
protobuf's own printer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from kit._descriptors import option, reachable
from kitapi.v1 import policy_pb2

REDACTED = "[redacted]"

_ANY = "google.protobuf.Any"
_SENSITIVE = policy_pb2.sensitive.number
#: What is printed instead of a field's value.
_Print = Callable[[Any], Any]


def redacted(message: Message) -> dict[str, Any]:
    """The message as it may be printed: its JSON form, by the names of the .proto, with `[redacted]` for the values of
    fields that are declared sensitive, in it and in every message below it.

    An Any is opened where its type is known, and told by its size where it is not.
    """
    special = _plan(message.DESCRIPTOR)
    if special is None:
        return _to_dict(message)
    if message.DESCRIPTOR.full_name == _ANY:
        return _any(message)
    kept = type(message)()
    kept.CopyFrom(message)
    apart: dict[str, Any] = {}
    for field, value in message.ListFields():
        step = _step(field) if field.is_extension else special.get(field.number)
        if step is not None:
            apart[f"[{field.full_name}]" if field.is_extension else field.name] = step(value)
            if field.is_extension:
                kept.ClearExtension(field)  # type: ignore[arg-type]  # it takes any descriptor of an extension
            else:
                kept.ClearField(field.name)
    return {**_to_dict(kept), **apart}


def _to_dict(message: Message) -> dict[str, Any]:
    made = json_format.MessageToDict(message, preserving_proto_field_name=True)
    # A Timestamp, a Duration or a wrapper is no object in JSON.
    return made if isinstance(made, dict) else {"value": made}


def _below(message: Message) -> Any:
    """The same of a message in a field: a Timestamp is its text."""
    if _plan(message.DESCRIPTOR) is None:
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    return redacted(message)


def _any(packed: Any) -> dict[str, Any]:
    inner = _opened(packed)
    if inner is None:
        return {"@type": packed.type_url, "value": f"[{len(packed.value)} bytes]"}
    made = _below(inner)
    return {"@type": packed.type_url, **(made if isinstance(made, dict) else {"value": made})}


def _opened(packed: Any) -> Message | None:
    """What is in an Any; None where its type is not known or it is damaged."""
    for pool in (packed.DESCRIPTOR.file.pool, descriptor_pool.Default()):
        try:
            found = pool.FindMessageTypeByName(packed.type_url.rpartition("/")[2])
            inner: Message = message_factory.GetMessageClass(found).FromString(packed.value)
        except (KeyError, DecodeError):
            continue
        return inner
    return None


@lru_cache(maxsize=4096)
def _plan(descriptor: Descriptor) -> Mapping[int, _Print] | None:
    """How to print the fields that JSON's printer may not have, by number; None where it may have the whole message."""
    if descriptor.full_name == _ANY:
        return {}
    if not any(_is_special(below) for below in reachable(descriptor)):
        return None
    return {field.number: step for field in descriptor.fields if (step := _step(field)) is not None}


def _is_special(descriptor: Descriptor) -> bool:
    return (
        descriptor.full_name == _ANY
        or descriptor.is_extendable
        or any(_is_sensitive(field) for field in descriptor.fields)
    )


def _step(field: FieldDescriptor) -> _Print | None:
    if _is_sensitive(field):
        return lambda _value: REDACTED
    below = field.message_type
    if below is None:
        return None
    if below.GetOptions().map_entry:
        item = below.fields_by_name["value"]
        step = _step(item)
        return None if step is None else lambda value: {_key(key): step(value[key]) for key in value}
    if _plan_is_empty(below):
        return None
    return (lambda value: [_below(item) for item in value]) if field.is_repeated else _below


def _plan_is_empty(descriptor: Descriptor) -> bool:
    return not any(_is_special(below) for below in reachable(descriptor))


def _key(key: object) -> str:
    """A map's key as JSON has it."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _is_sensitive(field: FieldDescriptor) -> bool:
    return bool(option(field.GetOptions(), _SENSITIVE))
