"""The work of a worker process: one task, from files to splits."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from loganalyzer.search.v1 import search_pb2
from services.importer.messages import Message, TaskSpec
from services.importer.planning import Covered, split_id
from services.importer.reading import Limits, Member, Meter, Problem, ReadProblem, open_members
from services.importer.task_run import SourceRun
from services.importer.task_tail import TailBatches

#: Raw bytes after which a split is cut, at the next line that starts a record.
SPLIT_BYTES = 256 << 20
#: Seconds of an import after which its first lines are handed over, however few they are.
FIRST_SECONDS = 1.0
# Runs of a split at most: its message must fit into one of gRPC's, several of them in a page.
_SPLIT_RUNS = 1000
_PROGRESS_SECONDS = 0.25
# Lines that are so old are handed over if for so large a share of that time there was nothing to do but wait for more.
_OLD_SECONDS, _WAITED = 1.5, 0.5


class Port(Protocol):
    """The worker's end of the pipes."""

    cancelled: bool
    #: The importer wants what has been read to be searchable soon. Set back when that is done.
    flush_asked: bool
    #: The importer wants to see the lines.
    tailed: bool

    def offer(self, message: Message) -> bool:
        """Sends to the importer if that can be done without waiting; says whether it was."""

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
        self.spec = spec
        self.limits = limits or Limits()
        self.tail = TailBatches(port, now)
        self._port = port
        self._open_split = open_split
        self._split_bytes = split_bytes
        self._now = now
        self._ordinal = spec.ordinal
        self._writer: Writer | None = None
        self._runs = 0
        self._oldest = self._waited = 0.0
        self._pending = {"lines": 0, "bytes": 0, "files": 0}
        self._disk_done = 0
        self._meter = Meter(self.limits)
        self._told = self._started = now()
        self._whole_files: dict[int, int] = {}
        self._first: bool | None = None

    def run(self) -> None:
        """Does it all; raises TaskCancelled. After an exception nothing unfinished is left."""
        try:
            for number, name, path in self.spec.files:
                self.send({"op": "file", "number": number})
                self._file(number, name, path)
            self.cut(None)
        except BaseException:
            if self._writer is not None:
                self._writer.abort()
            raise
        self.send({"op": "done", "files": {str(key): value for key, value in self._whole_files.items()}})

    def _file(self, number: int, name: str, path: str) -> None:
        self._meter = Meter(self.limits, self._check)
        for found in open_members(path, name, self._meter):
            if isinstance(found, Problem):
                self.tell(number, found)
            else:
                self._member(number, found)
            self._check()
            if self._port.flush_asked:
                self.cut(None)
        self._disk_done += self._meter.disk_bytes

    def _member(self, number: int, member: Member) -> None:
        identity = self.spec.source_id(number, member.number)
        covered = Covered(*self.spec.covered.get(identity, ()))
        if covered.complete:
            return
        run = SourceRun(self, number, identity, member, covered)
        try:
            member.stream.skip(covered.bytes)
            self._lines(run, growing=number in self.spec.growing)
        except ReadProblem as problem:
            problem.reported = True
            run.end(complete=False)
            self.tell(number, Problem(member.name, problem.reason, problem.message, run.lines))
            return
        if run.end(complete=True):
            self._pending["files"] += 1
        else:
            self._whole_files[number] = self._whole_files.get(number, 0) + 1

    def _lines(self, run: SourceRun, *, growing: bool) -> None:
        asked = self._now()
        for lines in run.blocks:
            if run.blocks.unterminated and growing:
                run.blocks.unterminated = False  # the rest of this line is still to come
                return
            self._waited += self._now() - asked
            run.add(lines)
            self._check()
            if self._is_due():
                run.cut()
            asked = self._now()

    def _is_due(self) -> bool:
        """Whether what has been read is handed over though the split is not full."""
        if self._port.flush_asked:
            return True
        now = self._now()
        age = now - self._oldest
        if age >= _OLD_SECONDS and self._waited >= age * _WAITED:
            return True
        return self._ordinal == 0 and now - self._started >= FIRST_SECONDS and self._is_first()

    def _is_first(self) -> bool:
        """Whether nothing of the import is there yet, whichever of its tasks has begun first; looked up once."""
        if self._first is None:
            folder = Path(self.spec.splits) / self.spec.workspace
            self._first = next(folder.glob(f"{self.spec.import_id}-*"), None) is None
        return self._first

    def _check(self) -> None:
        """Stops when that is wanted, and tells how far it is, four times a second."""
        if self._port.cancelled:
            raise TaskCancelled
        now = self._now()
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            self.send({"op": "progress", **self._pending, "disk": self._disk_done + self._meter.disk_bytes})

    # For SourceRun.

    def send(self, message: Message) -> None:
        """Sends to the importer."""
        self._port.send(message)

    def tell(self, number: int, problem: Problem) -> None:
        """Tells what is wrong with a file on disk or something in it."""
        self.send(
            {
                "op": "error",
                "file": number,
                "path": problem.path,
                "reason": int(problem.reason),
                "message": problem.message,
                "line": problem.line_number,
            }
        )

    def writer(self) -> Writer:
        """The split under construction."""
        if self._writer is None:
            spec = self.spec
            self._writer = self._open_split(
                Path(spec.splits), spec.workspace, split_id(spec.import_id, spec.number, self._ordinal)
            )
            self._runs = 0
            self._oldest, self._waited = self._now(), 0.0
        return self._writer

    def begin_run(self, identity: str, name: str, first_line: int, byte_offset: int) -> None:
        """Begins a run in the split under construction, or in a new one when that is full of runs."""
        if self._writer is not None and (self._runs >= _SPLIT_RUNS or self._writer.raw_bytes >= self._split_bytes):
            self.cut(None)
        self.writer().add_source(
            source_id=identity,
            name=name,
            import_name=self.spec.import_name,
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

    def cut(self, cursor: tuple[str, dict[str, Any]] | None) -> None:
        """Finishes the split under construction and returns when it is published.

        `cursor` says which source goes on behind it, and with which state.
        """
        self._port.flush_asked = False
        writer = self._writer
        if writer is None:
            return
        split = writer.finish()
        self._writer = None
        self._ordinal += 1
        self._pending = dict.fromkeys(self._pending, 0)
        encoded = base64.b64encode(split.SerializeToString()).decode()
        self.send({"op": "split", "id": split.id, "split": encoded, "cursor": cursor})
        self._port.wait_for_ack()


__all__ = ["FIRST_SECONDS", "SPLIT_BYTES", "Port", "Task", "TaskCancelled", "Writer"]
