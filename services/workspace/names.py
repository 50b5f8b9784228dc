"""Identifiers and names of workspaces and operations: "workspaces/<id>" and "operations/<id>"."""

from __future__ import annotations

import re
import string

from kit.errors import FieldViolation, InvalidArgument

DOMAIN = "loganalyzer"
MAX_DISPLAY_NAME = 200

_WORKSPACE_ID = re.compile(r"[a-z][a-z0-9-]{3,62}")
_OPERATION_ID = re.compile(r"[a-z0-9]{1,32}")
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
    return text


def invalid(field: str, description: str) -> InvalidArgument:
    """The error for one wrong field."""
    return InvalidArgument(f"{field} {description}", violations=[FieldViolation(field, description)])
