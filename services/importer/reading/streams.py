"""Streams of bytes that keep everything up to a damage.

`read` returns at least one byte, b"" at the end, or raises ReadProblem, and never loses bytes that were good: those
come first, the problem with the next read.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol, cast

from isal import isal_zlib

from services.importer.reading.limits import Meter
from services.importer.reading.problems import ReadProblem, Reason, from_os_error

#: Bytes asked from a disk at a time.
CHUNK = 64 << 10
# Compressed bytes given to the decompressor at a time: what a damage costs at most, and a bound on what comes out.
_PIECE = 4 << 10
# The stub of isal declares an instance where the class is.
_INFLATE_ERROR = cast("type[Exception]", isal_zlib.IsalError)


class Readable(Protocol):
    """Anything that gives bytes."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end."""


class DiskFile:
    """A regular file. Links at the end of the path are not followed: the path is resolved before."""

    def __init__(self, path: str, meter: Meter) -> None:
        self._meter = meter
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error) from None
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise ReadProblem(Reason.NOT_A_FILE, "This is a device, socket, pipe or folder, not a file.")
        self.modified = status.st_mtime

    def read(self, size: int) -> bytes:
        """Bytes as they stand on disk."""
        try:
            data = os.read(self._fd, size)
        except OSError as error:
            raise from_os_error(error) from None
        self._meter.disk_bytes += len(data)
        return data

    def skip(self, count: int) -> None:
        """Goes forward without reading."""
        os.lseek(self._fd, count, os.SEEK_CUR)
        self._meter.disk_bytes += count

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


class Buffered:
    """Adds peeking, unreading and skipping to a stream; a problem stays and is raised again."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._problem: ReadProblem | None = None

    def read(self, size: int) -> bytes:
        """At most `size` bytes; fewer only when fewer were at hand."""
        if self._at >= len(self._buffer):
            if self._problem is not None:
                raise self._problem
            data = self._pull(max(size, CHUNK))
            if len(data) <= size:
                return data
            self._buffer, self._at = data, 0
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next bytes without taking them; fewer than `size` only where the stream ends or breaks."""
        while len(self._buffer) - self._at < size and self._problem is None:
            try:
                data = self._pull(max(size, CHUNK))
            except ReadProblem:
                break
            if not data:
                break
            self._buffer, self._at = self._buffer[self._at :] + data, 0
        return self._buffer[self._at : self._at + size]

    def exactly(self, size: int) -> bytes:
        """`size` bytes, or all that are left when the stream ends before."""
        parts, left = [], size
        while left and (data := self.read(left)):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def unread(self, data: bytes) -> None:
        """Puts bytes back that were read last."""
        if self._at >= len(data) and self._buffer[self._at - len(data) : self._at] == data:
            self._at -= len(data)
        else:
            self._buffer, self._at = data + self._buffer[self._at :], 0

    def skip(self, count: int) -> int:
        """Goes over `count` bytes; returns how many there were. In a file it seeks, and its end is not noticed."""
        held = min(count, len(self._buffer) - self._at)
        self._at += held
        left = count - held
        if left and self._problem is None and isinstance(self._source, DiskFile):
            self._source.skip(left)
            return count
        while left and (data := self.read(min(left, 1 << 20))):
            left -= len(data)
        return count - left

    def fail(self, problem: ReadProblem) -> ReadProblem:
        """Lets every later read raise the problem; for one that a reader of this stream has found. Returns it."""
        if self._problem is None:
            self._buffer, self._at, self._problem = b"", 0, problem
        return self._problem

    def _pull(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except ReadProblem as problem:
            self._problem = problem
            raise


class Bounded:
    """The next `size` bytes of a stream, as a stream."""

    def __init__(self, stream: Buffered, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int) -> bytes:
        """Bytes up to the bound. That the stream ends before it is a damage of the whole stream."""
        if not self._left:
            return b""
        data = self._stream.read(min(size, self._left))
        if not data:
            raise self._stream.fail(
                ReadProblem(
                    Reason.DAMAGED, f"The archive is cut off: {self._left} more bytes of this member are missing."
                )
            )
        self._left -= len(data)
        return data

    def drain(self) -> None:
        """Goes to the bound."""
        left, self._left = self._left, 0
        if left and self._stream.skip(left) < left:
            raise self._stream.fail(ReadProblem(Reason.DAMAGED, "The archive is cut off inside one of its members."))


class Inflate:
    """A raw deflate stream, unpacked. What follows it is put back into the input."""

    def __init__(self, source: Buffered, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._inflater = isal_zlib.decompressobj(-15)
        self._pending: ReadProblem | None = None
        self.crc = 0
        self.packed_bytes = 0
        self.unpacked_bytes = 0
        self.ended = False

    def read(self, size: int) -> bytes:
        """Unpacked bytes; may be some more than `size`."""
        if self._pending is not None:
            raise self._pending
        parts: list[bytes] = []
        have = 0
        try:
            while have < size and not self.ended:
                data = self._step()
                parts.append(data)
                have += len(data)
        except ReadProblem as problem:
            if not have:
                raise
            self._pending = problem
        return b"".join(parts)

    def _step(self) -> bytes:
        packed = self._source.read(_PIECE)
        if not packed:
            raise ReadProblem(Reason.DAMAGED, "The compressed data are cut off.")
        try:
            data: bytes = self._inflater.decompress(packed)
        except _INFLATE_ERROR:
            raise ReadProblem(Reason.DAMAGED, "The compressed data are damaged.") from None
        self.packed_bytes += len(packed)
        if self._inflater.eof:
            self.ended = True
            rest: bytes = self._inflater.unused_data
            self.packed_bytes -= len(rest)
            self._source.unread(rest)
        if data:
            self._meter.unpacked(len(data))
            self.crc = isal_zlib.crc32(data, self.crc)
            self.unpacked_bytes += len(data)
        return data


class Gunzip:
    """A .gz file, unpacked: one member after the other, each with its checksum."""

    def __init__(self, source: Buffered, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._inflate: Inflate | None = None

    def read(self, size: int) -> bytes:
        """Unpacked bytes."""
        while True:
            if self._inflate is None:
                if not self._header():
                    return b""
                self._inflate = Inflate(self._source, self._meter)
            if data := self._inflate.read(size):
                return data
            inflate, self._inflate = self._inflate, None
            self._trailer(inflate)

    def _header(self) -> bool:
        """Reads a member's header; False at the end. Zero bytes after the last member are padding, as from a tape."""
        while (start := self._source.peek(1)) == b"\0":
            self._source.skip(1)
        if not start:
            self._source.read(1)  # raises what stopped the peeking, if something did
            return False
        head = self._source.exactly(10)
        if not head.startswith(b"\x1f\x8b\x08"):
            raise ReadProblem(
                Reason.DAMAGED,
                "The file does not end where its compressed data end: what follows is cut off or no gzip. "
                "Everything before it was read.",
            )
        flags = head[3] if len(head) == 10 else 0
        if flags & 4:
            self._source.skip(int.from_bytes(self._source.exactly(2), "little"))
        for flag in (8, 16):
            while flags & flag and self._source.exactly(1) not in (b"\0", b""):
                pass
        if flags & 2:
            self._source.skip(2)
        return True

    def _trailer(self, inflate: Inflate) -> None:
        trailer = self._source.exactly(8)
        if len(trailer) < 8:
            raise ReadProblem(
                Reason.DAMAGED, "The compressed data are cut off just before their end: the checksum is missing."
            )
        size = inflate.unpacked_bytes & 0xFFFFFFFF
        if trailer != inflate.crc.to_bytes(4, "little") + size.to_bytes(4, "little"):
            raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.")
