"""Blocks of whole lines from a stream."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from services.importer.reading.problems import ReadProblem
from services.importer.reading.streams import Buffered

_BLOCK = 1 << 20


class LineBlocks:
    """Iterates over lists of lines without their line feeds, a megabyte or so at a time.

    `start` is the offset at which the stream stands: a resumed source is skipped to the end of what is covered before.
    Bytes are never changed; b"\\r" stays. When it ends with ReadProblem, everything before the damage was given, the
    begun line included.

    For whoever counts, after each block:
    - `consumed`: bytes of the member's stream that the block stands for; their sum is the offset in the stream. It is
      `sum(map(len, lines)) + len(lines) + excess`, and one less where `unterminated` says so.
    - `excess`: bytes of it that are in no line, and belong to the first line of the block: a byte order mark in front
      of the first line of all, or what was left out of a long line.
    - `long_line`: bytes of a line over `line_bytes`, which then is the only one of its block, kept up to the limit; 0
      otherwise. The source goes on behind it; whoever reads tells of it (`too_long`).
    """

    def __init__(self, stream: Buffered, line_bytes: int, start: int = 0) -> None:
        self._stream = stream
        self._line_bytes = line_bytes
        self._start = start
        #: Whether the last line given had no line feed; known when the iteration has ended.
        self.unterminated = False
        self.consumed = 0
        self.excess = 0
        self.long_line = 0

    def too_long(self) -> str:
        """Says that the line of this block was too long."""
        return (
            f"This line has {self.long_line} bytes, more than the {self._line_bytes} that are allowed; "
            "the rest of it was not read."
        )

    def __iter__(self) -> Iterator[list[bytes]]:
        problem: ReadProblem | None = None
        kept: list[bytes] = []  # the begun line, no more of it than may be kept
        begun = 0  # bytes of it so far, kept or not
        mark = self._mark()
        while True:
            try:
                data = self._stream.read(_BLOCK)
            except ReadProblem as found:
                problem = found
                break
            if not data:
                break
            end = data.rfind(b"\n")
            if end < 0:
                self._keep(kept, begun, data)
                begun += len(data)
                continue
            if begun + end <= self._line_bytes:
                kept.append(data[:end])
                yield self._block(b"".join(kept).split(b"\n"), begun + mark + end + 1, mark)
            else:  # one of them may be too long: the begun one, where the limit is above the size of a block
                first, *others = data[:end].split(b"\n")
                self._keep(kept, begun, first)
                yield self._block([b"".join(kept)[: self._line_bytes]], begun + mark + len(first) + 1, mark)
                if others and max(map(len, others)) <= self._line_bytes:
                    yield self._block(others, end - len(first), 0)
                else:
                    for line in others:
                        yield self._block([line[: self._line_bytes]], len(line) + 1, 0)
            kept, begun, mark = [data[end + 1 :]], len(data) - end - 1, 0
        if begun:
            self.unterminated = True
            yield self._block([b"".join(kept)[: self._line_bytes]], begun + mark, mark, ended=False)
        if problem is not None:
            raise problem

    def _mark(self) -> int:
        """Passes over a byte order mark in front of the first line; bytes of it."""
        if self._start or self._stream.peek(3) != codecs.BOM_UTF8:
            return 0
        return len(self._stream.read(3))

    def _keep(self, kept: list[bytes], begun: int, data: bytes) -> None:
        if begun <= self._line_bytes:
            kept.append(data[: self._line_bytes + 1 - begun])

    def _block(self, lines: list[bytes], consumed: int, mark: int, *, ended: bool = True) -> list[bytes]:
        """Notes what the block stands for and returns it."""
        length = consumed - mark - ended
        long = len(lines) == 1 and length > self._line_bytes
        self.long_line = length if long else 0
        self.excess = mark + (length - len(lines[0]) if long else 0)
        self.consumed = consumed
        return lines
