"""The extra fields of a zip's headers."""

from __future__ import annotations

import struct
import zlib

_MARK = 0xFFFFFFFF


def field(extra: bytes, wanted: int) -> bytes | None:
    """Content of one of the fields; None when it is not there, or cut off."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == wanted:
            content = extra[at + 4 : at + 4 + size]
            return content if len(content) == size else None
        at += 4 + size
    return None


def zip64(extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """The values, those that are marked as too large for their places taken from the field for them, in order."""
    if _MARK not in values:
        return values
    content = field(extra, 1) or b""
    numbers = list(struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8]))
    return tuple(numbers.pop(0) if value == _MARK and numbers else value for value in values)


def unicode_name(extra: bytes, name: bytes) -> str | None:
    """The name in UTF-8 that Info-ZIP writes beside one in an older encoding."""
    content = field(extra, 0x7075)
    if content is None or len(content) < 5 or content[0] != 1:
        return None
    if int.from_bytes(content[1:5], "little") != zlib.crc32(name):
        return None
    return content[5:].decode("utf-8", "replace")
