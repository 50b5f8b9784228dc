"""The directory at the end of a zip archive on disk: a second opinion on where members are and how large.

It tells what the local headers of a zip written to a pipe do not: sizes, and which members are links.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from dataclasses import dataclass

from services.importer.reading.streams import DiskFile
from services.importer.reading.zipextra import zip64

_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_UNIX = 3
_LINK, _TYPE = 0o120000, 0o170000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Hint:
    """What the directory says of the member whose header stands at an offset."""

    packed: int
    unpacked: int
    crc: int
    link: bool


class Directory:
    """Hints by offset; 30 bytes a member, whatever its name."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._packed = array("Q")
        self._unpacked = array("Q")
        self._crc = array("I")
        self._links = array("B")

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, offset: int, hint: Hint) -> None:
        """Adds a member. They must come in the order of offsets, as every tool writes them; others are left out."""
        if not self._offsets or offset > self._offsets[-1]:
            self._offsets.append(offset)
            self._packed.append(hint.packed)
            self._unpacked.append(hint.unpacked)
            self._crc.append(hint.crc)
            self._links.append(hint.link)

    def at(self, offset: int) -> Hint | None:
        """What is said of the header at an offset."""
        index = bisect_left(self._offsets, offset)
        if index == len(self._offsets) or self._offsets[index] != offset:
            return None
        return Hint(self._packed[index], self._unpacked[index], self._crc[index], bool(self._links[index]))

    def after(self, offset: int) -> int | None:
        """Where the next header stands, at or behind an offset."""
        index = bisect_left(self._offsets, offset)
        return self._offsets[index] if index < len(self._offsets) else None


def read_directory(file: DiskFile, most: int) -> Directory:
    """The directory of the archive that the file is, up to `most` members; empty where it cannot be told.

    Raises ReadProblem when the system cannot read the file.
    """
    directory = Directory()
    place = _place(file)
    if place is None:
        return directory
    offset, size = place
    buffer = b""
    while size > 0 or buffer:
        if len(buffer) < (1 << 18) and size > 0:
            more = file.at(offset, min(_CHUNK, size))
            if not more:
                return directory
            offset, size, buffer = offset + len(more), size - len(more), buffer + more
        buffer, whole = _entries(buffer, directory, most)
        if not whole:
            return directory
    return directory


def _entries(buffer: bytes, directory: Directory, most: int) -> tuple[bytes, bool]:
    """Takes the entries at the start of the buffer; returns the rest, and whether it can go on."""
    at = 0
    while at + _ENTRY.size <= len(buffer) and len(directory) < most:
        fields = _ENTRY.unpack_from(buffer, at)
        if fields[0] != b"PK\x01\x02":
            return b"", False
        by, crc, packed, unpacked = fields[1], *fields[7:10]
        names, extras, comments = fields[10:13]
        attributes, offset = fields[15:17]
        end = at + _ENTRY.size + names + extras + comments
        if end > len(buffer):
            break
        extra = buffer[at + _ENTRY.size + names : end - comments]
        unpacked, packed, offset = zip64(extra, (unpacked, packed, offset))
        link = by >> 8 == _UNIX and attributes >> 16 & _TYPE == _LINK
        directory.add(offset, Hint(packed, unpacked, crc, link))
        at = end
    return buffer[at:], at > 0


def _place(file: DiskFile) -> tuple[int, int] | None:
    """Offset and size of the directory."""
    end = file.size()
    start = max(end - (1 << 16) - _END.size, 0)
    tail = file.at(start, end - start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return None
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
    if (count == 0xFFFF or size == 0xFFFFFFFF or offset == 0xFFFFFFFF) and at >= _LOCATOR.size:
        signature, _, where, _ = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
        record = file.at(where, _END64.size) if signature == b"PK\x06\x07" and where < end else b""
        if len(record) == _END64.size and record.startswith(b"PK\x06\x06"):
            *_, size, offset = _END64.unpack(record)
    if offset + size > start + at or file.at(offset, 4) != b"PK\x01\x02":
        return None
    return offset, size
