"""What a split writer leaves on disk, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.index import NO_TIME, SplitWriter, read_meta, split_path
from services.search.index.engine import TantivySplit
from services.search.index.frames import FRAME_BYTES
from services.search.index.layout import SCHEMA_VERSION
from tests.unit.search.splits import EPOCH, Row, Source, frame_cache, lines, write_split


def test_the_message_describes_the_split_and_lies_beside_it(tmp_path: Path) -> None:
    rows = [Row(b"abc", EPOCH + 5), Row(b""), Row(b"de", EPOCH)]
    split = write_split(tmp_path, [Source(rows, first_line=11), Source([], "bb", "empty.log")])
    assert (split.id, split.schema_version, split.line_count, split.raw_bytes) == ("s1", SCHEMA_VERSION, 3, 8)
    assert (split.has_times, split.min_time_us, split.max_time_us) == (True, EPOCH, EPOCH + 5)
    assert [(run.source_id, run.first_line, run.line_count, run.complete) for run in split.sources] == [
        ("aa", 11, 3, True),
        ("bb", 1, 0, True),
    ]
    assert split.sources[0].byte_count == 8
    assert split.HasField("create_time")
    assert read_meta(split_path(tmp_path, "default", "s1")) == split


def test_a_split_without_times_says_so(tmp_path: Path) -> None:
    split = write_split(tmp_path, [Source([Row(b"x")])])
    assert (split.has_times, split.min_time_us, split.max_time_us) == (False, 0, 0)


def test_nothing_has_the_splits_name_before_it_is_finished(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "default", "s1", heap_bytes=15 << 20)
    writer.add_source(source_id="a", name="a", import_name="i", first_line=1, byte_offset=0)
    writer.add_lines([b"x"], [NO_TIME], [0], b"\1")
    assert [path.name for path in (tmp_path / "default").iterdir()] == [".tmp-s1"]
    writer.abort()
    assert list((tmp_path / "default").iterdir()) == []


def test_leftovers_of_an_earlier_try_and_a_finished_split_are_replaced(tmp_path: Path) -> None:
    leftover = tmp_path / "default" / ".tmp-s1" / "index"
    leftover.mkdir(parents=True)
    (leftover / "meta.json").write_text("from a process that was killed")
    write_split(tmp_path, [Source(lines("first"))])
    write_split(tmp_path, [Source(lines("second", "try"))])
    assert [path.name for path in (tmp_path / "default").iterdir()] == ["s1"]
    assert TantivySplit(split_path(tmp_path, "default", "s1"), frame_cache()).line(0).raw == b"second"


@given(
    sizes=st.lists(st.integers(min_value=0, max_value=FRAME_BYTES * 2), min_size=1, max_size=8), batch=st.integers(1, 4)
)
@settings(max_examples=25, deadline=None)
def test_lines_of_any_size_are_read_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], batch: int
) -> None:
    root = tmp_path_factory.mktemp("sizes")
    raws = [bytes([33 + number]) * size for number, size in enumerate(sizes)]
    writer = SplitWriter(root, "default", "s1", heap_bytes=15 << 20)
    writer.add_source(source_id="a", name="a", import_name="i", first_line=1, byte_offset=0)
    for at in range(0, len(raws), batch):
        part = raws[at : at + batch]
        writer.add_lines(part, range(at, at + len(part)), bytes(len(part)), b"\1" * len(part))
    writer.end_source(complete=True, byte_count=0)
    assert writer.raw_bytes == sum(sizes) + len(sizes)
    writer.finish()
    split = TantivySplit(root / "default" / "s1", frame_cache())
    found = [split.line(row) for row in range(len(raws))]
    assert [line.raw for line in found] == raws
    assert [line.time for line in found] == list(range(len(raws)))
    assert [line.number for line in found] == list(range(1, len(raws) + 1))


def test_records_are_found_over_frames_but_not_beyond_the_run(tmp_path: Path) -> None:
    big = b"y" * FRAME_BYTES
    rows = [Row(b"open", starts=False), Row(b"start"), *[Row(big, starts=False) for _ in range(3)], Row(b"next")]
    write_split(tmp_path, [Source(lines("a", "b")), Source(rows, "bb", first_line=100)])
    split = TantivySplit(tmp_path / "default" / "s1", frame_cache())
    assert [split.line(row).record_number for row in range(8)] == [1, 2, None, 101, 101, 101, 101, 105]


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "default", "s1", heap_bytes=15 << 20)
    with pytest.raises(ValueError, match="add_source comes first"):
        writer.add_lines([], [], [], b"")
    with pytest.raises(ValueError, match="not a source id"):
        writer.add_source(source_id="A-1", name="a", import_name="i", first_line=1, byte_offset=0)
    with pytest.raises(ValueError, match="counted from"):
        writer.add_source(source_id="a", name="a", import_name="i", first_line=0, byte_offset=0)
    writer.add_source(source_id="a", name="a", import_name="i", first_line=1, byte_offset=0)
    with pytest.raises(ValueError, match="differ in length"):
        writer.add_lines([b"x"], [], [0], b"\1")
    with pytest.raises(ValueError, match="has not ended"):
        writer.finish()
    with pytest.raises(ValueError, match="has not ended"):
        writer.add_source(source_id="b", name="b", import_name="i", first_line=1, byte_offset=0)
    writer.end_source(complete=True, byte_count=0)
    with pytest.raises(ValueError, match="no source to end"):
        writer.end_source(complete=True, byte_count=0)
    writer.abort()


@pytest.mark.parametrize(
    ("workspace", "split_id"), [("..", "s1"), ("Default", "s1"), ("default", "../x"), ("default", "")]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, workspace: str, split_id: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        SplitWriter(tmp_path, workspace, split_id)


def test_a_worker_that_writes_splits_loads_no_grpc() -> None:
    code = "import sys, services.search.index; print([name for name in ('grpc', 'sqlalchemy') if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert found.stdout.strip() == "[]"
