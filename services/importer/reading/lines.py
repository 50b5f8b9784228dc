"""Blocks of whole lines from a stream."""

from __future__ import annotations

from collections.abc import Iterator

from services.importer.reading.problems import ReadProblem, Reason
from services.importer.reading.streams import Buffered

_BLOCK = 1 << 20


class LineBlocks:
    """Iterates over lists of lines without their line feeds, a megabyte or so at a time.

    When it ends with ReadProblem, everything before the damage was given, the begun line included. A line longer than
    `line_bytes` ends the source: what comes after it is not read. Bytes are never changed; b"\\r" stays.
    """

    def __init__(self, stream: Buffered, line_bytes: int) -> None:
        self._stream = stream
        self._line_bytes = line_bytes
        #: Whether the last line given had no line feed; known when the iteration has ended.
        self.unterminated = False

    def __iter__(self) -> Iterator[list[bytes]]:
        rest: list[bytes] = []
        rest_bytes = 0
        problem: ReadProblem | None = None
        while problem is None:
            try:
                data = self._stream.read(_BLOCK)
            except ReadProblem as found:
                problem = found
                break
            if not data:
                break
            end = data.rfind(b"\n")
            if end >= 0:
                rest.append(data[:end])
                yield b"".join(rest).split(b"\n")
                rest, rest_bytes = [data[end + 1 :]], len(data) - end - 1
            else:
                rest.append(data)
                rest_bytes += len(data)
            if rest_bytes > self._line_bytes:
                problem = ReadProblem(
                    Reason.LIMIT,
                    f"A line is longer than the {self._line_bytes} bytes that are allowed; "
                    "it and what follows were not read.",
                )
                rest = []
        last = b"".join(rest)
        if last:
            self.unterminated = True
            yield [last]
        if problem is not None:
            raise problem
