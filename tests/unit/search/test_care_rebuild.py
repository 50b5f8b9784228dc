"""A split that is built again from its lines has the same lines, in the same order, with all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loganalyzer.search.v1 import search_pb2
from services.search.care.frames import FoundFrames
from services.search.care.rebuild import rebuild
from services.search.index import NO_TIME, read_meta, split_path
from services.search.index.frames import FrameReader
from services.search.index.layout import RAW, RAW_TABLE, SCHEMA_VERSION, folder_bytes
from services.search.view import runs_of
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, lines, write_split
from tests.unit.search.versions import as_version_1

rows = st.builds(
    Row,
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")),
    st.just(NO_TIME) | st.integers(EPOCH, EPOCH + 100),
    st.integers(0, 6),
    st.booleans(),
)
runs = st.lists(st.tuples(st.sampled_from(["aa", "bb", "cc"]), st.lists(rows, max_size=5)), max_size=4)


def write(root: Path, *splits: Sequence[tuple[str, Sequence[Row]]]) -> list[search_pb2.Split]:
    """Splits with these runs of sources; each source goes on where it stopped."""
    written: dict[str, tuple[int, int]] = {}
    made = []
    for number, sources in enumerate(splits):
        parts = []
        for source_id, part in sources:
            first, offset = written.get(source_id, (1, 0))
            parts.append(Source(part, source_id, f"{source_id}.log", first_line=first, complete=False))
            written[source_id] = (first + len(part), offset + sum(len(row.raw) + 1 for row in part))
        made.append(write_split(root, parts, split_id=f"s{number}"))
    return made


def content(root: Path, split: search_pb2.Split) -> list[tuple[str, int, bytes, int, int, int]]:
    """Source, number, bytes, time, level and record flag of each line."""
    reader = FrameReader(split_path(root, WORKSPACE, split.id))
    places = [(run.source_id, run.first_line + at) for run in split.sources for at in range(run.line_count)]
    found = [
        (line, when, level, flag)
        for frame in reader
        for line, when, level, flag in zip(
            frame.lines, frame.columns.times, frame.columns.levels, frame.columns.records, strict=True
        )
    ]
    return [(*place, *line) for place, line in zip(places, found, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(runs, min_size=1, max_size=4), st.sampled_from([frozenset(), frozenset({"bb"}), frozenset({"aa", "cc"})])
)
def test_several_splits_become_one_with_the_same_lines_but_those_left_out(
    tmp_path_factory: pytest.TempPathFactory,
    splits: list[list[tuple[str, list[Row]]]],
    without: frozenset[str],
) -> None:
    root = tmp_path_factory.mktemp("splits")
    old = write(root, *splits)
    expected = [line for split in old for line in content(root, split) if line[0] not in without]
    new = rebuild(root, WORKSPACE, old, "new", without=without, heap_bytes=15 << 20)
    if new is None:
        assert not expected
        return
    assert content(root, new) == expected
    assert runs_of([new]) == runs_of(old, without)
    assert new.line_count == len(expected)
    assert new.raw_bytes == sum(len(line[2]) + 1 for line in expected)
    dated = [line[3] for line in expected if line[3] != NO_TIME]
    assert (new.has_times, new.min_time_us, new.max_time_us) == (
        (True, min(dated), max(dated)) if dated else (False, 0, 0)
    )


def test_what_it_replaces_and_how_old_it_is_are_noted(tmp_path: Path) -> None:
    old = write(tmp_path, [("aa", lines("one"))], [("aa", lines("two"))])
    old[0].replaces.append("before")
    new = rebuild(tmp_path, WORKSPACE, old, "new")
    assert new is not None
    assert list(new.replaces) == ["s0", "before", "s1"]
    assert new.create_time == old[1].create_time
    assert new.schema_version == SCHEMA_VERSION
    folder = split_path(tmp_path, WORKSPACE, "new")
    assert read_meta(folder) == new
    assert new.stored_bytes == pytest.approx(folder_bytes(folder), abs=64)


def test_runs_of_a_source_that_follow_each_other_become_one(tmp_path: Path) -> None:
    first = Source(lines("one", "two"), "aa", complete=False)
    old = [
        write_split(tmp_path, [first], split_id="s0"),
        write_split(tmp_path, [Source(lines("three"), "aa", first_line=3)], split_id="s1"),
    ]
    # The second one begins at byte 0 of its source: it is no continuation, whatever its lines say.
    apart = rebuild(tmp_path, WORKSPACE, old, "apart")
    assert apart is not None
    assert [run.line_count for run in apart.sources] == [2, 1]
    old[1].sources[0].byte_offset = old[0].sources[0].byte_count
    together = rebuild(tmp_path, WORKSPACE, old, "together")
    assert together is not None
    (run,) = together.sources
    assert (run.first_line, run.line_count, run.byte_count, run.complete) == (1, 3, 14, True)


def test_an_old_version_is_brought_up(tmp_path: Path) -> None:
    (old,) = write(tmp_path, [("aa", [*lines("one", "two"), Row(b"undated")])])
    before = content(tmp_path, old)
    old = as_version_1(tmp_path, old)
    new = rebuild(tmp_path, WORKSPACE, [old], "new")
    assert new is not None
    assert new.schema_version == SCHEMA_VERSION
    assert content(tmp_path, new) == before
    assert FrameReader(split_path(tmp_path, WORKSPACE, "new")).times(0) is not None


def test_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    old = write(tmp_path, [("aa", lines(*(f"{number:0100d}" for number in range(3000))))])
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        rebuild(tmp_path, WORKSPACE, old, "new", check=stop)
    assert [path.name for path in (tmp_path / WORKSPACE).iterdir()] == ["s0"]


def test_lines_are_found_without_the_table(tmp_path: Path) -> None:
    old = write(tmp_path, [("aa", lines(*(f"{number:0100d}" for number in range(3000))))])
    folder = split_path(tmp_path, WORKSPACE, "s0")
    reader, found = FrameReader(folder), FoundFrames(folder)
    assert len(found) == len(reader) > 2
    for number in range(len(reader)):
        one, other = reader.read(number), found.read(number)
        assert (one.first_row, one.blob, one.columns) == (other.first_row, other.blob, other.columns)
    before = content(tmp_path, old[0])
    (folder / RAW_TABLE).write_bytes(b"nonsense")
    new = rebuild(tmp_path, WORKSPACE, old, "new")
    assert new is not None
    assert content(tmp_path, new) == before


@pytest.mark.parametrize("damage", ["cut off", "missing", "too long"])
def test_lines_that_are_not_whole_are_refused(tmp_path: Path, damage: str) -> None:
    old = write(tmp_path, [("aa", lines(*(f"{number:0100d}" for number in range(3000))))])
    path = split_path(tmp_path, WORKSPACE, "s0") / RAW
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(raw[:-20] if damage == "cut off" else raw + raw)
    with pytest.raises((OSError, ValueError)):
        rebuild(tmp_path, WORKSPACE, old, "new", by_table=False)
    assert [path.name for path in (tmp_path / WORKSPACE).iterdir()] == ["s0"]
