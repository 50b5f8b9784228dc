"""Zip archives as a stream of entries.

The local headers are walked from the start, so that an archive inside another and one that is cut off can be read like
any other. Of an archive on disk the directory at its end helps: it tells sizes that a header leaves open, and where the
next member stands when what was read does not lead there. Neither is believed against what really comes out.
"""

from __future__ import annotations

import calendar
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.importer.reading.limits import Meter
from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.streams import Bounded, Buffered, Readable
from services.importer.reading.zipdirectory import Directory, Hint, read_directory
from services.importer.reading.zipextra import unicode_name, zip64
from services.importer.reading.zipmember import METHODS, ZipMember

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1, 8, 0x800
_HEADER = b"PK\x03\x04"
_BEHIND = (b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x08")
# Compression methods that are known by name only.
_UNREADABLE = {1: "shrink", 6: "implode", 10: "implode of IBM", 96: "JPEG", 97: "WavPack", 98: "ppmd", 99: "AES"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive. Its stream is valid until the next entry is asked for."""

    name: str
    modified: float | None
    stream: Readable


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in front of a member."""

    name: str
    flags: int
    method: int
    modified: float | None
    crc: int
    packed: int
    unpacked: int

    @property
    def sized(self) -> bool:
        """Whether checksum and sizes stand here, and not behind the content."""
        return not self.flags & _DESCRIPTOR or self.packed > 0


def entries(archive: Buffered, meter: Meter, name: str) -> Iterator[Entry | Problem]:
    """Every file of the archive. A damage of the archive as a whole ends it with ReadProblem."""
    directory = Directory()
    if archive.file is not None and archive.position == 0:
        directory = read_directory(archive.file, meter.limits.entries + 1)
    met = 0
    while True:
        position = archive.position
        hint = directory.at(position)
        if archive.peek(4) != _HEADER:
            onward = directory.after(position + (hint is not None))
            if onward is None:
                break
            if archive.skip(onward - position) < onward - position:
                break
            continue
        met += hint is not None
        yield from _entry(archive, meter, name, hint)
        if meter.problem is not None:
            raise archive.fail(meter.problem)
    yield from _end(archive, name, len(directory) - met)


def _end(archive: Buffered, name: str, missing: int) -> Iterator[Problem]:
    """Goes through what is behind the members, and says what is not as it should be."""
    signature = archive.peek(4)
    if missing:
        yield Problem(
            name,
            Reason.DAMAGED,
            f"{missing} members of the zip archive are not where its directory says, and not read.",
        )
    if not signature.startswith(_BEHIND):
        what = "does not add up" if signature else "is cut off: its directory is missing"
        raise archive.fail(ReadProblem(Reason.DAMAGED, f"The zip archive {what}. What stands before is kept."))
    tail = b""
    while data := archive.read(1 << 20):
        tail = (tail + data)[-(1 << 16) - 22 :]
    if b"PK\x05\x06" not in tail:
        raise archive.fail(
            ReadProblem(Reason.DAMAGED, "The zip archive is cut off inside its directory; members were read.")
        )


def _entry(archive: Buffered, meter: Meter, name: str, hint: Hint | None) -> Iterator[Entry | Problem]:
    """One member; afterwards the archive stands behind it, as far as that can be told."""
    header = _header(archive)
    label = f"{name}!/{header.name}"
    packed = header.packed if header.sized else hint.packed if hint is not None else None
    # Where header and directory disagree, the content itself tells its end, if it can.
    agreed = hint is None or not header.sized or hint.packed == header.packed
    if not agreed and header.method in METHODS and METHODS[header.method].ends_itself:
        packed = None
    unreadable = _unreadable(header, packed)
    body = Bounded(archive, packed) if packed is not None else None
    if unreadable:
        yield Problem(label, Reason.UNSUPPORTED, unreadable)
        if body is None:
            if hint is not None:
                return
            raise archive.fail(
                ReadProblem(
                    Reason.UNSUPPORTED, f"Where {header.name} ends cannot be told, so nothing after it was read."
                )
            )
    elif not (header.name.endswith("/") and packed == 0) and not (hint is not None and hint.link and body is not None):
        member = ZipMember(archive, body, meter, header.method, _expected(header, hint))
        stream = Buffered(member)
        if not header.name.endswith("/") or stream.peek(1):
            yield Entry(header.name, header.modified, stream)
        if body is None:
            try:
                member.drain()
            except ReadProblem as problem:
                if hint is None:  # where the next header stands is not known any more
                    raise archive.fail(problem) from None
                if not problem.reported:
                    problem.reported = True
                    yield Problem(label, problem.reason, problem.message)
        if not agreed:
            yield Problem(label, Reason.DAMAGED, "The zip archive gives two different sizes for this member.")
    if body is not None:
        body.drain()
        if header.flags & _DESCRIPTOR and archive.peek(4) == b"PK\x07\x08":
            _skip_descriptor(archive)


def _skip_descriptor(archive: Buffered) -> None:
    """Passes over checksum and sizes behind a member, which have 4 or 8 bytes each."""
    rest = archive.peek(28)
    wide = rest[16:18] != b"PK" and rest[24:26] == b"PK"
    archive.skip(24 if wide else 16)


def _expected(header: Header, hint: Hint | None) -> tuple[int, int] | None:
    """Checksum and unpacked size; None where they stand behind the content."""
    if not header.flags & _DESCRIPTOR:
        return header.crc, header.unpacked
    return (hint.crc, hint.unpacked) if hint is not None else None


def _header(archive: Buffered) -> Header:
    raw = archive.exactly(_LOCAL.size)
    if len(raw) < _LOCAL.size:
        raise archive.fail(ReadProblem(Reason.DAMAGED, "The zip archive is cut off inside a header."))
    _, _, flags, method, clock, date, crc, packed, unpacked, name_size, extra_size = _LOCAL.unpack(raw)
    name, extra = archive.exactly(name_size), archive.exactly(extra_size)
    unpacked, packed = zip64(extra, (unpacked, packed))
    shown = unicode_name(extra, name) or name.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    return Header(shown, flags, method, _modified(date, clock), crc, packed, unpacked)


def _unreadable(header: Header, packed: int | None) -> str:
    """Why the content cannot be read, as a sentence; "" when it can."""
    if header.flags & _ENCRYPTED:
        return "This member is encrypted. Decrypt the archive first; passwords are not supported."
    method = METHODS.get(header.method)
    if method is None:
        known = _UNREADABLE.get(header.method, f"method {header.method}")
        return f"This member is compressed with {known}, which is not supported."
    if packed is None and not method.ends_itself:
        return f"This member is {method.name} without its size, so its end cannot be told."
    return ""


def _modified(date: int, clock: int) -> float | None:
    try:
        moment = (1980 + (date >> 9), date >> 5 & 15, date & 31, clock >> 11, clock >> 5 & 63, (clock & 31) * 2)
        return float(calendar.timegm((*moment, 0, 0, 0))) if date else None
    except (OverflowError, ValueError):
        return None
