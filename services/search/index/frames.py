"""The lines themselves: independent zstd frames of about 64 KB, each with the columns of its lines.

`raw.zst` is a sequence of pairs of zstd frames: the lines, each with a line feed, and then their columns: times as
signed 64-bit microseconds, levels and record flags as bytes. A line is never cut: one longer than a frame has a frame
of its own.

`raw.idx` begins with eight bytes that name its version, and holds eight 64-bit numbers for each pair: row of the first
line, number of lines, offset in the file, bytes of the first zstd frame, bytes of the second, lowest and highest time
of the lines that have one (signed; both 0 where none has), number of those. Version 1 has no such beginning, and the
first five numbers only. All numbers are little endian.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from services.search.index.layout import NO_TIME, RAW, RAW_TABLE, write_synced

__all__ = ["FRAME_BYTES", "Frame", "FrameReader", "FrameTimes", "FrameWriter", "LineColumns"]

FRAME_BYTES = 64 * 1024
_LEVEL = 3
#: The first number of a table of version 1 is 0, the row of its first line.
_MAGIC = b"RAWIDX\x00\x02"
_FIELDS_1, _FIELDS = 5, 8


class _Decompressors(threading.local):
    """One for each thread: two threads must not use one at once, and a new one costs three times what a frame does."""

    def __init__(self) -> None:
        self.unpack = zstandard.ZstdDecompressor().decompress


_decompressors = _Decompressors()


@dataclass(frozen=True, slots=True)
class LineColumns:
    """Columns of the lines of a frame."""

    times: Sequence[int]
    levels: Sequence[int]
    records: bytes


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Lowest and highest time in a frame, and how many of its lines have one; 0 and 0 where none has."""

    low: int
    high: int
    dated: int


class Frame:
    """Lines `first_row` to `first_row + len(frame)` of a split. `blob` is all of them, a line feed behind each."""

    __slots__ = ("_lines", "blob", "columns", "first_row")

    def __init__(self, first_row: int, blob: bytes, columns: LineColumns) -> None:
        self.first_row = first_row
        self.blob = blob
        self.columns = columns
        self._lines: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.columns.records)

    @property
    def lines(self) -> list[bytes]:
        """The lines without their line feeds, split when first asked for."""
        lines = self._lines
        if lines is None:
            lines = self.blob.split(b"\n")
            lines.pop()
            self._lines = lines
        return lines


class FrameWriter:
    """Appends frames to `raw.zst`; `finish` writes `raw.idx` and waits until both are on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / RAW).open("wb")
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._table = array("q")
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
        times = _times_of(columns.times)
        self._table.extend((self._rows, count, self._offset, len(text), len(extra), times.low, times.high, times.dated))
        self._offset += len(text) + len(extra)
        self._rows += count

    def finish(self) -> None:
        """Ends the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        write_synced(self._folder / RAW_TABLE, _MAGIC + _little(self._table).tobytes())

    def abort(self) -> None:
        """Lets go of the file."""
        self._file.close()


class FrameReader:
    """Reads frames by number. Safe for threads. Raises OSError; ValueError or zstandard.ZstdError for damaged data."""

    def __init__(self, folder: Path) -> None:
        content = (folder / RAW_TABLE).read_bytes()
        #: Version of the table: 1 does not know times.
        self.version = 2 if content.startswith(_MAGIC) else 1
        self._fields = _FIELDS if self.version == 2 else _FIELDS_1
        content = content[len(_MAGIC) :] if self.version == 2 else content
        if len(content) % (8 * self._fields):
            raise ValueError(f"{folder.name}/{RAW_TABLE} is damaged: it ends within an entry")
        table = array("q")
        table.frombytes(content)
        self._table = _little(table)
        #: Row of the first line of each frame, and how many lines it has.
        self.first_rows = self._table[0 :: self._fields]
        self.counts = self._table[1 :: self._fields]
        self._descriptor = os.open(folder / RAW, os.O_RDONLY | os.O_CLOEXEC)

    def __len__(self) -> int:
        return len(self.first_rows)

    def frame_of(self, row: int) -> int:
        """Number of the frame that holds `row`."""
        return bisect_right(self.first_rows, row) - 1

    def times(self, number: int) -> FrameTimes | None:
        """What is known of the times in a frame; None in a split of version 1."""
        if self.version == 1:
            return None
        low, high, dated = self._table[number * _FIELDS + 5 : (number + 1) * _FIELDS]
        return FrameTimes(low, high, dated)

    def read(self, number: int) -> Frame:
        """One frame, unpacked."""
        first, count, offset, text_size, extra_size = self._entry(number)
        packed = os.pread(self._descriptor, text_size + extra_size, offset)
        unpack = _decompressors.unpack
        blob = unpack(packed[:text_size])
        columns = _columns(unpack(packed[text_size:]), number, count)
        if blob.count(b"\n") != count:
            raise ValueError(f"frame {number} holds {blob.count(10)} lines, its table says {count}")
        return Frame(first, blob, columns)

    def blob(self, number: int) -> bytes:
        """The lines of a frame alone, a line feed behind each."""
        _, _, offset, text_size, _ = self._entry(number)
        return _decompressors.unpack(os.pread(self._descriptor, text_size, offset))

    def blob_bytes(self, number: int) -> int:
        """Bytes of the lines of a frame, roughly."""
        return max(FRAME_BYTES, self._table[number * self._fields + 3])

    def columns(self, number: int) -> LineColumns:
        """The columns of a frame alone."""
        _, count, offset, text_size, extra_size = self._entry(number)
        packed = os.pread(self._descriptor, extra_size, offset + text_size)
        return _columns(_decompressors.unpack(packed), number, count)

    def __iter__(self) -> Iterator[Frame]:
        return (self.read(number) for number in range(len(self)))

    def close(self) -> None:
        """Closes the file. Nothing may be read after it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # Readers of splits are let go of when they were not used for long, perhaps while another thread reads one.
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    def _entry(self, number: int) -> Sequence[int]:
        at = number * self._fields
        return self._table[at : at + _FIELDS_1]


def _columns(extra: bytes, number: int, count: int) -> LineColumns:
    if len(extra) != 10 * count:
        raise ValueError(f"frame {number} has columns of {len(extra)} bytes, its table says {count} lines")
    times = array("q")
    times.frombytes(extra[: 8 * count])
    return LineColumns(_little(times), extra[8 * count : 9 * count], extra[9 * count :])


def _times_of(times: Sequence[int]) -> FrameTimes:
    low = min(times, default=NO_TIME)
    if low != NO_TIME:
        return FrameTimes(low, max(times), len(times))
    dated = [when for when in times if when != NO_TIME]
    return FrameTimes(min(dated), max(dated), len(dated)) if dated else FrameTimes(0, 0, 0)


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return numbers
