"""The content of a member of a zip archive, whatever it is compressed with."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from isal import isal_zlib

from services.importer.reading import codec
from services.importer.reading.limits import Meter
from services.importer.reading.problems import ReadProblem, Reason
from services.importer.reading.streams import Bounded, Buffered, Readable
from services.importer.reading.unpack import Unpacked
from services.importer.reading.unzstd import Unzstd

#: Checksum and unpacked size.
Sums = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Method:
    """A way of compression."""

    name: str
    #: Whether it tells where the compressed data end, and how many bytes they were.
    ends_itself: bool
    open: Callable[[Buffered, Meter], Readable]


def _stored(source: Buffered, _meter: Meter) -> Readable:
    return source


def _lzma(source: Buffered, meter: Meter) -> Readable:
    """Two bytes of version, two of how many describe it, and these; the end is that of the packed bytes."""
    head = source.exactly(4)
    properties = source.exactly(int.from_bytes(head[2:], "little")) if len(head) == 4 else b""
    if len(properties) != 5:
        raise ReadProblem(Reason.DAMAGED, "The compressed data are damaged.")
    return Unpacked(source, codec.lzma_raw(properties, meter.limits.window_bytes), meter, checksum=False)


METHODS = {
    0: Method("stored", False, _stored),
    8: Method("deflated", True, lambda source, meter: Unpacked(source, codec.Deflate(), meter, checksum=False)),
    9: Method(
        "compressed with deflate64",
        False,
        lambda source, meter: Unpacked(source, codec.Deflate64(), meter, checksum=False),
    ),
    12: Method(
        "compressed with bzip2", True, lambda source, meter: Unpacked(source, codec.bzip2(), meter, checksum=False)
    ),
    14: Method("compressed with lzma", False, _lzma),
    93: Method("compressed with zstd", False, Unzstd),
    95: Method(
        "compressed with xz",
        True,
        lambda source, meter: Unpacked(source, codec.xz(meter.limits.window_bytes), meter, checksum=False),
    ),
}


class ZipMember:
    """The content of one member, checked against checksum and size at the end."""

    def __init__(
        self, archive: Buffered, body: Bounded | None, meter: Meter, method: int, expected: Sums | None
    ) -> None:
        self._archive = archive
        self._body = body
        self._meter = meter
        self._method = METHODS[method]
        #: None: what is behind the content tells.
        self._expected = expected
        self._packed: Buffered = archive if body is None else Buffered(body)
        self._source: Readable | None = None
        self._crc = 0
        self._size = 0
        self._checked = False
        self._problem: ReadProblem | None = None

    def read(self, size: int) -> bytes:
        """Unpacked bytes."""
        if self._problem is not None:
            raise self._problem
        try:
            return self._read(size)
        except ReadProblem as problem:
            self._problem = problem
            raise

    def drain(self) -> None:
        """Goes to the member's end where only its content tells where that is."""
        while self.read(1 << 20):
            pass

    def _read(self, size: int) -> bytes:
        source = self._source
        if source is None:
            source = self._source = self._method.open(self._packed, self._meter)
        try:
            data = source.read(size)
        except ReadProblem as problem:
            # LZMA may have no mark at its end; then its packed bytes just stop.
            if not (self._method.name.endswith("lzma") and self._whole()):
                raise problem from None
            data = b""
        if data:
            self._crc = isal_zlib.crc32(data, self._crc)
            self._size += len(data)
        elif not self._checked:
            self._checked = True
            self._check()
        return data

    def _whole(self) -> bool:
        return self._expected is not None and (self._crc, self._size) == self._expected

    def _check(self) -> None:
        expected = self._expected
        packed = self._source.packed_bytes if isinstance(self._source, Unpacked) else 0
        described = self._body is None and self._skip_descriptor(packed)
        if expected is None:
            if not described:
                raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.")
            return
        if self._crc != expected[0]:
            raise ReadProblem(Reason.DAMAGED, "The checksum does not fit what was unpacked.")
        if self._size != expected[1]:
            raise ReadProblem(
                Reason.DAMAGED, f"{self._size} bytes were unpacked where the archive promises {expected[1]}."
            )
        if self._body is not None and self._packed.peek(1):
            raise ReadProblem(Reason.DAMAGED, "The compressed data of this member end before the archive says.")

    def _skip_descriptor(self, packed: int) -> bool:
        """Takes checksum and sizes, which stand behind the content with or without a mark, in 4 or 8 bytes."""
        head = self._archive.peek(24)
        for mark in (b"PK\x07\x08", b""):
            for form, most in (("<II", 0xFFFFFFFF), ("<QQ", (1 << 64) - 1)):
                sizes = struct.pack(form, packed & most, self._size & most)
                wanted = mark + struct.pack("<I", self._crc) + sizes
                if head.startswith(wanted):
                    self._archive.skip(len(wanted))
                    return True
        return False
