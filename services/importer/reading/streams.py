"""Streams of bytes that keep everything up to a damage.

`read` returns at least one byte, b"" at the end, or raises ReadProblem, and never loses bytes that were good: those
come first, the problem with the next read.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

from services.importer.reading.limits import Meter
from services.importer.reading.problems import ReadProblem, Reason, from_os_error

#: Bytes asked from a disk at a time.
CHUNK = 64 << 10


class Readable(Protocol):
    """Anything that gives bytes."""

    def read(self, size: int) -> bytes:
        """About `size` bytes; b"" at the end."""


class DiskFile:
    """A regular file. Links at the end of the path are not followed: the path is resolved before.

    The size that the system tells is never believed: files of /proc have none, and others grow and shrink meanwhile.
    """

    def __init__(self, path: str, meter: Meter) -> None:
        self._meter = meter
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise from_os_error(error if isinstance(error, OSError) else FileNotFoundError(2, str(error))) from None
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self.fd)
            raise ReadProblem(Reason.NOT_A_FILE, "This is a device, socket, pipe or folder, not a file.")
        self.modified = status.st_mtime

    def read(self, size: int) -> bytes:
        """Bytes as they stand on disk."""
        try:
            data = os.read(self.fd, size)
        except OSError as error:
            raise from_os_error(error) from None
        self._meter.disk(len(data))
        return data

    def size(self) -> int:
        """Bytes that the file has now."""
        return os.fstat(self.fd).st_size

    def at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from a place, without a change of where `read` goes on."""
        try:
            return os.pread(self.fd, size, offset)
        except OSError as error:
            raise from_os_error(error) from None

    def skip(self, count: int) -> int:
        """Goes forward without reading, but not over the end; returns by how much."""
        here = os.lseek(self.fd, 0, os.SEEK_CUR)
        there = os.lseek(self.fd, min(here + count, max(self.size(), here)), os.SEEK_SET)
        self._meter.disk(there - here)
        return there - here

    def close(self) -> None:
        """Closes the file."""
        os.close(self.fd)


class Buffered:
    """Adds peeking, unreading and skipping to a stream; a problem stays and is raised again."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._pulled = 0
        self._problem: ReadProblem | None = None

    @property
    def position(self) -> int:
        """Bytes before the next one."""
        return self._pulled - (len(self._buffer) - self._at)

    @property
    def file(self) -> DiskFile | None:
        """The file on disk that this is the whole of, if it is."""
        return self._source if isinstance(self._source, DiskFile) else None

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
        """Goes over `count` bytes; returns how many there were. In a file it seeks."""
        held = min(count, len(self._buffer) - self._at)
        self._at += held
        left = count - held
        if left and self._problem is None and isinstance(self._source, DiskFile):
            gone = self._source.skip(left)
            self._pulled += gone
            left -= gone
        while left and (data := self.read(min(left, 1 << 20))):
            left -= len(data)
        return count - left

    def drain(self) -> None:
        """Goes to the end."""
        while self.read(1 << 20):
            pass

    def fail(self, problem: ReadProblem) -> ReadProblem:
        """Lets every later read raise the problem; for one that a reader of this stream has found. Returns it."""
        if self._problem is None:
            self._buffer, self._at, self._problem = b"", 0, problem
        return self._problem

    def _pull(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except ReadProblem as problem:
            self._problem = problem
            raise
        self._pulled += len(data)
        return data


class Bounded:
    """The next `size` bytes of a stream, as a stream."""

    def __init__(self, stream: Buffered, size: int) -> None:
        self._stream = stream
        self.left = size

    def read(self, size: int) -> bytes:
        """Bytes up to the bound. That the stream ends before it is a damage of the whole stream."""
        if not self.left:
            return b""
        data = self._stream.read(min(size, self.left))
        if not data:
            raise self._stream.fail(
                ReadProblem(
                    Reason.DAMAGED, f"The archive is cut off: {self.left} more bytes of this member are missing."
                )
            )
        self.left -= len(data)
        return data

    def drain(self) -> None:
        """Goes to the bound."""
        left, self.left = self.left, 0
        if left and self._stream.skip(left) < left:
            raise self._stream.fail(ReadProblem(Reason.DAMAGED, "The archive is cut off inside one of its members."))
