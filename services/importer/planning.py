"""Pure decisions: files into tasks, and published splits into what is covered, left to read and counted.

A source (a file, or a member of an archive) is known by an id made of the import, the number of the file on disk and
the number of the member in it. It is the same at every try, so the runs in published splits say exactly what need not
be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from loganalyzer.search.v1 import search_pb2

_MB = 1 << 20
#: What a compressed log is taken to unpack to, for sharing out the work.
_EXPANSION = 20
_COMPRESSED = (
    *(".gz", ".tgz", ".zip", ".z", ".gzip", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma"),
    *(".zst", ".tzst", ".7z", ".rar"),
)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file on disk that an import reads."""

    number: int
    #: Which of the import's sources it belongs to.
    source: int
    #: As it is shown, and what is opened.
    name: str
    path: str
    size: int
    task: int = 0

    @property
    def compressed(self) -> bool:
        """Whether its name says so."""
        return self.name.lower().endswith(_COMPRESSED)

    @property
    def weight(self) -> int:
        """Bytes that reading it will probably yield."""
        return self.size * (_EXPANSION if self.compressed else 1)


def plan_tasks(
    files: Sequence[PlannedFile],
    *,
    workers: int,
    smallest: int = 8 * _MB,
    largest: int = 256 * _MB,
    most_files: int = 5000,
) -> list[PlannedFile]:
    """Shares the files out: a big one is a task of its own, small ones are bundled in their order.

    A bundle is a quarter of a worker's share, between `smallest` and `largest` bytes, so that the workers end together.
    """
    bundle = min(max(sum(file.weight for file in files) // (workers * 4), smallest), largest)
    planned: list[PlannedFile] = []
    task = weight = count = 0
    for file in files:
        if count and (weight + file.weight > bundle or count >= most_files):
            task, weight, count = task + 1, 0, 0
        planned.append(replace(file, task=task))
        weight, count = weight + file.weight, count + 1
    return planned


def in_order(files: Iterable[PlannedFile]) -> list[tuple[int, list[PlannedFile]]]:
    """The tasks with their files, largest first: what is begun last is small, so that the workers end together."""
    tasks: dict[int, list[PlannedFile]] = {}
    for file in files:
        tasks.setdefault(file.task, []).append(file)
    return sorted(tasks.items(), key=lambda task: (-sum(file.weight for file in task[1]), task[0]))


@dataclass(frozen=True, slots=True)
class Covered:
    """What published splits hold of one source."""

    lines: int = 0
    #: Unpacked bytes from its start.
    bytes: int = 0
    #: To its end.
    complete: bool = False


def coverage(splits: Iterable[search_pb2.Split]) -> dict[str, Covered]:
    """By source id. Runs of a source follow each other without a gap, since its splits are published in order."""
    covered: dict[str, Covered] = {}
    for split in splits:
        for run in split.sources:
            before = covered.get(run.source_id, Covered())
            covered[run.source_id] = Covered(
                max(before.lines, run.first_line - 1 + run.line_count),
                max(before.bytes, run.byte_offset + run.byte_count),
                before.complete or run.complete,
            )
    return covered


@dataclass(slots=True)
class Totals:
    """Counts of an import, or of one of its sources."""

    lines: int = 0
    bytes: int = 0
    files: int = 0

    def add(self, lines: int, bytes_: int, files: int) -> None:
        """Adds to all three."""
        self.lines += lines
        self.bytes += bytes_
        self.files += files


@dataclass(slots=True)
class Tally:
    """Totals per source of an import, from what is published. Each run counts once, however often it was tried."""

    #: Source of each file on disk.
    source_of: dict[int, int]
    #: File on disk of sources that an import before began: their ids do not say it.
    file_of: dict[str, int] = field(default_factory=dict)
    #: Whether the end of a source that was begun before counts as a file. Not where that happens again and again.
    count_carried: bool = True
    by_source: dict[int, Totals] = field(default_factory=dict)

    def add_split(self, split: search_pb2.Split) -> None:
        """Counts the runs of a published split."""
        for run in split.sources:
            number = self.file_of.get(run.source_id)
            files = int(run.complete and (self.count_carried or number is None))
            number = file_number(run.source_id) if number is None else number
            self._of(number).add(run.line_count, run.byte_count, files)

    def add_files(self, counts: Mapping[int, int]) -> None:
        """Counts files that were read to their end without a run that says so, as empty ones, by file on disk."""
        carried = frozenset() if self.count_carried else frozenset(self.file_of.values())
        for number, count in counts.items():
            if number not in carried:
                self._of(number).add(0, 0, count)

    @property
    def all(self) -> Totals:
        """Over all sources."""
        total = Totals()
        for one in self.by_source.values():
            total.add(one.lines, one.bytes, one.files)
        return total

    def _of(self, number: int) -> Totals:
        return self.by_source.setdefault(self.source_of.get(number, 0), Totals())


def source_id(import_id: str, file: int, member: int) -> str:
    """Id of a source: unique in the workspace, at most 32 of a-z and 0-9."""
    return f"{import_id}x{file:x}x{member:x}"


def file_number(source: str) -> int:
    """Number of the file on disk in the id of a source."""
    return int(source.split("x")[1], 16)


def member_number(source: str) -> int:
    """Number of the member, within its file on disk, in the id of a source."""
    return int(source.split("x")[2], 16)


def split_id(import_id: str, task: int, ordinal: int) -> str:
    """Id of the split that a task makes as its `ordinal`-th."""
    return f"{import_id}-{task:05d}-{ordinal:05d}"


def split_position(split: str) -> tuple[int, int]:
    """Task and ordinal in the id of a split."""
    _, task, ordinal = split.rsplit("-", 2)
    return int(task), int(ordinal)
