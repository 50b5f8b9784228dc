"""The lines themselves: independent zstd frames of about 64 KB, each with the columns of its lines.

`raw.zst` is a sequence of pairs of zstd frames: the lines, each with a line feed, and then their columns: times as
signed 64-bit microseconds, levels and record flags as bytes. `raw.idx` holds five unsigned 64-bit numbers for each
pair: row of the first line, number of lines, offset in the file, bytes of the first zstd frame, bytes of the second. A
line is never cut: one longer than a frame has a frame of its own. All numbers are little endian.
"""

from __future__ import annotations

import os
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from services.search.index.layout import RAW, RAW_TABLE, write_synced

__all__ = ["FRAME_BYTES", "Frame", "FrameReader", "FrameWriter", "LineColumns"]

FRAME_BYTES = 64 * 1024
_LEVEL = 3
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class LineColumns:
    """Columns of the lines of a frame."""

    times: Sequence[int]
    levels: Sequence[int]
    records: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """Lines `first_row` to `first_row + len(lines)` of a split."""

    first_row: int
    lines: list[bytes]
    columns: LineColumns


class FrameWriter:
    """Appends frames to `raw.zst`; `finish` writes `raw.idx` and waits until both are on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / RAW).open("wb")
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._table = array("Q")
        self._offset = 0
        self._rows = 0

    def append(self, blob: bytes, columns: LineColumns) -> None:
        """`blob` holds the lines, each ended by a line feed."""
        count = len(columns.records)
        packed = array("q", columns.times)
        text = self._compressor.compress(blob)
        extra = self._compressor.compress(_little(packed).tobytes() + bytes(columns.levels) + columns.records)
        self._file.write(text)
        self._file.write(extra)
        self._table.extend((self._rows, count, self._offset, len(text), len(extra)))
        self._offset += len(text) + len(extra)
        self._rows += count

    def finish(self) -> None:
        """Ends the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        write_synced(self._folder / RAW_TABLE, _little(self._table).tobytes())

    def abort(self) -> None:
        """Lets go of the file."""
        self._file.close()


class FrameReader:
    """Reads frames by number. Safe for threads. Raises OSError; ValueError or zstandard.ZstdError for damaged data."""

    def __init__(self, folder: Path) -> None:
        table = array("Q")
        table.frombytes((folder / RAW_TABLE).read_bytes())
        self._table = _little(table)
        self._first_rows = self._table[0::_FIELDS]
        self._descriptor = os.open(folder / RAW, os.O_RDONLY | os.O_CLOEXEC)

    def __len__(self) -> int:
        return len(self._first_rows)

    def frame_of(self, row: int) -> int:
        """Number of the frame that holds `row`."""
        return bisect_right(self._first_rows, row) - 1

    def read(self, number: int) -> Frame:
        """One frame, unpacked."""
        first, count, offset, text_size, extra_size = self._table[number * _FIELDS : (number + 1) * _FIELDS]
        packed = os.pread(self._descriptor, text_size + extra_size, offset)
        # A decompressor must not be used by two threads at once; making one costs a microsecond.
        decompressor = zstandard.ZstdDecompressor()
        lines = decompressor.decompress(packed[:text_size]).split(b"\n")
        lines.pop()
        extra = decompressor.decompress(packed[text_size:])
        times = array("q")
        times.frombytes(extra[: 8 * count])
        columns = LineColumns(_little(times), extra[8 * count : 9 * count], extra[9 * count :])
        if not len(lines) == count == len(columns.levels) == len(columns.records):
            raise ValueError(f"frame {number} holds {len(lines)} lines, its table says {count}")
        return Frame(first, lines, columns)

    def __iter__(self) -> Iterator[Frame]:
        return (self.read(number) for number in range(len(self)))

    def close(self) -> None:
        """Closes the file. Nothing may be read after it."""
        os.close(self._descriptor)


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return numbers
