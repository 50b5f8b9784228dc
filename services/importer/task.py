"""The work of a worker process: one task, from files to splits."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from loganalyzer.search.v1 import search_pb2
from services.importer.messages import Message, TaskSpec
from services.importer.parsing import Columns, LineParser
from services.importer.planning import Covered, source_id, split_id
from services.importer.reading import Limits, LineBlocks, Member, Meter, Problem, ReadProblem, open_members

#: Raw bytes after which a split is cut, at the next line that starts a record.
SPLIT_BYTES = 256 << 20
# A record that goes on for longer is cut through.
_OVERSHOOT = 32 << 20
# Runs of a split at most: its message must fit into one of gRPC's, several of them in a page.
_SPLIT_RUNS = 1000
_PROGRESS_SECONDS = 0.25


class Port(Protocol):
    """The worker's end of the pipes."""

    cancelled: bool

    def send(self, message: Message) -> None:
        """Sends to the importer."""

    def wait_for_ack(self) -> None:
        """Returns when the importer has published the split; raises TaskCancelled when it wants no more."""


class Writer(Protocol):
    """What a task needs of services.search.index.SplitWriter."""

    raw_bytes: int
    line_count: int

    def add_source(self, *, source_id: str, name: str, import_name: str, first_line: int, byte_offset: int) -> None: ...
    def add_lines(
        self, lines: Sequence[bytes], times: Sequence[int], levels: Sequence[int], records: Sequence[int] | bytes
    ) -> None: ...
    def end_source(self, *, complete: bool, byte_count: int) -> None: ...
    def finish(self) -> search_pb2.Split: ...
    def abort(self) -> None: ...


#: (folder of all splits, workspace, split id)
OpenSplit = Callable[[Path, str, str], Writer]


class TaskCancelled(Exception):  # noqa: N818 - not an error
    """The importer asked to stop."""


class Task:
    """One try at a task. What is covered is skipped; each finished split is handed over before the next begins."""

    def __init__(
        self,
        spec: TaskSpec,
        port: Port,
        open_split: OpenSplit,
        *,
        limits: Limits | None = None,
        split_bytes: int = SPLIT_BYTES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._port = port
        self._open_split = open_split
        self._limits = limits or Limits()
        self._split_bytes = split_bytes
        self._now = now
        self._ordinal = spec.ordinal
        self._writer: Writer | None = None
        self._runs = 0
        self._pending = {"lines": 0, "bytes": 0, "files": 0}
        self._disk_done = 0
        self._meter = Meter(self._limits)
        self._told = now()
        self._whole_files: dict[int, int] = {}

    def run(self) -> None:
        """Does it all; raises TaskCancelled. After an exception nothing unfinished is left."""
        try:
            for number, name, path in self._spec.files:
                self._port.send({"op": "file", "number": number})
                self._file(number, name, path)
            self._finish_split(None)
        except BaseException:
            if self._writer is not None:
                self._writer.abort()
            raise
        self._port.send({"op": "done", "files": {str(key): value for key, value in self._whole_files.items()}})

    def _file(self, number: int, name: str, path: str) -> None:
        self._meter = Meter(self._limits)
        for found in open_members(path, name, self._meter):
            if isinstance(found, Problem):
                self._error(number, found)
            else:
                self._member(number, found)
            self._check()
        self._disk_done += self._meter.disk_bytes

    def _member(self, number: int, member: Member) -> None:
        spec = self._spec
        identity = source_id(spec.import_id, number, member.number)
        covered = Covered(*spec.covered.get(identity, ()))
        if covered.complete:
            return
        state = spec.cursor[1] if spec.cursor is not None and spec.cursor[0] == identity else None
        run = _Run(self, identity, member, covered, state)
        try:
            member.stream.skip(covered.bytes)
            for lines in run.blocks:
                run.add(lines)
                self._check()
        except ReadProblem as problem:
            problem.reported = True
            run.end(complete=False)
            self._error(number, Problem(member.name, problem.reason, problem.message, run.lines))
            return
        if run.end(complete=True):
            self._pending["files"] += 1
        else:
            self._whole_files[number] = self._whole_files.get(number, 0) + 1

    def _error(self, number: int, problem: Problem) -> None:
        self._port.send(
            {
                "op": "error",
                "file": number,
                "path": problem.path,
                "reason": int(problem.reason),
                "message": problem.message,
                "line": problem.line_number,
            }
        )

    def _check(self) -> None:
        """Stops when that is wanted, and tells how far it is, four times a second."""
        if self._port.cancelled:
            raise TaskCancelled
        now = self._now()
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            self._port.send({"op": "progress", **self._pending, "disk": self._disk_done + self._meter.disk_bytes})

    # For _Run.

    def writer(self) -> Writer:
        """The split under construction."""
        if self._writer is None:
            spec = self._spec
            self._writer = self._open_split(
                Path(spec.splits), spec.workspace, split_id(spec.import_id, spec.number, self._ordinal)
            )
            self._runs = 0
        return self._writer

    def begin_run(self, identity: str, name: str, first_line: int, byte_offset: int) -> None:
        """Begins a run in the split under construction, or in a new one when that is full of runs."""
        if self._writer is not None and (self._runs >= _SPLIT_RUNS or self._writer.raw_bytes >= self._split_bytes):
            self._finish_split(None)
        self.writer().add_source(
            source_id=identity,
            name=name,
            import_name=self._spec.import_name,
            first_line=first_line,
            byte_offset=byte_offset,
        )
        self._runs += 1

    def count(self, lines: int, bytes_: int) -> None:
        """Notes progress."""
        self._pending["lines"] += lines
        self._pending["bytes"] += bytes_

    @property
    def full_by(self) -> int:
        """Bytes that the split under construction has too many; below 0 there is room."""
        return -self._split_bytes if self._writer is None else self._writer.raw_bytes - self._split_bytes

    @property
    def line_bytes(self) -> int:
        """Limit for a line."""
        return self._limits.line_bytes

    @property
    def import_id(self) -> str:
        """Of the task."""
        return self._spec.import_id

    def _finish_split(self, cursor: tuple[str, dict[str, Any]] | None) -> None:
        writer = self._writer
        if writer is None:
            return
        split = writer.finish()
        self._writer = None
        self._ordinal += 1
        self._pending = dict.fromkeys(self._pending, 0)
        encoded = base64.b64encode(split.SerializeToString()).decode()
        self._port.send({"op": "split", "id": split.id, "split": encoded, "cursor": cursor})
        self._port.wait_for_ack()

    cut = _finish_split


class _Run:
    """The lines of one source on their way into splits."""

    def __init__(
        self, task: Task, identity: str, member: Member, covered: Covered, state: dict[str, Any] | None
    ) -> None:
        self._task = task
        self._identity = identity
        self._member = member
        self._modified = member.modified if member.modified is not None else time.time()
        self._parser = LineParser(self._modified, state)
        self.blocks = LineBlocks(member.stream, task.line_bytes)
        #: Lines and bytes of the source up to here.
        self.lines = covered.lines
        self._bytes = covered.bytes
        self._run_start: int | None = None

    def add(self, lines: list[bytes]) -> None:
        """Adds a block of lines, cutting the split before a record where it is full."""
        if self._run_start is None or self._task.full_by < 0:
            self._put(lines, self._parser.parse(lines))
            return
        state = self._parser.state
        columns = self._parser.parse(lines)
        at = columns.records.find(1)
        if at < 0 and self._task.full_by < _OVERSHOOT:
            self._put(lines, columns)
            return
        # Up to the cut it is parsed again, so that the state handed over is the one at the cut.
        self._parser = LineParser(self._modified, state)
        if at > 0:
            self._put(lines[:at], self._parser.parse(lines[:at]))
        self._end_run(complete=False)
        self._task.cut((self._identity, self._parser.state))
        rest = lines[max(at, 0) :]
        self._put(rest, self._parser.parse(rest))

    def end(self, *, complete: bool) -> bool:
        """Ends the source; False when there was no run to say so."""
        if self._run_start is None:
            return False
        if self.blocks.unterminated:
            self._bytes -= 1  # the last line has no line feed
            self._task.count(0, -1)
        self._end_run(complete=complete)
        return True

    def _put(self, lines: list[bytes], columns: Columns) -> None:
        if self._run_start is None:
            self._task.begin_run(self._identity, _shown(self._member.name), self.lines + 1, self._bytes)
            self._run_start = self._bytes
        self._task.writer().add_lines(lines, columns.times, columns.levels, columns.records)
        size = sum(map(len, lines)) + len(lines)
        self.lines += len(lines)
        self._bytes += size
        self._task.count(len(lines), size)

    def _end_run(self, *, complete: bool) -> None:
        assert self._run_start is not None
        self._task.writer().end_source(complete=complete, byte_count=self._bytes - self._run_start)
        self._run_start = None


def _shown(name: str) -> str:
    """A name as valid text: what is no UTF-8 in it becomes U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


__all__ = ["SPLIT_BYTES", "Port", "Task", "TaskCancelled", "Writer"]
