"""How far an import is while it has not ended, and who is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from loganalyzer.search.v1 import search_pb2
from services.importer.messages import Message
from services.importer.planning import PlannedFile, Tally, Totals
from services.importer.reading import Problem
from services.importer.records import SHOWN_ERRORS, State

# The rate is that of the last seconds.
_RATE_SECONDS = 5.0


class Rate:
    """Amount a second over the last few seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, amount: int) -> None:
        """Notes that `amount` in all had been reached at `now`."""
        marks = self._marks
        marks.append((now, amount))
        while len(marks) > 2 and marks[0][0] < now - _RATE_SECONDS:
            marks.popleft()

    def stop(self) -> None:
        """Nothing goes on: the rate is 0."""
        self._marks.clear()

    @property
    def per_second(self) -> float:
        """0 until there are two marks apart."""
        if len(self._marks) < 2 or self._marks[-1][0] <= self._marks[0][0]:
            return 0.0
        (start, low), (end, high) = self._marks[0], self._marks[-1]
        return max(0.0, (high - low) / (end - start))


@dataclass(slots=True)
class _Try:
    """A task that a worker has in hand. Lines, bytes and files since its last split."""

    files: int = 0
    lines: int = 0
    bytes: int = 0
    disk: int = 0
    begun: int = 0


@dataclass(slots=True)
class Progress:
    """Counts of an import: what is published and what the workers say.

    What is shown never falls: where a worker dies, or the process is started again, it stays until that is reached
    again (`floor`). The counts at the end are those of what is published, whatever was shown.
    """

    state: State
    start_time: int | None = None
    #: What it waits for, as a sentence.
    message: str = ""
    tally: Tally = field(default_factory=lambda: Tally({}))
    errors: dict[int, list[Problem]] = field(default_factory=dict)
    error_counts: dict[int, int] = field(default_factory=dict)
    total_files: int = 0
    total_bytes: int = 0
    planned: bool = False
    unpacked_rate: Rate = field(default_factory=Rate)
    disk_rate: Rate = field(default_factory=Rate)
    #: The most that was shown: lines, bytes, files, those processed, and what was found.
    floor: dict[str, int] = field(default_factory=dict)
    _tries: dict[int, _Try] = field(default_factory=dict)
    _done_files: int = 0
    _done_bytes: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> asyncio.Event:
        """An event that is set at the next change."""
        return self._changed

    def tell(self) -> None:
        """Wakes whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def begin_plan(self) -> None:
        """Starts over with finding files."""
        self.total_files = self.total_bytes = 0

    def found(self, size: int) -> None:
        """One more file was found."""
        self.total_files += 1
        self.total_bytes += size

    def set_plan(self, files: Iterable[PlannedFile]) -> None:
        """All files are found."""
        self.begin_plan()
        sources: dict[int, int] = {}
        for file in files:
            self.found(file.size)
            sources[file.number] = file.source
        self.total_files = self._least("total_files", self.total_files)
        self.total_bytes = self._least("total_bytes", self.total_bytes)
        self.tally.source_of = sources
        self.planned = True

    def follow(self, files: Iterable[PlannedFile], sizes: Mapping[str, int]) -> None:
        """Files that are followed have more to read now; `sizes` are those of all."""
        for file in files:
            self.tally.source_of[file.number] = file.source
        self.total_files = max(self.total_files, len(sizes))
        self.total_bytes = max(self.total_bytes, sum(sizes.values()))

    def followed(self, task: int, numbers: Iterable[int]) -> None:
        """A task of followed files is done, and need not be known any more."""
        self._tries.pop(task, None)
        gone = set(numbers)
        for number in gone:
            self.tally.source_of.pop(number, None)
        self.tally.file_of = {source: number for source, number in self.tally.file_of.items() if number not in gone}

    def wait(self, sentence: str) -> None:
        """Everything is read; it waits for more."""
        self.message = sentence
        self._done_files, self._done_bytes = self.total_files, self.total_bytes
        self.unpacked_rate.stop()
        self.disk_rate.stop()

    def error(self, source: int, problem: Problem) -> None:
        """One more error."""
        self.error_counts[source] = self.error_counts.get(source, 0) + 1
        shown = self.errors.setdefault(source, [])
        if len(shown) < SHOWN_ERRORS:
            shown.append(problem)

    def published(self, task: int, split: search_pb2.Split) -> None:
        """A split is published: what the worker told of it is counted there now."""
        self.tally.add_split(split)
        if task in self._tries:
            one = self._tries[task]
            one.lines = one.bytes = one.files = 0

    def begin_task(self, task: int) -> None:
        """A worker has taken a task."""
        self._tries[task] = _Try()

    def drop_task(self, task: int) -> None:
        """The try has come to nothing."""
        self._tries.pop(task, None)

    def end_task(self, task: int, files: int, size: int) -> None:
        """A task is done: so many files with so many bytes on disk."""
        self._tries.pop(task, None)
        self._done_files += files
        self._done_bytes += size

    def heard(self, task: int, message: Message, now: float) -> None:
        """Takes in a worker's "progress" or "file"."""
        one = self._tries[task]
        if message["op"] == "file":
            one.begun += 1
            return
        one.lines, one.bytes, one.files = message["lines"], message["bytes"], message["files"]
        one.disk = message["disk"]
        self.unpacked_rate.mark(now, self.totals.bytes)
        self.disk_rate.mark(now, self.processed_bytes)

    def shown(self) -> Mapping[str, int]:
        """What is shown now; from now on nothing below it is."""
        total = self.totals
        self.floor = {
            "lines": total.lines,
            "bytes": total.bytes,
            "files": total.files,
            "processed_files": self.processed_files,
            "processed_bytes": self.processed_bytes,
            "total_files": self.total_files,
            "total_bytes": self.total_bytes,
        }
        return self.floor

    def _least(self, name: str, value: int) -> int:
        return max(value, self.floor.get(name, 0))

    @property
    def totals(self) -> Totals:
        """Over all sources, lines that are not yet in a split included."""
        total = self.tally.all
        for one in self._tries.values():
            total.add(one.lines, one.bytes, one.files)
        return Totals(
            self._least("lines", total.lines), self._least("bytes", total.bytes), self._least("files", total.files)
        )

    @property
    def processed_files(self) -> int:
        """Files on disk that are done with."""
        begun = sum(max(0, one.begun - 1) for one in self._tries.values())
        # What is followed is done again and again.
        return min(self._least("processed_files", self._done_files + begun), self.total_files)

    @property
    def processed_bytes(self) -> int:
        """Bytes on disk that were read, or need not be."""
        read = min(self._done_bytes + sum(one.disk for one in self._tries.values()), self.total_bytes)
        return self._least("processed_bytes", read)

    @property
    def eta(self) -> float | None:
        """Seconds left; None when it cannot be told."""
        rate = self.disk_rate.per_second
        return max(0, self.total_bytes - self.processed_bytes) / rate if self.planned and rate > 0 else None
