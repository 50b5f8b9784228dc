"""Some frames of a split side by side in memory, so that one call searches the lines of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.search.index.frames import FrameReader, LineColumns

__all__ = ["CHUNK_BYTES", "Chunk", "Longs", "chunks_of"]

#: Bytes of lines in one chunk, roughly: so many stay in the processor's cache while they are searched.
CHUNK_BYTES = 1 << 18

Longs = npt.NDArray[np.int64]


class Chunk:
    """Frames by number, in ascending order, read when they are needed. Lines are counted from 0 in the chunk."""

    def __init__(self, reader: FrameReader, numbers: list[int]) -> None:
        self._reader = reader
        self.numbers = numbers
        self._spans = [(reader.first_rows[number], reader.counts[number]) for number in numbers]
        self._count = sum(count for _, count in self._spans)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def rows(self) -> Longs:
        """Row in the split of each line."""
        return np.concatenate([np.arange(first, first + count) for first, count in self._spans])

    @cached_property
    def blob(self) -> bytes:
        """The lines, a line feed behind each."""
        if len(self.numbers) == 1:
            return self._reader.blob(self.numbers[0])
        return b"".join([self._reader.blob(number) for number in self.numbers])

    @cached_property
    def ends(self) -> Longs:
        """Place of the line feed of each line in the blob."""
        found = np.flatnonzero(np.frombuffer(self.blob, np.uint8) == 10)
        if len(found) != len(self):
            raise ValueError(f"frames {self.numbers} do not hold the lines that their table says")
        return found

    @cached_property
    def begins(self) -> Longs:
        """Place of the first byte of each line in the blob."""
        return np.concatenate([[0], self.ends[:-1] + 1])

    @cached_property
    def times(self) -> Longs:
        """Time of each line in microseconds, or NO_TIME."""
        return np.concatenate([np.frombuffer(part.times, np.int64) for part in self._columns])  # type: ignore[call-overload]

    @cached_property
    def levels(self) -> npt.NDArray[np.uint8]:
        """Level of each line."""
        return np.frombuffer(b"".join([bytes(part.levels) for part in self._columns]), np.uint8)

    def line(self, at: int) -> bytes:
        """One line, without its line feed."""
        return self.blob[self.begins[at] : self.ends[at]]

    def lines_at(self, places: list[int]) -> Longs:
        """The lines in which these bytes of the blob stand; a line feed stands in the line that it ends."""
        return np.searchsorted(self.ends, np.array(places, np.int64), "left")

    @cached_property
    def _columns(self) -> list[LineColumns]:
        return [self._reader.columns(number) for number in self.numbers]


def chunks_of(reader: FrameReader, numbers: Iterable[int], *, first_bytes: int | None = None) -> Iterator[Chunk]:
    """The frames in chunks, in their order; the first is of about `first_bytes`, each of the next twice as large."""
    taken: list[int] = []
    size, wanted = 0, CHUNK_BYTES if first_bytes is None else first_bytes
    for number in numbers:
        taken.append(number)
        size += reader.blob_bytes(number)
        if size >= wanted:
            yield Chunk(reader, sorted(taken))
            taken, size, wanted = [], 0, min(2 * wanted, CHUNK_BYTES)
    if taken:
        yield Chunk(reader, sorted(taken))
