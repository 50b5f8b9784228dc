"""What a caller gives along with a call, looked at where it comes in, before anything is sent.

grpc.aio finds most of these mistakes too, but later and in its own words, some of them only on the server, and some not
at all. A call that is given nothing but its request is not looked at, so it pays nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from kit.call import PRIORITY_KEY, current_priority
from kit.clock import Clock
from kit.durations import LONGEST, check_seconds
from kit.errors import InvalidMetadata, MetadataTooLarge, UsageTypeError, UsageValueError
from kit.layers import ReportLayer, TraceCallLayer
from kit.pipeline import Call, Handler, Method, Outcome
from kit.resilience.retry import StopReason

__all__ = [
    "METADATA_LIMIT",
    "check_call",
    "check_compression",
    "checked_metadata",
    "refusing",
    "shown",
    "with_priority",
]

#: Bytes of metadata that gRPC's servers refuse for certain, unless they are configured otherwise. From half of it they
#: refuse some calls, the more the nearer.
METADATA_LIMIT = 16_384
#: What HTTP/2 counts for a pair, beside key and value (RFC 9113, 6.5.2).
_PAIR = 32
_KEY = re.compile(r"[a-z0-9_.-]+")
#: What gRPC writes itself: given as metadata it is dropped, or makes the call end with another status than it has.
_RESERVED = {
    "grpc-timeout": "give timeout= instead",
    "grpc-encoding": "give compression= instead",
    "grpc-accept-encoding": "give compression= instead",
    "grpc-status": "a status is the server's to send",
    "grpc-message": "a status is the server's to send",
}
#: Keys that were found good, of texts and of bytes; a program has few.
_texts: set[str] = set()
_binaries: set[str] = set()
_MOST_GOOD = 1000
_PLAIN = (float, int)


def check_call(timeout: Any, credentials: Any, wait_for_ready: Any, compression: Any) -> None:
    """Refuses what a call cannot be made with. Raises UsageTypeError and UsageValueError."""
    if timeout is not None and not (timeout.__class__ in _PLAIN and -LONGEST < timeout < LONGEST):
        check_seconds("timeout", timeout, "None for the policy's")
    if credentials is not None and not isinstance(credentials, grpc.CallCredentials):
        raise UsageTypeError(
            f"credentials={credentials!r} are not those of a call; make them with grpc.access_token_call_credentials() "
            "or grpc.metadata_call_credentials(); those of a channel go to kit.channel(credentials=)"
        )
    if isinstance(wait_for_ready, (str, bytes)):
        raise UsageTypeError(f"wait_for_ready={wait_for_ready!r} is a text, which is always true; give True or False")
    if compression is not None:
        check_compression(compression)


def check_compression(compression: Any) -> None:
    """Refuses what is no kind of compression. Raises UsageValueError."""
    try:
        known = compression in _COMPRESSIONS
    except TypeError:
        known = False
    if not known:
        names = ", ".join(f"grpc.Compression.{kind.name}" for kind in grpc.Compression)
        raise UsageValueError(f"compression={compression!r} is none that gRPC has; give {names}, or None")


_COMPRESSIONS = frozenset(grpc.Compression) | {kind.value for kind in grpc.Compression}


def checked_metadata(metadata: Any, limit: int) -> tuple[Any, MetadataTooLarge | None]:
    """The metadata, in a form that can be read more than once, and why a call with it is refused: it is too much.

    Raises InvalidMetadata for what cannot be sent at all.
    """
    if not isinstance(metadata, (grpc.aio.Metadata, tuple, list)):
        metadata = _read(metadata)
    size = 0
    try:
        for key, value in metadata:
            if value.__class__ is str:
                if key not in _texts or not (value.isascii() and value.isprintable()):
                    _check_pair(key, value)
            elif key not in _binaries or value.__class__ is not bytes:
                _check_pair(key, value)
            size += _PAIR + len(key) + len(value or "")
    except InvalidMetadata:
        raise
    except (TypeError, ValueError):
        raise _no_pairs(metadata) from None
    return metadata, None if size <= limit else _too_large(metadata, size, limit)


def with_priority(metadata: Any) -> Any:
    """The metadata of a call, looked at already, and the priority that holds here, unless the caller gave one."""
    priority = current_priority()
    given = tuple(metadata or ())
    if priority is None or any(key == PRIORITY_KEY for key, _ in given):
        return metadata
    return grpc.aio.Metadata(*given, (PRIORITY_KEY, priority.name.lower()))


def _read(metadata: Any) -> Any:
    """What an iterator gives: it can be read only once, and a further attempt would go without."""
    if not metadata:
        return ()
    if isinstance(metadata, (str, bytes, Mapping)):
        raise _no_pairs(metadata)
    try:
        return tuple(metadata)
    except TypeError:
        raise _no_pairs(metadata) from None


def _no_pairs(metadata: Any) -> InvalidMetadata:
    if isinstance(metadata, Mapping):
        return InvalidMetadata("metadata is a mapping; give its pairs: tuple(metadata.items())")
    if isinstance(metadata, (tuple, list)):
        for at, pair in enumerate(metadata):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                return InvalidMetadata(f"metadata[{at}] is {shown(pair)}, and no pair; give (key, value)")
            if _text(pair[0]) is None:
                return _no_key(pair[0])
    return InvalidMetadata(f'metadata is {shown(metadata)}; give a sequence of pairs: (("key", "value"),)')


def _no_key(key: object) -> InvalidMetadata:
    return InvalidMetadata(f"metadata: the key {shown(key)} is no text; give a str")


def _check_pair(key: Any, value: Any) -> None:
    """What gRPC refuses, in words that say what to change."""
    name = _text(key)
    if name is None:
        raise _no_key(key)
    if _KEY.fullmatch(name) is None:
        fault = ""
        if _KEY.fullmatch(name.lower()) is not None:
            fault = f"; write {name.lower()!r}"
        elif name.startswith(":"):
            fault = "; what begins with ':' is gRPC's own"
        raise InvalidMetadata(
            f"metadata: the key {name!r} is none: lower-case letters, digits, '-', '_' and '.' are allowed{fault}"
        )
    if name in _RESERVED:
        raise InvalidMetadata(f"metadata: the key {name!r} is gRPC's own; {_RESERVED[name]}")
    if name.endswith("-bin"):
        if not isinstance(value, bytes):
            raise InvalidMetadata(
                f"metadata: the value of {name!r} is {shown(value)}; keys in -bin hold bytes: encode it, or rename it"
            )
    elif value is not None:
        text = _text(value)
        if text is None:
            raise InvalidMetadata(f"metadata: the value of {name!r} is {shown(value)}; give a str")
        if not (text.isascii() and text.isprintable()):
            raise InvalidMetadata(
                f"metadata: the value of {name!r} is {shown(value)}, and not visible ASCII; give it as bytes under "
                f"the key {name + '-bin'!r}"
            )
    good = _binaries if name.endswith("-bin") else _texts
    if len(good) < _MOST_GOOD:
        good.add(name)


def _text(part: Any) -> str | None:
    """A key or value as text: grpc takes bytes too."""
    if isinstance(part, bytes):
        return part.decode("latin-1")
    return part if isinstance(part, str) else None


def _too_large(metadata: Any, size: int, limit: int) -> MetadataTooLarge:
    key, value = max(metadata, key=lambda pair: len(pair[0]) + len(pair[1] or ""))
    name = _text(key) or ""
    return MetadataTooLarge(
        f"the metadata is {size} bytes and {limit} are allowed; the largest is {name!r} with {len(value or '')}: send "
        "less, or put it into the request. Where the server takes more, say so here too by the channel option "
        '"grpc.max_metadata_size" (on a stock channel kit.client_interceptors(max_metadata_size=)); nothing was sent',
        size=size,
        limit=limit,
        key=name,
    )


def refusing(error: MetadataTooLarge, method: Method, clock: Clock) -> Handler:
    """What a refused call goes through: it is traced and reported as any other, and nothing else."""

    async def refuse(call: Call) -> Outcome:
        call.stop = StopReason.NOT_RETRYABLE
        return Outcome(error=error)

    handler: Handler = refuse
    for layer in (TraceCallLayer(), ReportLayer(clock)):
        handler = layer.wrap(method, handler)
    return handler


def shown(value: object) -> str:
    """A value in an error: its type, and not all of it where it is long."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
