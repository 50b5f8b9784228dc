"""Marks of a file: hashes of pieces that tell it from others. Reads files; runs in a thread."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from typing import Self

from services.importer.reading import encoding
from services.importer.reading.sniff import SNIFF_BYTES, Kind, sniff

HEAD_BYTES = 1024
TAIL_BYTES = 4096
SAMPLES = 16
SAMPLE_BYTES = 1024
_GZIP, _LINE_FEED = b"\x1f\x8b", 10
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class File:
    """An open file whose pieces are hashed. `with` closes it. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, _FLAGS)
        self.path = path
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise OSError(f"{path} is no file")
        self.device, self.inode, self.size = status.st_dev, status.st_ino, status.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def piece(self, start: int, size: int) -> bytes:
        """Bytes at a place; fewer where the file ends."""
        return os.pread(self._fd, size, start)

    def head(self, size: int) -> str:
        """Hash of the first bytes."""
        return digest(self.piece(0, size))

    def tail(self, offset: int) -> str:
        """Hash of the bytes before a place."""
        start = max(0, offset - TAIL_BYTES)
        return digest(self.piece(start, offset - start))

    def samples(self, offset: int) -> str:
        """Hash of samples over everything before a place."""
        places = (offset * number // (SAMPLES + 1) for number in range(1, SAMPLES + 1))
        return digest(b"".join(self.piece(place, min(SAMPLE_BYTES, offset - place)) for place in places))

    def terminated(self, offset: int) -> bool:
        """Whether a line ends before a place; in UTF-16 too."""
        last = self.piece(max(0, offset - 2), min(offset, 2))
        return offset == 0 or last.endswith(b"\n") or last == b"\n\0"

    def packed(self) -> bool:
        """Whether it is read otherwise than it stands."""
        start = self.piece(0, SNIFF_BYTES)
        transcoded = encoding.detect(start, whole=len(start) < SNIFF_BYTES).codec
        return sniff(start)[0] is not Kind.TEXT or bool(transcoded)

    def starts(self) -> tuple[str, ...]:
        """Hashes of the first 1,024 bytes, or all, and of as much up to each line end, shortest last.

        A small file that was read before may be any of these. Of a gzip file: of what it unpacks to.
        """
        data = self.piece(0, 64 * HEAD_BYTES)
        data = _gunzip_head(data) if data.startswith(_GZIP) else data[:HEAD_BYTES]
        ends = [at + 1 for at, byte in enumerate(data) if byte == _LINE_FEED]
        sizes = {len(data), *ends, *(end - 1 for end in ends)} - {0}
        return tuple(digest(data[:size]) for size in sorted(sizes, reverse=True))

    def zipped(self) -> bool:
        """Whether it is a gzip file."""
        return self.piece(0, len(_GZIP)) == _GZIP


def digest(data: bytes) -> str:
    """A short hash that nobody hits by chance."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _gunzip_head(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, HEAD_BYTES)
    except zlib.error:
        return b""
