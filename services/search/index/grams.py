"""The block index: which frames of a split may hold a given string.

`grams.bin` lies next to `raw.zst` and is optional: a split without it is whole, and only reads more lines. For every
trigram it holds one bit a frame. Bytes are folded and put into classes (see `trigrams`); what
has the same trigrams is told apart by reading the lines.

The file, all numbers little endian:

    header     magic, version, number of frames, crc32 of raw.idx, number of stripes, crc32 of the header and stripes
    stripes    for each run of 1,024 frames: where its groups begin, and its directory
    groups     zstd frames, each with the rows of 64 trigrams (more where rows are short): first one bit a trigram that
               says whether it has a row, then the rows, one bit a frame
    directory  end of each group, counted from where the first one begins, and a crc32

A file that is damaged, of another version or not made from this `raw.idx` counts as absent.
"""

from __future__ import annotations

import itertools
import os
import struct
import threading
import weakref
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import zstandard

from services.search.index.frames import FrameReader
from services.search.index.layout import RAW_TABLE, sync_folder
from services.search.index.trigrams import CODES, STRIPE, Stripe, codes_in, codes_of, fold_bytes, group_bits, row_bytes
from services.search.lru import LruCache

__all__ = ["GRAMS", "GramIndex", "GramsError", "build", "fold_bytes", "open_grams"]

GRAMS = "grams.bin"

_MAGIC, _VERSION = b"LAGRAMS\n", 1
_HEADER, _STRIPE, _CRC = struct.Struct("<8sIQII"), struct.Struct("<QQ"), struct.Struct("<I")

#: A literal's trigrams are looked up no further after so many in a row that ruled nothing out.
_IDLE = 5
#: Bytes of unpacked groups and directories in memory, of all open indexes together.
_CACHE_BYTES = 8 << 20


class GramsError(ValueError):
    """The file is damaged, of another version, or of another split."""


def build(folder: Path, check: Callable[[], None] = lambda: None) -> None:
    """Writes `grams.bin` from the frames of a finished split, in one step: it is there as a whole or not at all.

    Takes about 60 MB of memory whatever the split's size. `check` is called for each frame and may raise to stop.
    Raises what reading frames raises.
    """
    partial = folder / f".{GRAMS}.tmp"
    frames = FrameReader(folder)
    try:
        with partial.open("wb") as file:
            _write(file, frames, _crc_of_table(folder), check)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / GRAMS)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        frames.close()
    sync_folder(folder)


def open_grams(folder: Path) -> GramIndex | None:
    """The block index of a split; None where there is none that can be used."""
    try:
        return GramIndex(folder)
    except (OSError, GramsError):
        return None


class GramIndex:
    """An open `grams.bin`. Safe for threads; closed when the last user has let go of it."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where there is no file, GramsError where it cannot be used."""
        self._file = os.open(folder / GRAMS, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._serial = next(_SERIALS)
        head = self._read(0, _HEADER.size + _CRC.size)
        self.frame_count: int
        magic, version, self.frame_count, table_crc, count = _HEADER.unpack(head[: _HEADER.size])
        if magic != _MAGIC:
            raise GramsError("it is no block index")
        if version != _VERSION:
            raise GramsError(f"it has version {version}, this program reads {_VERSION}")
        if count != -(-self.frame_count // STRIPE):
            raise GramsError("its header is damaged")
        packed = self._read(len(head), count * _STRIPE.size)
        if _header(self.frame_count, table_crc, packed) != head:
            raise GramsError("its header is damaged")
        if table_crc != _crc_of_table(folder):
            raise GramsError("it was made from other lines")
        self._stripes = list(_STRIPE.iter_unpack(packed))
        size = os.fstat(self._file).st_size
        for number, (_, directory) in enumerate(self._stripes):
            if directory + self._directory_bytes(number) > size:
                raise GramsError("it is cut off")

    def frames(self, clauses: Sequence[Sequence[bytes]]) -> Sequence[int] | None:
        """Numbers of the frames that may hold lines with at least one literal of each clause, ascending.

        None where no clause says anything, since it has a literal without a trigram. A damaged part rules nothing out.
        """
        wanted = [[codes_of(literal) for literal in clause] for clause in clauses]
        wanted = [clause for clause in wanted if all(clause)]
        if not wanted:
            return None
        found: list[int] = []
        for stripe in range(len(self._stripes)):
            left = everything = (1 << self._width(stripe)) - 1
            for clause in wanted:
                may = 0
                for codes in clause:
                    may |= self._having(stripe, codes, left)
                    if may == left:
                        break
                left = may
                if not left:
                    break
            if left == everything:
                found += range(stripe * STRIPE, stripe * STRIPE + self._width(stripe))
            elif left:
                found += _bits(left, stripe * STRIPE)
        return found

    def verify(self) -> None:
        """Reads all of it; GramsError where something is damaged."""
        for stripe in range(len(self._stripes)):
            for number in range(CODES >> group_bits(self._width(stripe))):
                self._group(stripe, number)

    def covers(self, frame: int, blob: bytes) -> bool:
        """Whether every trigram of a frame's lines is noted for it. GramsError where something is damaged."""
        stripe, bit = divmod(frame, STRIPE)
        return all(self._row(stripe, code) >> bit & 1 for code in np.unique(codes_in(blob)).tolist())

    def _having(self, stripe: int, codes: Sequence[int], left: int) -> int:
        """Those of the frames in `left` that have all the trigrams; a few more where looking on seems of no use."""
        idle = 0
        for code in codes:
            before = left
            try:
                left &= self._row(stripe, code)
            except (GramsError, OSError):
                continue
            idle = idle + 1 if left == before else 0
            if not left or idle == _IDLE:
                break
        return left

    def _row(self, stripe: int, code: int) -> int:
        """Bit n is set where the stripe's n-th frame has the trigram."""
        width = self._width(stripe)
        bits = group_bits(width)
        group = self._group(stripe, code >> bits)
        if not group:
            return 0
        at = code & ((1 << bits) - 1)
        if not group[at >> 3] >> (at & 7) & 1:
            return 0
        before = int.from_bytes(group[: (at >> 3) + 1], "little") & ((1 << at) - 1)
        start = (1 << bits >> 3) + before.bit_count() * row_bytes(width)
        return int.from_bytes(group[start : start + row_bytes(width)], "little")

    def _group(self, stripe: int, number: int) -> bytes:
        key = (self._serial, stripe, number)
        group = _CACHE.get(key)
        if group is None:
            directory = self._directory(stripe)
            start = int.from_bytes(directory[4 * number - 4 : 4 * number], "little") if number else 0
            end = int.from_bytes(directory[4 * number : 4 * number + 4], "little")
            group = b""
            if start != end:
                try:
                    packed = self._read(self._stripes[stripe][0] + start, end - start)
                    group = _threads.unpack(packed, allow_extra_data=False)
                except zstandard.ZstdError as error:
                    raise GramsError(f"group {number} of stripe {stripe} is damaged") from error
            _CACHE.put(key, group)
        return group

    def _directory(self, stripe: int) -> bytes:
        key = (self._serial, stripe, -1)
        directory = _CACHE.get(key)
        if directory is None:
            content = self._read(self._stripes[stripe][1], self._directory_bytes(stripe))
            directory = content[: -_CRC.size]
            if _CRC.pack(zlib.crc32(directory)) != content[-_CRC.size :]:
                raise GramsError(f"the directory of stripe {stripe} is damaged")
            _CACHE.put(key, directory)
        return directory

    def _directory_bytes(self, stripe: int) -> int:
        return 4 * (CODES >> group_bits(self._width(stripe))) + _CRC.size

    def _width(self, stripe: int) -> int:
        return min(STRIPE, self.frame_count - stripe * STRIPE)

    def _read(self, offset: int, size: int) -> bytes:
        content = os.pread(self._file, size, offset)
        if len(content) < size:
            raise GramsError("it is cut off")
        return content


_CACHE: LruCache[tuple[int, int, int], bytes] = LruCache(_CACHE_BYTES, lambda value: len(value) + 64)
_SERIALS = itertools.count()


class _Decompressors(threading.local):
    """One for each thread: making one takes longer than unpacking a group."""

    def __init__(self) -> None:
        self.unpack = zstandard.ZstdDecompressor().decompress


_threads = _Decompressors()


def _write(file: BinaryIO, frames: FrameReader, table_crc: int, check: Callable[[], None]) -> None:
    positions: list[tuple[int, int]] = []
    count = -(-len(frames) // STRIPE)
    file.seek(_HEADER.size + _CRC.size + count * _STRIPE.size)
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    stripe = Stripe()
    for first in range(0, len(frames), STRIPE):
        for number in range(first, min(first + STRIPE, len(frames))):
            stripe.add(frames.read(number).blob)
        start = file.tell()
        ends: list[int] = []
        for group in stripe.groups():
            if group:
                file.write(compressor.compress(group))
            ends.append(file.tell() - start)
        positions.append((start, file.tell()))
        directory = np.array(ends, "<u4").tobytes()
        file.write(directory + _CRC.pack(zlib.crc32(directory)))
        stripe.clear()
    packed = b"".join(_STRIPE.pack(*position) for position in positions)
    file.seek(0)
    file.write(_header(len(frames), table_crc, packed) + packed)


def _header(frames: int, table_crc: int, stripes: bytes) -> bytes:
    fields = _HEADER.pack(_MAGIC, _VERSION, frames, table_crc, len(stripes) // _STRIPE.size)
    return fields + _CRC.pack(zlib.crc32(fields + stripes))


def _crc_of_table(folder: Path) -> int:
    return zlib.crc32((folder / RAW_TABLE).read_bytes())


def _bits(number: int, first: int) -> list[int]:
    """Positions of the bits that are set, counted from `first`."""
    packed = np.frombuffer(number.to_bytes(-(-number.bit_length() // 8), "little"), np.uint8)
    positions: list[int] = (np.unpackbits(packed, bitorder="little").nonzero()[0] + first).tolist()
    return positions
