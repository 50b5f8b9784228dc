"""What requests say, checked: every reader here raises InvalidArgument with a violation that names the field."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import struct

from google.protobuf import timestamp_pb2

from kit.errors import FieldViolation, InvalidArgument
from loganalyzer.search.v1 import query_pb2
from services.search.plans import Order
from services.search.query import QuerySyntaxError, normalise, parse, with_times
from services.search.quick import plain_query

__all__ = [
    "DOMAIN",
    "is_relative",
    "list_place_of",
    "list_token_of",
    "log_of",
    "now_of",
    "number_of",
    "order_of",
    "place_of",
    "query_of",
    "source_of",
    "token_of",
    "unreadable_query",
    "workspace_of",
]

#: Of ErrorInfo.
DOMAIN = "loganalyzer"

_WORKSPACE = re.compile(r"workspaces/([a-z][a-z0-9-]{3,62})")
_LOG = re.compile(r"workspaces/([a-z][a-z0-9-]{3,62})/logs/([a-z0-9]{1,32})-([1-9][0-9]{0,17})")
_SOURCE = re.compile(r"workspaces/([a-z][a-z0-9-]{3,62})/logSources/([a-z0-9]{1,32})")
# Version and hash of what was asked for; the place, which only the index reads, follows.
_TOKEN = struct.Struct(">B8s")
_TOKEN_VERSION = 1
# The same of a query with relative times, and the time in microseconds that they are counted from.
_RELATIVE_TOKEN = struct.Struct(">B8sq")
_RELATIVE_TOKEN_VERSION = 2
#: The end of 9999, in microseconds since 1970.
_LATEST = 253_402_300_800_000_000
#: In every query with relative times, and in some others.
_MAYBE_RELATIVE = re.compile(r"last:|time:.*(?:now|(?<!\d)-\d)", re.DOTALL)


def workspace_of(parent: str) -> str:
    """The id in "workspaces/{id}"."""
    found = _WORKSPACE.fullmatch(parent)
    if found is None:
        raise invalid("parent", 'must be "workspaces/" and 4 to 63 of a-z, 0-9 and "-", a letter first')
    return found[1]


def log_of(name: str) -> tuple[str, str, int]:
    """(workspace id, source id, line number) in "workspaces/{workspace}/logs/{source}-{line}"."""
    found = _LOG.fullmatch(name)
    if found is None:
        raise invalid("name", 'must be "workspaces/{workspace}/logs/{id}" with the id of a hit')
    return found[1], found[2], int(found[3])


def source_of(name: str) -> tuple[str, str]:
    """(workspace id, source id) in "workspaces/{workspace}/logSources/{source}"."""
    found = _SOURCE.fullmatch(name)
    if found is None:
        raise invalid("name", 'must be "workspaces/{workspace}/logSources/{id}"')
    return found[1], found[2]


def query_of(
    text: str,
    start: timestamp_pb2.Timestamp | None = None,
    end: timestamp_pb2.Timestamp | None = None,
    *,
    now: int | None = None,
) -> query_pb2.Query:
    """The normal form of a query in text form, restricted to [start, end). Raises QuerySyntaxError as well.

    `now`, in microseconds, is what relative times are counted from; None is the second that the system's clock shows.
    """
    low = None if start is None else _micros(start, "start_time")
    high = None if end is None else _micros(end, "end_time")
    if low is not None and high is not None and low > high:
        raise invalid("start_time", "must not be after end_time")
    if low is None and high is None and (plain := plain_query(text)) is not None:
        return plain
    return normalise(with_times(parse(text, now=now), low, high))


def is_relative(text: str, now: int) -> bool:
    """Whether what a query means depends on when it is asked."""
    return _MAYBE_RELATIVE.search(text) is not None and parse(text, now=now) != parse(text, now=now + 1)


def unreadable_query(error: QuerySyntaxError) -> InvalidArgument:
    """What a query that cannot be read is to a caller."""
    return InvalidArgument(
        f"query: {error}",
        reason="QUERY_SYNTAX",
        domain=DOMAIN,
        metadata={"position": str(error.position)},
        violations=[FieldViolation("query", str(error))],
    )


def order_of(text: str) -> Order:
    """The order of hits; newest first when nothing is said."""
    words = " ".join(text.split())
    known = {"": Order.NEWEST, "timestamp desc": Order.NEWEST, "timestamp": Order.OLDEST, "timestamp asc": Order.OLDEST}
    if words not in known:
        raise invalid("order_by", 'must be "timestamp desc" or "timestamp"')
    return known[words]


def number_of(value: int, field: str, *, default: int, largest: int | None = None) -> int:
    """A number in [0, largest]; 0 means the default."""
    if value < 0:
        raise invalid(field, "must not be negative")
    if largest is not None and value > largest:
        raise invalid(field, f"must be at most {largest}")
    return value or default


def token_of(place: bytes, workspace: str, query: bytes, order: Order, *, now: int | None = None) -> str:
    """The page token of what follows `place`. `now`: the query has relative times, which were counted from then."""
    asked = _asked(workspace, query, order)
    if now is None:
        head = _TOKEN.pack(_TOKEN_VERSION, asked)
    else:
        head = _RELATIVE_TOKEN.pack(_RELATIVE_TOKEN_VERSION, asked, now)
    return base64.urlsafe_b64encode(head + place).decode().rstrip("=")


def place_of(token: str, workspace: str, query: bytes, order: Order) -> bytes:
    """Where the page begins; b"" for the first one."""
    if not token:
        return b""
    asked, _, place = _unpacked(token)
    # Of another `now` than the token was made with the query would be another one, too.
    if asked != _asked(workspace, query, order):
        raise invalid("page_token", "belongs to another query, order or workspace")
    return place


def now_of(token: str) -> int | None:
    """What the relative times of a query are counted from on the page that a token asks for; None where it has none.

    Checked is only the form of the token: `place_of` says whether it belongs to the query.
    """
    return _unpacked(token)[1] if token else None


def _unpacked(token: str) -> tuple[bytes, int | None, bytes]:
    """(hash, now, place) of a page token."""
    now: int | None = None
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version, asked = _TOKEN.unpack_from(packed)
        size = _TOKEN.size
        if version == _RELATIVE_TOKEN_VERSION:
            _, asked, now = _RELATIVE_TOKEN.unpack_from(packed)
            size = _RELATIVE_TOKEN.size
    except (binascii.Error, ValueError, struct.error):
        version = None
    if version not in (_TOKEN_VERSION, _RELATIVE_TOKEN_VERSION) or len(packed) == size or not 0 <= (now or 0) < _LATEST:
        raise invalid("page_token", "is not a token that a search gave")
    return asked, now, packed[size:]


def list_token_of(last: tuple[str, str], asked: bytes) -> str:
    """The page token of what follows `last` in a list of (name, id); `asked` is what it was filtered by."""
    text = json.dumps([hashlib.blake2b(asked, digest_size=8).hexdigest(), *last])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def list_place_of(token: str, asked: bytes) -> tuple[str, str]:
    """Behind what the page begins; ("", "") for the first one."""
    if not token:
        return "", ""
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        digest, name, identifier = (str(part) for part in json.loads(packed))
    except (binascii.Error, ValueError, TypeError):
        raise invalid("page_token", "is not a token of this list") from None
    if digest != hashlib.blake2b(asked, digest_size=8).hexdigest():
        raise invalid("page_token", "belongs to another list")
    return name, identifier


def invalid(field: str, description: str) -> InvalidArgument:
    """The error for one wrong field."""
    return InvalidArgument(f"{field} {description}", violations=[FieldViolation(field, description)])


def _asked(workspace: str, query: bytes, order: Order) -> bytes:
    return hashlib.blake2b(b"\0".join([workspace.encode(), order.value.encode(), query]), digest_size=8).digest()


def _micros(when: timestamp_pb2.Timestamp, field: str) -> int:
    if not 0 <= when.nanos < 1_000_000_000 or not -62_135_596_800 <= when.seconds < 253_402_300_800:
        raise invalid(field, "is not a time between the years 1 and 9999")
    return when.seconds * 1_000_000 + -(-when.nanos // 1000)
