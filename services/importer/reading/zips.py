"""Zip archives as a stream of entries.

The local headers are walked from the start, so that an archive inside another and one that is cut off can be read like
any other; the directory at its end is only checked for being there. Sizes in headers are not believed where it matters.
"""

from __future__ import annotations

import calendar
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from isal import isal_zlib

from services.importer.reading.limits import Meter
from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.streams import Bounded, Buffered, Inflate, Readable

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1, 8, 0x800
_STORED, _DEFLATED = 0, 8
_METHODS = {
    1: "shrink",
    6: "implode",
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    93: "zstd",
    95: "xz",
    98: "ppmd",
    99: "AES",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive. Its stream is valid until the next entry is asked for."""

    name: str
    modified: float | None
    stream: Readable


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    flags: int
    method: int
    modified: float | None
    crc: int
    packed: int
    unpacked: int

    @property
    def sized(self) -> bool:
        """Whether the packed size is known before the content."""
        return not self.flags & _DESCRIPTOR or self.packed > 0


def entries(archive: Buffered, meter: Meter, name: str) -> Iterator[Entry | Problem]:
    """Every file of the archive. A damage of the archive as a whole ends it with ReadProblem."""
    while (signature := archive.peek(4)) == b"PK\x03\x04":
        header = _header(archive)
        label = f"{name}!/{header.name}"
        body = Bounded(archive, header.packed) if header.sized else None
        unreadable = _unreadable(header)
        if unreadable:
            yield Problem(label, Reason.UNSUPPORTED, unreadable)
            if body is None:
                raise archive.fail(
                    ReadProblem(
                        Reason.UNSUPPORTED, f"Where {header.name} ends cannot be told, so nothing after it was read."
                    )
                )
        elif not header.name.endswith("/"):
            member = _Member(archive, body, header, meter)
            yield Entry(header.name, header.modified, member)
            member.drain()
        if body is not None:
            body.drain()
            if header.flags & _DESCRIPTOR and archive.peek(4) == b"PK\x07\x08":
                archive.skip(16)
    if not signature.startswith((b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x08")):
        what = "does not add up" if signature else "is cut off: its directory is missing"
        raise archive.fail(ReadProblem(Reason.DAMAGED, f"The zip archive {what}. What stands before is kept."))
    tail = b""
    while data := archive.read(1 << 20):
        tail = (tail + data)[-(1 << 16) - 22 :]
    if b"PK\x05\x06" not in tail:
        raise archive.fail(
            ReadProblem(Reason.DAMAGED, "The zip archive is cut off inside its directory; members were read.")
        )


def _header(archive: Buffered) -> _Header:
    raw = archive.exactly(_LOCAL.size)
    if len(raw) < _LOCAL.size:
        raise archive.fail(ReadProblem(Reason.DAMAGED, "The zip archive is cut off inside a header."))
    _, _, flags, method, clock, date, crc, packed, unpacked, name_size, extra_size = _LOCAL.unpack(raw)
    name, extra = archive.exactly(name_size), archive.exactly(extra_size)
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == 1 and size >= 16 and len(extra) >= 20 and packed == 0xFFFFFFFF:
            unpacked, packed = struct.unpack_from("<QQ", extra, 4)
        extra = extra[4 + size :]
    return _Header(
        name.decode("utf-8" if flags & _UTF8 else "cp437", "replace"),
        flags,
        method,
        _modified(date, clock),
        crc,
        packed,
        unpacked,
    )


def _unreadable(header: _Header) -> str:
    """Why the content cannot be read, as a sentence; "" when it can."""
    if header.flags & _ENCRYPTED:
        return "This member is encrypted. Decrypt the archive first; passwords are not supported."
    if header.method not in (_STORED, _DEFLATED):
        method = _METHODS.get(header.method, f"method {header.method}")
        return f"This member is compressed with {method}, which is not supported."
    if header.method == _STORED and not header.sized:
        return "This member is stored without its size, so its end cannot be told."
    return ""


def _modified(date: int, clock: int) -> float | None:
    try:
        moment = (1980 + (date >> 9), date >> 5 & 15, date & 31, clock >> 11, clock >> 5 & 63, (clock & 31) * 2)
        return float(calendar.timegm((*moment, 0, 0, 0))) if date else None
    except (OverflowError, ValueError):
        return None


class _Member:
    """The content of one member, checked against its checksum at the end."""

    def __init__(self, archive: Buffered, body: Bounded | None, header: _Header, meter: Meter) -> None:
        self._archive = archive
        self._body = body
        self._header = header
        self._inflate: Inflate | None = None
        if header.method == _DEFLATED:
            self._inflate = Inflate(archive if body is None else Buffered(body), meter)
        self._crc = 0
        self._checked = False
        self._problem: ReadProblem | None = None

    def read(self, size: int) -> bytes:
        if self._problem is not None:
            raise self._problem
        try:
            return self._read(size)
        except ReadProblem as problem:
            self._problem = problem
            if self._body is None:  # where the next header stands is not known any more
                self._archive.fail(problem)
            raise

    def _read(self, size: int) -> bytes:
        if self._inflate is not None:
            data = self._inflate.read(size)
        elif self._body is not None:
            data = self._body.read(size)
            self._crc = isal_zlib.crc32(data, self._crc)
        else:
            raise AssertionError("a stored member without a size is refused before")
        if not data and not self._checked:
            self._checked = True
            self._check()
        return data

    def drain(self) -> None:
        """Goes to the member's end where only its content tells where that is."""
        if self._body is None:
            while self.read(1 << 20):
                pass

    def _check(self) -> None:
        inflate = self._inflate
        crc = self._crc if inflate is None else inflate.crc
        if self._header.flags & _DESCRIPTOR and self._body is None:
            assert inflate is not None
            if not self._skip_descriptor(inflate):
                raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.")
        elif crc != self._header.crc and not self._header.flags & _DESCRIPTOR:
            raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.")

    def _skip_descriptor(self, inflate: Inflate) -> bool:
        """Takes checksum and sizes, which stand behind the content with or without a mark, in 4 or 8 bytes."""
        head = self._archive.peek(24)
        for mark in (b"PK\x07\x08", b""):
            for form in ("<III", "<IQQ"):
                expected = mark + struct.pack("<I", inflate.crc) + _sizes(form, inflate)
                if head.startswith(expected):
                    self._archive.skip(len(expected))
                    return True
        return False


def _sizes(form: str, inflate: Inflate) -> bytes:
    if form == "<IQQ":
        return struct.pack("<QQ", inflate.packed_bytes, inflate.unpacked_bytes)
    return struct.pack("<II", inflate.packed_bytes & 0xFFFFFFFF, inflate.unpacked_bytes & 0xFFFFFFFF)
