"""Frames of lines: what is written is read, and both versions of their table are."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.search.index import NO_TIME, SCHEMA_VERSION, SUPPORTED
from services.search.index.chunks import Chunk, chunks_of
from services.search.index.frames import FRAME_BYTES, FrameReader, FrameTimes, FrameWriter, LineColumns
from services.search.index.scanner import ScannedSplit
from tests.unit.search.splits import EPOCH, Row, Source, as_version_1, frame_cache, lines, write_split

FRAMES = [
    ([b"one", b"", b"three\r"], [EPOCH + 2, EPOCH, EPOCH + 1], [1, 2, 3]),
    ([b"\xff\x00", b"undated"], [NO_TIME, EPOCH + 9], [0, 8]),
    ([b"x" * (2 * FRAME_BYTES)], [NO_TIME], [5]),
    ([b"before 1970"], [-5], [5]),
]


@pytest.fixture
def reader(tmp_path: Path) -> FrameReader:
    writer = FrameWriter(tmp_path)
    for texts, times, levels in FRAMES:
        blob = b"".join(text + b"\n" for text in texts)
        writer.append(blob, LineColumns(times, levels, bytes(len(texts))))
    writer.finish()
    return FrameReader(tmp_path)


def test_frames_are_read_as_they_were_written(reader: FrameReader) -> None:
    read = [(frame.lines, list(frame.columns.times), list(frame.columns.levels)) for frame in reader]
    assert read == FRAMES
    assert [frame.first_row for frame in reader] == [0, 3, 5, 6]
    assert [reader.frame_of(row) for row in range(7)] == [0, 0, 0, 1, 1, 2, 3]
    assert reader.blob(1) == reader.read(1).blob == b"\xff\x00\nundated\n"
    assert reader.columns(1) == reader.read(1).columns


def test_the_table_knows_lowest_and_highest_time_and_how_many_lines_have_one(reader: FrameReader) -> None:
    assert [reader.times(number) for number in range(4)] == [
        FrameTimes(EPOCH, EPOCH + 2, 3),
        FrameTimes(EPOCH + 9, EPOCH + 9, 1),
        FrameTimes(0, 0, 0),
        FrameTimes(-5, -5, 1),
    ]


def test_frames_of_the_first_version_are_read_without_their_times(tmp_path: Path) -> None:
    split = write_split(tmp_path, [Source(lines("a", "b"))])
    assert split.schema_version == SCHEMA_VERSION == 2
    folder = tmp_path / "default" / "s1"
    new = [(frame.lines, frame.columns) for frame in FrameReader(folder)]
    assert as_version_1(folder).schema_version in SUPPORTED
    reader = FrameReader(folder)
    assert (reader.version, reader.times(0)) == (1, None)
    assert [(frame.lines, frame.columns) for frame in reader] == new


@pytest.mark.parametrize("cut", [1, 9])
def test_a_table_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    write_split(tmp_path, [Source(lines("a", "b"))])
    table = tmp_path / "default" / "s1" / "raw.idx"
    table.write_bytes(table.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="damaged"):
        FrameReader(table.parent)


def test_a_table_that_counts_other_lines_is_noticed(tmp_path: Path) -> None:
    write_split(tmp_path, [Source(lines("a", "b"))])
    table = tmp_path / "default" / "s1" / "raw.idx"
    content = bytearray(table.read_bytes())
    content[8 + 8] += 1
    table.write_bytes(content)
    reader = FrameReader(table.parent)
    with pytest.raises(ValueError, match="says 3"):
        reader.read(0)
    with pytest.raises(ValueError, match="their table says"):
        _ = Chunk(reader, [0]).ends


def test_a_chunk_puts_frames_side_by_side(reader: FrameReader) -> None:
    chunk = Chunk(reader, [0, 3])
    assert (len(chunk), chunk.rows.tolist(), chunk.levels.tolist()) == (4, [0, 1, 2, 6], [1, 2, 3, 5])
    assert chunk.times.tolist() == [EPOCH + 2, EPOCH, EPOCH + 1, -5]
    assert [chunk.line(at) for at in range(4)] == [b"one", b"", b"three\r", b"before 1970"]
    # A line feed belongs to the line that it ends.
    assert chunk.lines_at([0, 3, 4, 5, 10, 13]).tolist() == [0, 0, 1, 2, 2, 3]


def test_chunks_begin_small_and_keep_the_order_in_which_frames_are_wanted(reader: FrameReader) -> None:
    chunks = [chunk.numbers for chunk in chunks_of(reader, [3, 2, 0, 1], first_bytes=1)]
    assert chunks == [[3], [2], [0], [1]]
    assert [chunk.numbers for chunk in chunks_of(reader, [3, 2, 0, 1])] == [[0, 1, 2, 3]]


def test_lines_are_fetched_in_any_order_and_each_frame_is_unpacked_once(tmp_path: Path) -> None:
    rows = [Row(b"%d " % number + b"x" * 400, EPOCH + number) for number in range(1_000)]
    write_split(tmp_path, [Source(rows[:300]), Source(rows[300:], "bb", "b.log")])
    split = ScannedSplit(tmp_path / "default" / "s1", frame_cache())
    wanted = [(37 * number) % 1_000 for number in range(1_000)]
    read: list[int] = []
    assert split.lines(wanted, lambda: read.append(1)) == [split.line(row) for row in wanted]
    assert len(read) == len(FrameReader(split.folder)) > 5
