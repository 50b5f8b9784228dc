"""What descriptors of messages say, for whoever decides by them."""

from __future__ import annotations

from google.protobuf import unknown_fields
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

__all__ = ["option", "reachable"]


def reachable(message: Descriptor) -> list[Descriptor]:
    """The message itself and every one that can be below it, each once; entries of maps are among them."""
    seen = {message.full_name: message}
    todo = [message]
    while todo:
        for field in todo.pop().fields:
            below = field.message_type
            if below is not None and below.full_name not in seen:
                seen[below.full_name] = below
                todo.append(below)
    return list(seen.values())


def option(options: Message, number: int) -> object:
    """The value of the extension `number` in the options of something; None where it is not set.

    Where the options know nothing of the extension, because its generated code is not imported or the descriptor is of
    another pool, a message's value is its bytes.
    """
    for field, value in options.ListFields():
        if field.number == number:
            found: object = value
            return found
    unknown = unknown_fields.UnknownFieldSet(options)
    for at in range(len(unknown)):
        if unknown[at].field_number == number:
            return unknown[at].data
    return None
