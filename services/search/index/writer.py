"""Builds one split. Used by the importer's worker processes, one writer each."""

from __future__ import annotations

import contextlib
import re
import time
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, count
from pathlib import Path

import tantivy

from loganalyzer.search.v1 import search_pb2
from services.search.index.frames import FRAME_BYTES, FrameWriter, LineColumns
from services.search.index.layout import (
    INDEX,
    SCHEMA_VERSION,
    folder_bytes,
    remove_tree,
    split_path,
    sync_folder,
    temporary_path,
    write_meta,
)
from services.search.index.schema import ANALYZER, BODY, LEVEL, ROW, TIME, create_index
from services.search.index.terms import normalise_blob

__all__ = ["NO_TIME", "SplitWriter"]

#: Time of a line that has none.
NO_TIME: int = -(2**63)

_SOURCE_ID = re.compile(r"[a-z0-9]{1,32}")


class SplitWriter:
    """Builds one split alone. Not safe for threads.

    Sources are added one after the other: `add_source`, then any number of `add_lines`, then `end_source`. Nothing of
    the split is visible under its own name before `finish` has put everything on disk. `root` is the folder of all
    splits; `heap_bytes` is the memory for terms that are not on disk yet (at least 15 MB).
    """

    def __init__(self, root: Path, workspace: str, split_id: str, *, heap_bytes: int = 48 << 20) -> None:
        self._final = split_path(root, workspace, split_id)
        self._folder = temporary_path(root, workspace, split_id)
        remove_tree(self._folder)
        (self._folder / INDEX).mkdir(parents=True)
        self._split = search_pb2.Split(id=split_id, schema_version=SCHEMA_VERSION)
        self._index = create_index(self._folder / INDEX)
        # What `normalise_blob` gives has its terms apart by spaces and in lower case: the quickest tokenizer will do.
        self._index.register_tokenizer(ANALYZER, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
        self._writer = self._index.writer(heap_bytes, 1)
        self._frames = FrameWriter(self._folder)
        self._run: search_pb2.SplitSource | None = None
        self._lines: list[bytes] = []
        self._times: list[int] = []
        self._levels = bytearray()
        self._records = bytearray()
        self._pending_bytes = 0
        self._rows = 0
        #: Bytes of the lines so far, a line feed counted for each.
        self.raw_bytes = 0
        self.line_count = 0

    def add_source(self, *, source_id: str, name: str, import_name: str, first_line: int, byte_offset: int) -> None:
        """Begins a run: the lines that follow belong to it, the first being line `first_line` (from 1) of the source.

        `source_id` is 1 to 32 of a-z and 0-9; `byte_offset` is where the run begins in the unpacked source.
        """
        if self._run is not None:
            raise ValueError(f"source {self._run.name!r} has not ended")
        if not _SOURCE_ID.fullmatch(source_id):
            raise ValueError(f"not a source id: {source_id!r}")
        if first_line < 1 or byte_offset < 0:
            raise ValueError("lines are counted from 1 and bytes from 0")
        self._run = search_pb2.SplitSource(
            source_id=source_id, name=name, import_name=import_name, first_line=first_line, byte_offset=byte_offset
        )

    def add_lines(
        self, lines: Sequence[bytes], times: Sequence[int], levels: Sequence[int], records: Sequence[int] | bytes
    ) -> None:
        """Adds lines to the run, as columns of equal length.

        Lines come without their line feed. Times are microseconds since 1970 UTC, or NO_TIME; levels are numbers of
        loganalyzer.search.v1.Level; a record flag is 1 where the line starts a record, 0 where it continues one.
        """
        if self._run is None:
            raise ValueError("add_source comes first")
        if not len(lines) == len(times) == len(levels) == len(records):
            raise ValueError("the columns differ in length")
        size = sum(map(len, lines)) + len(lines)
        self._lines += lines
        self._times += times
        self._levels += bytes(levels)
        self._records += bytes(records)
        self._run.line_count += len(lines)
        self.line_count += len(lines)
        self.raw_bytes += size
        self._pending_bytes += size
        if self._pending_bytes >= FRAME_BYTES:
            self._cut_frames()

    def end_source(self, *, complete: bool, byte_count: int) -> None:
        """Ends the run. `byte_count` is its size in the unpacked source; `complete` says that the source ends here."""
        if self._run is None:
            raise ValueError("there is no source to end")
        self._run.complete, self._run.byte_count = complete, byte_count
        self._split.sources.append(self._run)
        self._run = None

    def finish(self) -> search_pb2.Split:
        """Puts everything on disk, then gives the split its name. A folder of that name is replaced."""
        if self._run is not None:
            raise ValueError(f"source {self._run.name!r} has not ended")
        self._flush_all()
        self._frames.finish()
        self._writer.commit()
        self._writer.wait_merging_threads()
        split = self._split
        split.line_count, split.raw_bytes = self.line_count, self.raw_bytes
        split.create_time.FromMicroseconds(time.time_ns() // 1000)
        for lock in (self._folder / INDEX).glob("*.lock"):
            lock.unlink()
        write_meta(self._folder, split)
        # The size of the meta file is part of the sum that it holds: once more, with the digits in place.
        split.stored_bytes = folder_bytes(self._folder)
        write_meta(self._folder, split)
        sync_folder(self._folder / INDEX)
        sync_folder(self._folder)
        if self._final.exists():
            old = self._final.with_name(f".old-{self._final.name}")
            remove_tree(old)
            self._final.rename(old)
            self._folder.rename(self._final)
            remove_tree(old)
        else:
            self._folder.rename(self._final)
        sync_folder(self._final.parent)
        return split

    def flush(self) -> None:
        """Ends the frame and the engine's segment. Not needed; more segments make searching slower."""
        self._flush_all()
        self._writer.commit()

    def abort(self) -> None:
        """Removes everything, whatever state it is in: on a full disk closing a file fails as writing to it did."""
        for give_up in (self._frames.abort, self._writer.rollback):
            with contextlib.suppress(Exception):
                give_up()
        remove_tree(self._folder)

    def _cut_frames(self) -> None:
        """Writes full frames and keeps the rest."""
        ends = list(accumulate(map(len, self._lines)))
        start, before = 0, 0
        while self._pending_bytes >= FRAME_BYTES:
            # The first row with which the frame is full, counting a line feed for each line.
            row = bisect_left(range(len(ends)), before + FRAME_BYTES, lo=start, key=lambda at: ends[at] + at + 1)
            self._flush(start, row + 1)
            start, before = row + 1, ends[row] + row + 1
        self._drop(start)

    def _drop(self, rows: int) -> None:
        del self._lines[:rows], self._times[:rows], self._levels[:rows], self._records[:rows]

    def _flush_all(self) -> None:
        if self._lines:
            self._flush(0, len(self._lines))
            self._drop(len(self._lines))

    def _flush(self, start: int, end: int) -> None:
        """Writes and indexes pending lines `start` to `end`."""
        lines, times = self._lines[start:end], self._times[start:end]
        levels, records = bytes(self._levels[start:end]), bytes(self._records[start:end])
        blob = b"\n".join(lines) + b"\n"
        self._pending_bytes -= len(blob)
        self._note_times(times)
        self._frames.append(blob, LineColumns(times, levels, records))
        text = normalise_blob(blob)
        if not text.isascii():
            text = text.lower()
        # An import spends its time in this loop: what can be done for a whole frame is done outside of it. Making all
        # documents first, or from a dict, or as JSON, was slower.
        add, make = self._writer.add_document, tantivy.Document
        try:
            for terms, when, row, level in zip(text.split("\n"), times, count(self._rows), levels, strict=False):
                document = make()
                document.add_text(BODY, terms)
                if when != NO_TIME:
                    document.add_integer(TIME, when)
                document.add_unsigned(ROW, row)
                document.add_unsigned(LEVEL, level)
                add(document)
        except ValueError:
            self._writer.commit()  # tells what has stopped the engine's thread: no room on the disk, say
            raise
        self._rows += end - start

    def _note_times(self, times: list[int]) -> None:
        low, high = min(times), max(times)
        if low == NO_TIME:
            dated = [when for when in times if when != NO_TIME]
            if not dated:
                return
            low = min(dated)
        split = self._split
        if split.has_times:
            low, high = min(low, split.min_time_us), max(high, split.max_time_us)
        split.has_times, split.min_time_us, split.max_time_us = True, low, high
