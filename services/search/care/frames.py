"""The lines of a split, read without its table: `raw.zst` alone says where each frame begins."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import zstandard

from services.search.index.frames import Frame, FrameReader, LineColumns
from services.search.index.layout import RAW

__all__ = ["FoundFrames", "Frames", "open_frames"]

_PIECE = 64 * 1024
#: Bytes of the columns of a line: its time, its level and its record flag.
_COLUMNS = 10


class Frames(Protocol):
    """What rebuilding needs of services.search.index.frames.FrameReader."""

    def __len__(self) -> int: ...
    def frame_of(self, row: int) -> int: ...
    def read(self, number: int) -> Frame: ...
    def close(self) -> None: ...


class FoundFrames:
    """Frames found by reading the file from its beginning. Raises OSError; ValueError where it is damaged.

    `check` is called for each frame while they are looked for, and may raise to stop.
    """

    def __init__(self, folder: Path, check: Callable[[], None] = lambda: None) -> None:
        self._file = os.open(folder / RAW, os.O_RDONLY | os.O_CLOEXEC)
        self._decompressor = zstandard.ZstdDecompressor()
        #: Row of the first line of each frame, and the number of its lines.
        self.first_rows: list[int] = []
        self.counts: list[int] = []
        self._offsets: list[int] = []
        self.line_count = 0
        #: Bytes of the lines, a line feed counted for each.
        self.raw_bytes = 0
        try:
            self._find(check)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._offsets)

    def frame_of(self, row: int) -> int:
        """Number of the frame that holds `row`."""
        return bisect_right(self.first_rows, row) - 1

    def read(self, number: int) -> Frame:
        """One frame, unpacked."""
        return self._at(self._offsets[number], self.first_rows[number])[0]

    def close(self) -> None:
        """Closes the file. Nothing may be read after it."""
        os.close(self._file)

    def _find(self, check: Callable[[], None]) -> None:
        offset, size = 0, os.fstat(self._file).st_size
        while offset < size:
            check()
            frame, end = self._at(offset, self.line_count)
            self.first_rows.append(self.line_count)
            self.counts.append(len(frame.lines))
            self._offsets.append(offset)
            self.line_count += len(frame.lines)
            self.raw_bytes += len(frame.blob)
            offset = end

    def _at(self, offset: int, first_row: int) -> tuple[Frame, int]:
        blob, middle = self._unpack(offset)
        columns, end = self._unpack(middle)
        count = blob.count(b"\n")
        if not count or not blob.endswith(b"\n") or len(columns) != _COLUMNS * count:
            raise ValueError(f"{RAW} is damaged at byte {offset}")
        times = array("q")
        times.frombytes(columns[: 8 * count])
        return Frame(first_row, blob, LineColumns(times, columns[8 * count : 9 * count], columns[9 * count :])), end

    def _unpack(self, offset: int) -> tuple[bytes, int]:
        """The content of the zstd frame at `offset`, and where the next one begins."""
        decompressor = self._decompressor.decompressobj()
        start, parts = offset, list[bytes]()
        try:
            while not decompressor.eof:
                piece = os.pread(self._file, _PIECE, offset)
                if not piece:
                    raise ValueError(f"{RAW} is cut off within the frame at byte {start}")
                parts.append(decompressor.decompress(piece))
                offset += len(piece)
        except zstandard.ZstdError as error:
            raise ValueError(f"{RAW} is damaged at byte {start}: {error}") from error
        return b"".join(parts), offset - len(decompressor.unused_data)


def open_frames(folder: Path, line_count: int, *, by_table: bool = True) -> Frames:
    """The frames of a split, by its table if that fits and may be used. ValueError where lines are missing."""
    if by_table:
        try:
            reader = FrameReader(folder)
        except (OSError, ValueError):
            pass
        else:
            if sum(reader.counts) == line_count:
                return reader
            reader.close()
    found = FoundFrames(folder)
    if found.line_count != line_count:
        found.close()
        raise ValueError(f"{folder.name}/{RAW} holds {found.line_count} lines, {line_count} are expected")
    return found
