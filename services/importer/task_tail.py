"""Lines as they are read, for whoever watches: as many as can be sent without holding the import up."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from loganalyzer.importer.v1 import importer_pb2
from services.importer.messages import Message

# Bytes of lines in a batch: with its columns, and in base64, below 256 KB.
_BATCH_BYTES = 128 << 10
_BATCH_LINES = 4096
# What may be sent at once, and in a second: making batches takes time from the import.
_BURST_BYTES = 1 << 20
_RATE_BYTES = 4 << 20


class Outlet(Protocol):
    """Where batches go."""

    tailed: bool

    def offer(self, message: Message) -> bool:
        """Sends a message if that can be done without waiting; says whether it was."""


class TailBatches:
    """Sends lines while somebody watches. What is left out is told by the next batch of the same source."""

    def __init__(self, outlet: Outlet, now: Callable[[], float]) -> None:
        self._outlet = outlet
        self._now = now
        self._budget = float(_BURST_BYTES)
        self._filled = now()
        self._gaps: set[str] = set()

    def add(
        self,
        source_id: str,
        source: str,
        first_line: int,
        lines: Sequence[bytes],
        times: Sequence[int],
        levels: bytes,
        records: bytes,
    ) -> None:
        """Takes lines as columns of equal length, the first one's number being `first_line`."""
        if not self._outlet.tailed or not lines:
            return
        now = self._now()
        self._budget = min(self._budget + (now - self._filled) * _RATE_BYTES, _BURST_BYTES)
        self._filled = now
        for start, end in _batches(lines):
            size = sum(map(len, lines[start:end]))
            if size > min(self._budget, _BATCH_BYTES):
                self._gaps.add(source_id)
                continue
            batch = importer_pb2.ParsedLines(
                source_id=source_id,
                source=source,
                first_line=first_line + start,
                lines=lines[start:end],
                times_us=times[start:end],
                levels=levels[start:end],
                records=records[start:end],
                gap=source_id in self._gaps,
            )
            if self._outlet.offer({"op": "lines", "lines": base64.b64encode(batch.SerializeToString()).decode()}):
                self._gaps.discard(source_id)
                self._budget -= size
            else:
                self._gaps.add(source_id)


def _batches(lines: Sequence[bytes]) -> list[tuple[int, int]]:
    """Ranges [start, end) of lines that fit into a batch each; one that is too long is alone."""
    if len(lines) <= _BATCH_LINES and sum(map(len, lines)) <= _BATCH_BYTES:
        return [(0, len(lines))]
    ends, found = list(accumulate(map(len, lines))), []
    start = before = 0
    for row, end in enumerate(ends):
        if row > start and (end - before > _BATCH_BYTES or row - start >= _BATCH_LINES):
            found.append((start, row))
            start, before = row, ends[row - 1]
    return [*found, (start, len(lines))]
