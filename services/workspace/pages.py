"""Page sizes and page tokens of lists that are ordered by creation time and id, or by a name that only one has.

A token says where the page before it ended. It holds nothing that a caller may not know, so it is encoded, not
encrypted; callers are to treat it as opaque all the same.
"""

from __future__ import annotations

import base64
import binascii
import json

from services.workspace.names import invalid

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000

#: Creation time in microseconds and id of the last row of a page.
Position = tuple[int, str]


def page_size(wanted: int) -> int:
    """Rows to give for a request's `page_size`: 0 is the default, too many are cut to the most, negative is refused."""
    if wanted < 0:
        raise invalid("page_size", "must not be negative")
    return min(wanted, LARGEST_PAGE) or DEFAULT_PAGE


def to_token(position: Position) -> str:
    """The token of the page after `position`."""
    return _token([1, *position])


def from_token(token: str) -> Position | None:
    """Where the page begins; None for the first one. InvalidArgument for a token that was not given out."""
    if not token:
        return None
    match _read(token):
        case [1, int(time), str(identifier)] if not isinstance(time, bool) and abs(time) < 2**63:
            return time, _encodable(identifier)
        case _:
            raise invalid("page_token", "is not a token of this list")


def to_name_token(name: str) -> str:
    """The token of the page after the row that has this name."""
    return _token([2, name])


def from_name_token(token: str) -> str | None:
    """The name that the page begins behind; None for the first one. InvalidArgument as `from_token`."""
    if not token:
        return None
    match _read(token):
        case [2, str(name)]:
            return _encodable(name)
        case _:
            raise invalid("page_token", "is not a token of this list")


def _encodable(text: str) -> str:
    """The text; no database takes half of a surrogate pair."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise invalid("page_token", "is not a token of this list")
    return text


def _token(parts: list[int | str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def _read(token: str) -> object:
    """What a token holds; None where it holds nothing that could be read."""
    try:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        return None
