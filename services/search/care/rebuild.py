"""Builds a split again from its lines: to join several into one, to leave out deleted sources, to bring one of an older
version up, and to replace an index that is damaged.

Nothing is parsed again: times, levels and record flags come from the frames, and lines keep their order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from loganalyzer.search.v1 import search_pb2
from services.search.care.frames import Frames, open_frames
from services.search.index import SplitWriter
from services.search.index.frames import Frame
from services.search.index.layout import folder_bytes, split_path, sync_folder, write_meta

__all__ = ["HEAP_BYTES", "proceed", "rebuild"]

#: Memory for terms that are not on disk yet.
HEAP_BYTES = 64 << 20


def proceed() -> None:
    """Goes on."""


def rebuild(
    root: Path,
    workspace: str,
    old: Sequence[search_pb2.Split],
    split_id: str,
    *,
    without: Collection[str] = (),
    by_table: bool = True,
    check: Callable[[], None] = proceed,
    heap_bytes: int = HEAP_BYTES,
) -> search_pb2.Split | None:
    """The split `split_id` with the lines of `old` in their order, on disk but known to nobody yet.

    `old` are the messages of the catalogue: what their folders say of themselves is not believed. Lines of the sources
    `without` are left out; None where no line is left. With `by_table` False the tables of the frames are not believed
    either. `check` is called for each frame and may raise to stop: nothing is left then. Raises what reading frames
    raises, and ValueError where the lines are not those that `old` names.
    """
    runs = [run for run in _runs(old) if run.message.source_id not in without]
    if not runs:
        return None
    writer = SplitWriter(root, workspace, split_id, heap_bytes=heap_bytes)
    try:
        with contextlib.ExitStack() as opened:
            readers: list[Frames] = []
            for split in old:
                readers.append(open_frames(split_path(root, workspace, split.id), split.line_count, by_table=by_table))
                opened.callback(readers[-1].close)
            _copy(writer, runs, readers, check)
        new = writer.finish()
    except BaseException:
        writer.abort()
        raise
    return _described(root, workspace, new, old)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of one of the old splits: rows [first, end) of split number `split`."""

    message: search_pb2.SplitSource
    split: int
    first: int
    end: int


def _runs(old: Sequence[search_pb2.Split]) -> Iterator[_Run]:
    for number, split in enumerate(old):
        row = 0
        for message in split.sources:
            yield _Run(message, number, row, row + message.line_count)
            row += message.line_count


def _copy(writer: SplitWriter, runs: Sequence[_Run], readers: Sequence[Frames], check: Callable[[], None]) -> None:
    previous: search_pb2.SplitSource | None = None
    size = 0
    frames = _Frames(readers, check)
    for run in runs:
        message = run.message
        if previous is None or not _follows(previous, size, message):
            if previous is not None:
                writer.end_source(complete=previous.complete, byte_count=size)
            writer.add_source(
                source_id=message.source_id,
                name=message.name,
                import_name=message.import_name,
                first_line=message.first_line,
                byte_offset=message.byte_offset,
            )
            size, previous = 0, search_pb2.SplitSource()
            previous.CopyFrom(message)
        else:
            previous.line_count += message.line_count
            previous.complete = message.complete
        size += message.byte_count
        for frame in frames.of(run):
            low, high = max(run.first - frame.first_row, 0), min(run.end - frame.first_row, len(frame.lines))
            columns = frame.columns
            writer.add_lines(
                frame.lines[low:high], columns.times[low:high], columns.levels[low:high], columns.records[low:high]
            )
    if previous is not None:
        writer.end_source(complete=previous.complete, byte_count=size)


def _follows(run: search_pb2.SplitSource, size: int, other: search_pb2.SplitSource) -> bool:
    """Whether `other` goes on where `run`, of `size` bytes so far, stops: together they are one run."""
    return (
        (other.source_id, other.name, other.import_name) == (run.source_id, run.name, run.import_name)
        and other.first_line == run.first_line + run.line_count
        and other.byte_offset == run.byte_offset + size
        and not run.complete
    )


class _Frames:
    """Reads frames in order; the last one is kept, since the next run may begin in it."""

    def __init__(self, readers: Sequence[Frames], check: Callable[[], None]) -> None:
        self._readers = readers
        self._check = check
        self._last: tuple[int, int, Frame] | None = None

    def of(self, run: _Run) -> Iterator[Frame]:
        """The frames with lines of a run."""
        if run.first == run.end:
            return
        reader = self._readers[run.split]
        for number in range(reader.frame_of(run.first), reader.frame_of(run.end - 1) + 1):
            if self._last is None or self._last[:2] != (run.split, number):
                self._check()
                self._last = (run.split, number, reader.read(number))
            yield self._last[2]


def _described(
    root: Path, workspace: str, split: search_pb2.Split, old: Sequence[search_pb2.Split]
) -> search_pb2.Split:
    """Notes what the split replaces, and that its lines are as old as they were: nobody knows of it yet."""
    folder = split_path(root, workspace, split.id)
    newest = max((each.create_time for each in old), key=lambda time: time.ToMicroseconds())
    split.create_time.CopyFrom(newest if newest.ToMicroseconds() else Timestamp())
    split.replaces.extend(identifier for each in old for identifier in (each.id, *each.replaces))
    write_meta(folder, split)
    split.stored_bytes = folder_bytes(folder)
    write_meta(folder, split)
    sync_folder(folder)
    return split
