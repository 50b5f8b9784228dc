"""The lines of one source on their way into splits, and what is found out about the source on the way."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.importer.messages import Message
from services.importer.parsing import NO_TIME, Columns, LineParser
from services.importer.planning import Covered
from services.importer.reading import LineBlocks, Member, Problem, Reason
from services.importer.reading.streams import Buffered

if TYPE_CHECKING:
    from services.importer.task import Task

# A record that goes on for longer in a full split is cut through.
_OVERSHOOT = 32 << 20


class HashedStream(Buffered):
    """A stream that is hashed while it is read. Its problems are those of the stream."""

    def __init__(self, stream: Buffered) -> None:
        super().__init__(stream)
        self._sha = hashlib.sha256()
        self._inner = stream
        #: Bytes that were read.
        self.size = 0

    def read(self, size: int) -> bytes:
        data = self._inner.read(size)
        self._sha.update(data)  # others may run meanwhile
        self.size += len(data)
        return data

    def peek(self, size: int) -> bytes:
        return self._inner.peek(size)

    def hexdigest(self) -> str:
        """SHA-256 of the bytes so far."""
        return self._sha.hexdigest()


@dataclass(slots=True)
class Facts:
    """What the lines of a source have in common. Goes with the state of the parser from one try to the next."""

    low: int | None = None
    high: int | None = None
    #: Lines by level.
    levels: dict[int, int] = field(default_factory=dict)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Facts:
        """As `to_state` gave them."""
        kept = state.get("facts") or {}
        levels = {int(level): count for level, count in kept.get("levels", {}).items()}
        return cls(kept.get("low"), kept.get("high"), levels)

    def to_state(self) -> dict[str, Any]:
        """As JSON."""
        return {"low": self.low, "high": self.high, "levels": {str(key): self.levels[key] for key in self.levels}}

    def add(self, times: list[int], levels: bytes) -> None:
        """Takes lines into account."""
        low, high = min(times), max(times)
        if low == NO_TIME and high != NO_TIME:
            low = min(when for when in times if when != NO_TIME)
        if high != NO_TIME:
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)
        for level in set(levels):
            self.levels[level] = self.levels.get(level, 0) + levels.count(level)


class SourceRun:
    """One source that is being read."""

    def __init__(self, task: Task, file: int, identity: str, member: Member, covered: Covered) -> None:
        state = task.spec.state_of(identity)
        self._task = task
        self._file = file
        self._identity = identity
        self._member = member
        self._name = _shown(member.name)
        self._modified = member.modified if member.modified is not None else time.time()
        self._parser = LineParser(self._modified, state)
        self._facts = Facts.from_state(state or {})
        # Only what is read in one go can be hashed.
        self._hashed = None if covered.bytes else HashedStream(member.stream)
        self.blocks = LineBlocks(self._hashed or member.stream, task.limits.line_bytes, covered.bytes)
        #: Lines and bytes of the source up to here.
        self.lines = covered.lines
        self._bytes = covered.bytes
        self._run_start: int | None = None

    def add(self, lines: list[bytes]) -> None:
        """Adds a block of lines, cutting the split before a record where it is full."""
        blocks, task = self.blocks, self._task
        if blocks.long_line:
            task.tell(self._file, Problem(self._name, Reason.LIMIT, blocks.too_long(), self.lines + 1))
        if self._run_start is None or task.full_by < 0:
            self._put(lines, self._parser.parse(lines), blocks.consumed)
            return
        state = self._parser.state
        columns = self._parser.parse(lines)
        at = columns.records.find(1)
        if at < 0 and task.full_by < _OVERSHOOT:
            self._put(lines, columns, blocks.consumed)
            return
        # Up to the cut it is parsed again, so that the state handed over is the one at the cut.
        self._parser = LineParser(self._modified, state)
        size = 0
        if at > 0:
            size = sum(map(len, lines[:at])) + at + blocks.excess
            self._put(lines[:at], self._parser.parse(lines[:at]), size)
        self.cut()
        rest = lines[max(at, 0) :]
        self._put(rest, self._parser.parse(rest), blocks.consumed - size)

    def cut(self) -> None:
        """Hands over what has been read; the source goes on in another split."""
        if self._run_start is not None:
            self._end_run(complete=False)
            self._task.cut((self._identity, self._state()))

    def end(self, *, complete: bool) -> bool:
        """Ends the source and tells of it; False when there was no run to say so."""
        open_ = self._run_start is not None
        if open_:
            self._end_run(complete=complete)
        self._task.send(self._message(complete))
        return open_

    def _put(self, lines: list[bytes], columns: Columns, size: int) -> None:
        if self._run_start is None:
            self._task.begin_run(self._identity, self._name, self.lines + 1, self._bytes)
            self._run_start = self._bytes
        levels = bytes(columns.levels)
        self._task.writer().add_lines(lines, columns.times, levels, columns.records)
        self._facts.add(columns.times, levels)
        self._task.tail.add(
            self._identity, self._name, self.lines + 1, lines, columns.times, levels, bytes(columns.records)
        )
        self.lines += len(lines)
        self._bytes += size
        self._task.count(len(lines), size)

    def _end_run(self, *, complete: bool) -> None:
        assert self._run_start is not None
        self._task.writer().end_source(complete=complete, byte_count=self._bytes - self._run_start)
        self._run_start = None

    def _state(self) -> dict[str, Any]:
        return {**self._parser.state, "facts": self._facts.to_state()}

    def _message(self, complete: bool) -> Message:
        hashed = self._hashed
        whole = complete and hashed is not None and hashed.size == self._bytes
        return {
            "op": "source",
            "id": self._identity,
            "name": self._name,
            "file": self._file,
            "lines": self.lines,
            "bytes": self._bytes,
            **self._facts.to_state(),
            "format": self._parser.format,
            "encoding": self._member.encoding,
            "sha256": hashed.hexdigest() if hashed is not None and whole else "",
            "complete": complete,
            "state": self._state(),
        }


def _shown(name: str) -> str:
    """A name as valid text: what is no UTF-8 in it becomes U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
