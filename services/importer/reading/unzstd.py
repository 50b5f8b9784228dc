"""Zstandard (RFC 8878) by frames and blocks.

The frames' headers and those of their blocks are walked here, since the library gives all that its input holds at once
and does not tell a stream that is cut off from one that has ended. A block gives 128 KB at most, so feeding blocks
bounds what comes out, whatever the ratio.
"""

from __future__ import annotations

import zstandard

from services.importer.reading.codec import too_much_memory
from services.importer.reading.limits import Meter
from services.importer.reading.problems import ReadProblem, Reason
from services.importer.reading.streams import Buffered
from services.importer.reading.unpack import TRAILING, next_stream

_FRAME = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
# Blocks that are unpacked at a time: 256 KB at most.
_BLOCKS = 2
_BLOCK_BYTES = 128 << 10


class Unzstd:
    """A .zst file, unpacked: one frame after the other."""

    def __init__(self, source: Buffered, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._library = zstandard.ZstdDecompressor(max_window_size=meter.limits.window_bytes)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._header = b""
        self._checksum = 0
        self._in_frame = 0
        self._pending: ReadProblem | None = None

    def read(self, size: int) -> bytes:
        """Unpacked bytes; may be some more than `size`."""
        if self._pending is not None:
            raise self._pending
        parts: list[bytes] = []
        have = 0
        try:
            while have < size and self._pending is None:
                if self._frame is None and not self._next_frame():
                    break
                data = self._blocks()
                parts.append(data)
                have += len(data)
        except ReadProblem as problem:
            self._pending = problem
        if not have and self._pending is not None:
            raise self._pending
        return b"".join(parts)

    def _next_frame(self) -> bool:
        """Reads a frame's header; False at the end. Frames that are to be skipped are."""
        while next_stream(self._source):
            magic = self._source.peek(4)
            if magic == _FRAME:
                self._open_frame()
                return True
            if magic[0] >> 4 != 5 or magic[1:] != _SKIPPABLE:
                raise ReadProblem(Reason.DAMAGED, TRAILING)
            length = int.from_bytes(self._exactly(8)[4:], "little")
            if self._source.skip(length) < length:
                raise _cut()
            self._meter.stream(0)
        return False

    def _open_frame(self) -> None:
        head = self._exactly(5)
        descriptor = head[4]
        single = descriptor >> 5 & 1
        dictionary = (0, 1, 2, 4)[descriptor & 3]
        length = (single, 2, 4, 8)[descriptor >> 6]
        if not single:
            head += self._exactly(1)
            base = 1 << 10 + (head[5] >> 3)
            window = base + base // 8 * (head[5] & 7)
        head += self._exactly(dictionary)
        if any(head[len(head) - dictionary :]) and dictionary:
            raise ReadProblem(Reason.UNSUPPORTED, "It is compressed with a dictionary, which is not at hand.")
        sizes = self._exactly(length)
        if single:
            window = int.from_bytes(sizes, "little") + (256 if length == 2 else 0)
        if window > self._meter.limits.window_bytes and window > _BLOCK_BYTES:
            raise too_much_memory(self._meter.limits.window_bytes)
        self._header = head + sizes
        self._checksum = 4 if descriptor & 4 else 0
        self._frame = self._library.decompressobj()
        self._in_frame = 0

    def _blocks(self) -> bytes:
        """Unpacks the next blocks, and ends the frame behind its last one. A problem is kept for later."""
        parts = [self._header]
        self._header = b""
        last = False
        try:
            for _ in range(_BLOCKS):
                head = self._exactly(3)
                value = int.from_bytes(head, "little")
                last, kind, length = bool(value & 1), value >> 1 & 3, value >> 3
                if kind == 3 or (kind != 1 and length > _BLOCK_BYTES):
                    raise _damaged()
                parts += head, self._exactly(1 if kind == 1 else length)
                if last:
                    break
        except ReadProblem as problem:
            self._pending = problem
            last = False
        data = self._step(b"".join(parts))
        self._in_frame += len(data)
        if last:
            self._end_frame()
        if data:
            self._meter.unpacked(len(data))
        return data

    def _end_frame(self) -> None:
        try:
            if self._checksum:
                self._step(self._exactly(self._checksum))
            self._meter.stream(self._in_frame)
        except ReadProblem as problem:
            self._pending = problem
        self._frame = None

    def _step(self, packed: bytes) -> bytes:
        assert self._frame is not None
        try:
            return self._frame.decompress(packed)
        except zstandard.ZstdError as error:
            if "checksum" in str(error).lower():
                raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.") from None
            raise _damaged() from None
        except MemoryError:
            raise too_much_memory(self._meter.limits.window_bytes) from None

    def _exactly(self, size: int) -> bytes:
        data = self._source.exactly(size)
        if len(data) < size:
            raise _cut()
        return data


def _cut() -> ReadProblem:
    return ReadProblem(Reason.DAMAGED, "The compressed data are cut off.")


def _damaged() -> ReadProblem:
    return ReadProblem(Reason.DAMAGED, "The compressed data are damaged.")
