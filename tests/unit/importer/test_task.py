"""A worker's task, with splits that only remember, and cut short at every possible place."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from loganalyzer.importer.v1 import importer_pb2
from loganalyzer.search.v1 import search_pb2
from services.importer.messages import Message, TaskSpec
from services.importer.planning import coverage
from services.importer.reading import Limits, LineBlocks, Reason
from services.importer.task import Task, TaskCancelled
from services.importer.task_tail import TailBatches


@dataclass
class MemorySplit:
    """A SplitWriter that keeps lines."""

    split_id: str
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    raw_bytes: int = 0
    line_count: int = 0
    aborted: bool = False

    def __post_init__(self) -> None:
        self.split = search_pb2.Split(id=self.split_id)

    def add_source(self, *, source_id: str, name: str, import_name: str, first_line: int, byte_offset: int) -> None:
        self.split.sources.add(
            source_id=source_id, name=name, import_name=import_name, first_line=first_line, byte_offset=byte_offset
        )

    def add_lines(
        self, lines: Sequence[bytes], times: Sequence[int], levels: Sequence[int], records: Sequence[int] | bytes
    ) -> None:
        assert len(lines) == len(times) == len(levels) == len(records)
        run = self.split.sources[-1]
        self.lines.setdefault(run.source_id, []).extend(lines)
        self.times += times
        self.records += records
        run.line_count += len(lines)
        self.line_count += len(lines)
        self.raw_bytes += sum(map(len, lines)) + len(lines)

    def end_source(self, *, complete: bool, byte_count: int) -> None:
        self.split.sources[-1].complete, self.split.sources[-1].byte_count = complete, byte_count

    def finish(self) -> search_pb2.Split:
        return self.split

    def abort(self) -> None:
        self.aborted = True


class Killed(Exception):  # noqa: N818 - not an error
    """Stands for a process that ends."""


class Desk:
    """The importer's side: takes splits, and kills the worker before or after a given one."""

    def __init__(self, folder: Path, *, split_bytes: int = 1000, limits: Limits | None = None) -> None:
        self.folder = folder
        self.split_bytes = split_bytes
        self.limits = limits
        self.open: list[MemorySplit] = []
        self.published: list[MemorySplit] = []
        self.cursor: tuple[str, dict[str, Any]] | None = None
        self.messages: list[Message] = []
        self.cancelled = False
        self.flush_asked = False
        self.tailed = False
        self.takes = True
        self.kill_at: int | None = None
        self.now = 0.0
        #: Seconds that go by whenever the time is asked for.
        self.tick = 0.0

    # The port.

    def send(self, message: Message) -> None:
        if message["op"] == "split":
            if self.kill_at is not None and len(self.published) >= self.kill_at:
                raise Killed
            self.published.append(self.open[-1])
            self.cursor = message["cursor"]
        self.messages.append(message)

    def offer(self, message: Message) -> bool:
        if self.takes:
            self.messages.append(message)
        return self.takes

    def wait_for_ack(self) -> None:
        pass

    def split(self, root: Path, workspace: str, split_id: str) -> MemorySplit:
        self.open.append(MemorySplit(split_id))
        return self.open[-1]

    def clock(self) -> float:
        self.now += self.tick
        return self.now

    def told(self, op: str) -> list[Message]:
        return [message for message in self.messages if message["op"] == op]

    def spec(self, *paths: Path) -> TaskSpec:
        covered = coverage(split.split for split in self.published)
        spec = TaskSpec(
            import_id="abc",
            import_name="workspaces/default/imports/abc",
            workspace="default",
            splits=str(self.folder),
            number=0,
            ordinal=len(self.published),
            files=[(number, path.name, str(path)) for number, path in enumerate(paths)],
            covered={source: (one.lines, one.bytes, one.complete) for source, one in covered.items()},
            cursor=self.cursor,
        )
        assert TaskSpec.from_message(spec.to_message()) == spec
        return spec

    def run(self, *paths: Path) -> None:
        Task(
            self.spec(*paths), self, self.split, limits=self.limits, split_bytes=self.split_bytes, now=self.clock
        ).run()

    # What came of it.

    def lines(self) -> dict[str, list[bytes]]:
        merged: dict[str, list[bytes]] = {}
        for split in self.published:
            for source, lines in split.lines.items():
                merged.setdefault(source, []).extend(lines)
        return merged

    def times(self) -> list[int]:
        return [time for split in self.published for time in split.times]

    @property
    def done(self) -> Message:
        return next(message for message in self.messages if message["op"] == "done")

    @property
    def errors(self) -> list[tuple[str, int, int]]:
        return [(one["path"], one["reason"], one["line"]) for one in self.messages if one["op"] == "error"]


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    lines = [f"2024-01-01 10:{n // 60:02}:{n % 60:02} INFO line {n}" + ("\n  at more" * (n % 3)) for n in range(200)]
    (tmp_path / "a.log").write_text("\n".join(lines))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress("\n".join(lines[:80]).encode() + b"\n"))
    (tmp_path / "empty.log").write_bytes(b"")
    (tmp_path / "cut.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-100])
    (tmp_path / "picture.log").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return [tmp_path / name for name in ("a.log", "b.log.gz", "empty.log", "cut.gz", "picture.log")]


def counted(desk: Desk) -> tuple[int, int, int]:
    """Lines, bytes and files, as the importer counts them."""
    runs = [run for split in desk.published for run in split.split.sources]
    files = sum(run.complete for run in runs) + sum(desk.done["files"].values())
    return sum(run.line_count for run in runs), sum(run.byte_count for run in runs), files


def test_a_task_reads_every_file_and_tells_what_was_wrong(tmp_path: Path, logs: list[Path]) -> None:
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.run(*logs)
    [split] = desk.published
    assert split.lines["abcx0x0"] == logs[0].read_bytes().split(b"\n")
    assert split.split.sources[0].byte_count == logs[0].stat().st_size
    assert desk.done["files"] == {"2": 1}
    cut = len(split.lines["abcx3x0"])
    assert desk.errors == [("cut.gz", Reason.DAMAGED, cut), ("picture.log", Reason.BINARY, 0)]
    assert [(run.source_id, run.complete) for run in split.split.sources] == [
        ("abcx0x0", True),
        ("abcx1x0", True),
        ("abcx3x0", False),
    ]


def test_splits_are_cut_before_a_record(tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 97)
    desk = Desk(tmp_path, split_bytes=500)
    desk.run(logs[0])
    assert len(desk.published) > 5
    assert all(split.records[0] == 1 for split in desk.published)
    assert desk.lines()["abcx0x0"] == logs[0].read_bytes().split(b"\n")
    runs = [run for split in desk.published for run in split.split.sources]
    for before, after in pairwise(runs):
        assert after.first_line == before.first_line + before.line_count
        assert after.byte_offset == before.byte_offset + before.byte_count
    assert [run.complete for run in runs] == [False] * (len(runs) - 1) + [True]


def test_a_worker_killed_at_any_split_leaves_nothing_twice_and_nothing_out(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 97)
    whole = Desk(tmp_path)
    whole.run(*logs)
    assert len(whole.published) > 10
    for kill_at in range(len(whole.published)):
        desk = Desk(tmp_path)
        desk.kill_at = kill_at
        with pytest.raises(Killed):
            desk.run(*logs)
        desk.kill_at = None
        desk.messages.clear()
        desk.run(*logs)
        assert desk.lines() == whole.lines()
        assert desk.times() == whole.times()
        assert counted(desk) == counted(whole)
        assert desk.errors == whole.errors


def test_a_cancelled_task_leaves_no_open_split(tmp_path: Path, logs: list[Path]) -> None:
    desk = Desk(tmp_path)
    desk.cancelled = True
    with pytest.raises(TaskCancelled):
        desk.run(*logs)
    assert all(split.aborted for split in desk.open)
    assert not desk.published


def test_progress_is_told_with_what_is_not_in_a_split_yet(tmp_path: Path, logs: list[Path]) -> None:
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.tick = 0.2
    (tmp_path / "default" / "abc-00007-00000").mkdir(parents=True)  # not the first lines of the import
    desk.run(*logs[:2])
    last = [message for message in desk.messages if message["op"] == "progress"][-1]
    assert (last["lines"], last["files"]) == (sum(map(len, desk.lines().values())), 2)
    assert last["disk"] == logs[0].stat().st_size + logs[1].stat().st_size


def test_a_split_has_no_more_runs_than_a_message_can_carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.importer.task._SPLIT_RUNS", 3)
    paths = [tmp_path / f"{number}.log" for number in range(8)]
    for path in paths:
        path.write_text("a\n")
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.run(*paths)
    assert [len(split.split.sources) for split in desk.published] == [3, 3, 2]


def test_names_that_are_no_text_are_shown_as_well_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.log"
    path.write_text("a\n")
    desk = Desk(tmp_path)
    desk.run(path)
    assert desk.published[0].split.sources[0].name == "caf�.log"


def without(message: Message, *keys: str) -> Message:
    return {key: value for key, value in message.items() if key not in keys}


def test_each_source_is_told_with_what_is_known_of_it(tmp_path: Path, logs: list[Path]) -> None:
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.run(*logs)
    told = desk.told("source")
    assert [(one["id"], one["complete"]) for one in told] == [
        ("abcx0x0", True),
        ("abcx1x0", True),
        ("abcx2x0", True),
        ("abcx3x0", False),
    ]
    first = told[0]
    ten = 1_704_103_200_000_000
    assert without(first, "state", "sha256") == {
        "op": "source",
        "id": "abcx0x0",
        "name": "a.log",
        "file": 0,
        "lines": logs[0].read_bytes().count(b"\n") + 1,
        "bytes": logs[0].stat().st_size,
        "low": ten,
        "high": ten + 199_000_000,
        "format": "iso",
        "encoding": "utf-8",
        "levels": {"3": 200, "0": logs[0].read_bytes().count(b"at more")},
        "complete": True,
    }
    assert first["sha256"] == hashlib.sha256(logs[0].read_bytes()).hexdigest()
    assert told[1]["sha256"] == hashlib.sha256(gzip.decompress(logs[1].read_bytes())).hexdigest()
    assert (told[2]["lines"], told[2]["format"], told[2]["low"], told[2]["high"]) == (0, "", None, None)
    assert told[3]["sha256"] == ""


def test_what_is_known_of_a_source_is_the_same_after_any_number_of_tries(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 97)
    whole = Desk(tmp_path)
    whole.run(logs[0])
    [told] = whole.told("source")
    assert told["sha256"]
    for kill_at in range(len(whole.published)):
        desk = Desk(tmp_path)
        desk.kill_at = kill_at
        with pytest.raises(Killed):
            desk.run(logs[0])
        if kill_at == 0:
            continue
        desk.kill_at = None
        desk.messages.clear()
        desk.run(logs[0])
        if not desk.told("source"):  # its end was published
            continue
        [again] = desk.told("source")
        assert without(again, "sha256", "state") == without(told, "sha256", "state")
        assert again["sha256"] == "", "it was not read in one go"


def test_a_byte_order_mark_is_counted_and_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "marked.log"
    path.write_bytes(b"\xef\xbb\xbfa\nb")
    desk = Desk(tmp_path)
    desk.run(path)
    [run] = desk.published[0].split.sources
    assert desk.lines()["abcx0x0"] == [b"a", b"b"]
    assert run.byte_count == desk.told("source")[0]["bytes"] == 6
    assert desk.told("source")[0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_line_over_the_limit_is_told_and_what_follows_has_its_number_and_place(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_bytes(b"a\n" + b"x" * 100 + b"\nlast\n")
    desk = Desk(tmp_path, limits=Limits(line_bytes=10))
    desk.run(path)
    assert desk.lines()["abcx0x0"] == [b"a", b"x" * 10, b"last"]
    assert desk.errors == [("long.log", Reason.LIMIT, 2)]
    assert sum(run.byte_count for split in desk.published for run in split.split.sources) == path.stat().st_size


def test_what_was_read_is_handed_over_when_the_importer_asks(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 97)
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.flush_asked = True
    desk.run(logs[0])
    assert [split.line_count for split in desk.published] == [3, len(desk.lines()["abcx0x0"]) - 3]
    assert desk.lines()["abcx0x0"] == logs[0].read_bytes().split(b"\n")
    assert not desk.flush_asked


@pytest.mark.parametrize(("seconds", "slow"), [(0.3, True), (0.01, False)])
def test_lines_of_a_slow_source_do_not_wait_for_a_full_split(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch, seconds: float, slow: bool
) -> None:
    desk = Desk(tmp_path, split_bytes=1 << 20)

    class SlowBlocks(LineBlocks):
        def __iter__(self) -> Iterator[list[bytes]]:
            for lines in super().__iter__():
                desk.now += seconds
                yield lines

    monkeypatch.setattr("services.importer.task_run.LineBlocks", SlowBlocks)
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 397)
    desk.tick = 0.02
    (tmp_path / "default" / "abc-00007-00000").mkdir(parents=True)
    desk.run(logs[0])
    assert (len(desk.published) > 3) == slow
    assert desk.lines()["abcx0x0"] == logs[0].read_bytes().split(b"\n")


@pytest.mark.parametrize(("begun", "splits"), [(False, 2), (True, 1)])
def test_the_first_lines_of_an_import_are_handed_over_early(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch, begun: bool, splits: int
) -> None:
    if begun:  # another task of the import
        (tmp_path / "default" / "abc-00007-00000").mkdir(parents=True)
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 97)
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.tick = 0.05
    desk.run(logs[0])
    assert len(desk.published) == splits


def test_lines_are_shown_as_they_are_read_and_a_gap_where_there_was_no_time(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 97)
    desk = Desk(tmp_path, split_bytes=1 << 20)
    desk.tailed = True
    desk.run(logs[0])
    batches = [importer_pb2.ParsedLines.FromString(base64.b64decode(one["lines"])) for one in desk.told("lines")]
    assert [line for batch in batches for line in batch.lines] == desk.lines()["abcx0x0"]
    assert [time for batch in batches for time in batch.times_us] == desk.times()
    assert list(b"".join(batch.records for batch in batches)) == desk.published[0].records
    assert [batch.first_line for batch in batches][:2] == [1, 1 + len(batches[0].lines)]
    assert not any(batch.gap for batch in batches)


def test_a_tail_that_nobody_reads_is_dropped_and_that_is_told() -> None:
    desk = Desk(Path("unused"))
    desk.tailed, desk.takes = True, False
    tail = TailBatches(desk, desk.clock)
    tail.add("abc", "a.log", 1, [b"lost"], [5], b"\0", b"\1")
    desk.takes = True
    tail.add("abc", "a.log", 2, [b"kept"], [6], b"\0", b"\1")
    tail.add("abc", "a.log", 3, [b"next"], [6], b"\0", b"\1")
    batches = [importer_pb2.ParsedLines.FromString(base64.b64decode(one["lines"])) for one in desk.told("lines")]
    assert [(batch.first_line, list(batch.lines), batch.gap) for batch in batches] == [
        (2, [b"kept"], True),
        (3, [b"next"], False),
    ]


def test_a_tail_takes_no_more_time_than_it_may() -> None:
    desk = Desk(Path("unused"))
    desk.tailed = True
    tail = TailBatches(desk, desk.clock)
    line = b"x" * 100
    for _ in range(8):
        tail.add("abc", "a.log", 1, [line] * 10_000, [0] * 10_000, bytes(10_000), bytes(10_000))
    sizes = [len(one["lines"]) for one in desk.told("lines")]
    assert sum(sizes) < 2_000_000 < sum(sizes) + 800_000
    assert max(sizes) < 256 << 10
    desk.now += 1.0
    tail.add("abc", "a.log", 1, [line], [0], b"\0", b"\0")
    batch = importer_pb2.ParsedLines.FromString(base64.b64decode(desk.told("lines")[-1]["lines"]))
    assert (len(batch.lines), batch.gap) == (1, True)
