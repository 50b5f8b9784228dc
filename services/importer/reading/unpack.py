"""Compressed streams: what is inside a .gz, .bz2, .xz, .lzma or .zst, and the members of archives."""

from __future__ import annotations

from collections.abc import Callable

from isal import isal_zlib

from services.importer.reading import codec
from services.importer.reading.codec import Codec, Deflate
from services.importer.reading.limits import Meter
from services.importer.reading.problems import ReadProblem, Reason
from services.importer.reading.streams import Buffered

TRAILING = (
    "The file does not end where its compressed data end: what follows is cut off or something else. "
    "Everything before it was read."
)


class Unpacked:
    """One compressed stream, unpacked. What follows it is put back into the input."""

    def __init__(self, source: Buffered, codec: Codec, meter: Meter, *, checksum: bool = True) -> None:
        self._source = source
        self._codec = codec
        self._meter = meter
        self._checksum = checksum
        self._pending: ReadProblem | None = None
        #: CRC-32 of what was given, where it is asked for.
        self.crc = 0
        self.packed_bytes = 0
        self.unpacked_bytes = 0

    def read(self, size: int) -> bytes:
        """Unpacked bytes; may be some more than `size`."""
        if self._pending is not None:
            raise self._pending
        parts: list[bytes] = []
        have = 0
        try:
            while have < size and not self._codec.ended:
                data = self._step()
                parts.append(data)
                have += len(data)
        except ReadProblem as problem:
            self._pending = problem
            if not have:
                raise
        return b"".join(parts)

    def _step(self) -> bytes:
        packed = b""
        if self._codec.hungry:
            packed = self._source.read(self._codec.piece)
            if not packed:
                raise ReadProblem(Reason.DAMAGED, "The compressed data are cut off.")
            self.packed_bytes += len(packed)
        data = self._codec.step(packed)
        if self._codec.ended and (rest := self._codec.rest()):
            self.packed_bytes -= len(rest)
            self._source.unread(rest)
        if data:
            self.unpacked_bytes += len(data)
            self._meter.unpacked(len(data))
            if self._checksum:
                self.crc = isal_zlib.crc32(data, self.crc)
        return data


class Streams:
    """A .bz2, .xz or .lzma file: streams one after the other. Each checks itself."""

    def __init__(self, source: Buffered, meter: Meter, open_codec: Callable[[], Codec], magic: bytes) -> None:
        self._source = source
        self._meter = meter
        self._open_codec = open_codec
        self._magic = magic
        self._stream: Unpacked | None = None

    def read(self, size: int) -> bytes:
        """Unpacked bytes."""
        while True:
            if self._stream is None:
                if not next_stream(self._source):
                    return b""
                if not self._source.peek(len(self._magic)).startswith(self._magic):
                    raise ReadProblem(Reason.DAMAGED, TRAILING)
                self._stream = Unpacked(self._source, self._open_codec(), self._meter, checksum=False)
            if data := self._stream.read(size):
                return data
            self._meter.stream(self._stream.unpacked_bytes)
            self._stream = None


def bunzip2(source: Buffered, meter: Meter) -> Streams:
    """A .bz2 file, unpacked."""
    return Streams(source, meter, codec.bzip2, b"BZh")


def unxz(source: Buffered, meter: Meter) -> Streams:
    """A .xz file, unpacked."""
    return Streams(source, meter, lambda: codec.xz(meter.limits.window_bytes), b"\xfd7zXZ\0")


def unlzma(source: Buffered, meter: Meter) -> Streams:
    """A .lzma file, unpacked."""
    return Streams(source, meter, lambda: codec.lzma_alone(meter.limits.window_bytes), b"]\0\0")


def next_stream(source: Buffered) -> bool:
    """Whether another stream follows. Zero bytes after the last one are padding, as from a tape."""
    while start := source.peek(1 << 10):
        zeros = len(start) - len(start.lstrip(b"\0"))
        source.skip(zeros)
        if zeros < len(start):
            return True
    source.read(1)  # raises what stopped the peeking, if something did
    return False


class Gunzip:
    """A .gz file, unpacked: one member after the other, each with its checksum."""

    def __init__(self, source: Buffered, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._stream: Unpacked | None = None

    def read(self, size: int) -> bytes:
        """Unpacked bytes."""
        while True:
            if self._stream is None:
                if not next_stream(self._source):
                    return b""
                self._header()
                self._stream = Unpacked(self._source, Deflate(), self._meter)
            if data := self._stream.read(size):
                return data
            stream, self._stream = self._stream, None
            self._trailer(stream)
            self._meter.stream(stream.unpacked_bytes)

    def _header(self) -> None:
        head = self._source.exactly(10)
        if not head.startswith(b"\x1f\x8b\x08"):
            raise ReadProblem(Reason.DAMAGED, TRAILING)
        flags = head[3] if len(head) == 10 else 0
        if flags & 4:
            self._source.skip(int.from_bytes(self._source.exactly(2), "little"))
        for flag in (8, 16):
            while flags & flag and (text := self._source.read(1 << 10)):
                _, end, rest = text.partition(b"\0")
                if end:
                    self._source.unread(rest)
                    break
        if flags & 2:
            self._source.skip(2)

    def _trailer(self, stream: Unpacked) -> None:
        trailer = self._source.exactly(8)
        if len(trailer) < 8:
            raise ReadProblem(
                Reason.DAMAGED, "The compressed data are cut off just before their end: the checksum is missing."
            )
        size = stream.unpacked_bytes & 0xFFFFFFFF
        if trailer != stream.crc.to_bytes(4, "little") + size.to_bytes(4, "little"):
            raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.")
