"""Identifiers and names of workspaces, saved queries and operations, and what display names may hold."""

from __future__ import annotations

import re
import string
import unicodedata

from kit.errors import FieldViolation, InvalidArgument

DOMAIN = "loganalyzer"
MAX_DISPLAY_NAME = 200
MAX_QUERY = 4096
#: Of a saved query; the first is what an empty one means.
ORDERS = ("timestamp desc", "timestamp")

_WORKSPACE_ID = re.compile(r"[a-z][a-z0-9-]{3,62}")
_SAVED_QUERY_ID = re.compile(r"[a-z][a-z0-9]{3,62}")
_OPERATION_ID = re.compile(r"[a-z0-9]{1,32}")
# Beside those of the categories Cc, Zl and Zp: what turns the direction of the text around it.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BASE32 = string.ascii_lowercase + "234567"


def made_up_id(random: bytes) -> str:
    """A workspace id of one letter and a base32 character for each further byte. 8 bytes give 26 * 32**7 of them."""
    head, *rest = random
    return string.ascii_lowercase[head % 26] + "".join(_BASE32[byte % 32] for byte in rest)


def check_workspace_id(text: str, field: str) -> str:
    """Returns the id, or raises InvalidArgument that names `field`."""
    if not _WORKSPACE_ID.fullmatch(text):
        raise invalid(field, 'must be 4 to 63 of a-z, 0-9 and "-", a letter first')
    return text


def workspace_id(name: str, field: str = "name") -> str:
    """The id in "workspaces/<id>"."""
    collection, _, last = name.partition("/")
    if collection != "workspaces" or not _WORKSPACE_ID.fullmatch(last):
        raise invalid(field, 'must be "workspaces/" and 4 to 63 of a-z, 0-9 and "-", a letter first')
    return last


def workspace_name(identifier: str) -> str:
    """ "workspaces/<id>" """
    return f"workspaces/{identifier}"


def saved_query_ids(name: str, field: str = "name") -> tuple[str, str]:
    """(workspace id, id) in "workspaces/<id>/savedQueries/<id>"."""
    match name.split("/"):
        case ["workspaces", workspace, "savedQueries", last] if _WORKSPACE_ID.fullmatch(
            workspace
        ) and _SAVED_QUERY_ID.fullmatch(last):
            return workspace, last
        case _:
            raise invalid(field, 'must be "workspaces/<id>/savedQueries/<id>"')


def saved_query_name(workspace: str, identifier: str) -> str:
    """ "workspaces/<id>/savedQueries/<id>" """
    return f"workspaces/{workspace}/savedQueries/{identifier}"


def operation_id(name: str, field: str = "name") -> str:
    """The id in "operations/<id>"."""
    collection, _, last = name.partition("/")
    if collection != "operations" or not _OPERATION_ID.fullmatch(last):
        raise invalid(field, 'must be "operations/" and the id of an operation')
    return last


def operation_name(identifier: str) -> str:
    """ "operations/<id>" """
    return f"operations/{identifier}"


def check_display_name(text: str, field: str) -> str:
    """Returns the display name, or raises InvalidArgument that names `field`."""
    if not text.strip():
        raise invalid(field, "must be set")
    if len(text) > MAX_DISPLAY_NAME:
        raise invalid(field, f"must have at most {MAX_DISPLAY_NAME} characters, has {len(text)}")
    for place, char in enumerate(text, start=1):
        if char in _TURNS or unicodedata.category(char) in {"Cc", "Zl", "Zp"}:
            raise invalid(field, f"must not hold control characters; character {place} is U+{ord(char):04X}")
    return text


def check_query(text: str, field: str) -> str:
    """Returns the query, or raises InvalidArgument. Whether it can be read is the search service's matter."""
    if len(text) > MAX_QUERY:
        raise invalid(field, f"must have at most {MAX_QUERY} characters, has {len(text)}")
    return text


def check_order(text: str, field: str) -> str:
    """Returns the order, "timestamp desc" for an empty one, or raises InvalidArgument."""
    order = " ".join(text.split()) or ORDERS[0]
    if order not in ORDERS:
        raise invalid(field, " or ".join(f'"{one}"' for one in ORDERS).join(("must be ", "")))
    return order


def invalid(field: str, description: str) -> InvalidArgument:
    """The error for one wrong field."""
    return InvalidArgument(f"{field} {description}", violations=[FieldViolation(field, description)])
