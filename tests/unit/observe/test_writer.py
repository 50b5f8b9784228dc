"""Lines are written by a thread: all of them, in order, and never at the expense of who writes them."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.errors import ConfigurationError
from kit.observe import _writer
from kit.observe._writer import LineHandler, LineWriter

LIMIT = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Read end and write end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_every_line_is_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    writer = LineWriter(str(path))
    for number in range(5000):
        writer.put(b"%d\n" % number)
    assert writer.flush(LIMIT)
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(5000))
    writer.close()


def test_lines_of_many_threads_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    writer = LineWriter(str(path))

    def write(name: int) -> None:
        for number in range(500):
            writer.put(b"%d %d\n" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {number}" for name in range(4) for number in range(500))
    for name in range(4):
        assert [line for line in lines if line.startswith(f"{name} ")] == [f"{name} {number}" for number in range(500)]


def test_a_reader_that_does_not_read_holds_up_nobody_and_what_is_dropped_is_told(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_writer, "LIMIT", 100)
    monkeypatch.setattr(_writer, "KEPT_LIMIT", 150)
    reader, end = pipe
    writer = LineWriter(end)
    line = b"x" * 999 + b"\n"
    # More than the pipe takes: the thread is stuck in a write, and the queue fills up behind it.
    for _ in range(1000):
        writer.put(line)
    assert not writer.flush(0)
    assert writer.dropped > 0
    writer.put(b"this one is to be kept\n", keep=True)
    seen = b""
    while b"dropped" not in seen or b"kept" not in seen:
        seen += os.read(reader, 65536)
        # A line to write makes the thread tell of those that were dropped.
        writer.put(b"on\n")
    told = json.loads(next(one for one in seen.split(b"\n") if b"dropped" in one))
    assert told["count"] > 0
    assert told["level"] == "warning"
    # The descriptor is another test's afterwards.
    while not writer.flush(0.01):
        if select.select([reader], [], [], 0)[0]:
            os.read(reader, 65536)


def test_a_descriptor_that_somebody_made_non_blocking_gets_every_line(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    os.set_blocking(end, False)
    writer = LineWriter(end)
    lines = [b"%d %s\n" % (number, b"x" * 990) for number in range(300)]
    for line in lines:
        writer.put(line)
    seen = b""
    while len(seen) < sum(map(len, lines)):
        seen += os.read(reader, 65536)
    assert seen == b"".join(lines)
    assert writer.flush(LIMIT)
    assert writer.dropped == 0


def test_a_descriptor_that_is_closed_costs_its_lines_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    writer = LineWriter(descriptor)
    os.close(descriptor)
    writer.put(b"lost\n")
    assert writer.flush(LIMIT)
    assert writer.dropped == 1


def test_a_file_that_was_renamed_is_opened_again_when_it_is_asked_for(tmp_path: Path) -> None:
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    writer = LineWriter(str(path))
    writer.put(b"before\n")
    assert writer.flush(LIMIT)
    path.rename(old)
    writer.reopen()
    writer.put(b"after\n")
    writer.close()
    assert (old.read_bytes(), path.read_bytes()) == (b"before\n", b"after\n")


def test_a_file_that_was_renamed_is_noticed_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_writer, "LOOK_INTERVAL", 0.0)
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    writer = LineWriter(str(path))
    path.rename(old)
    writer.put(b"after\n")
    writer.close()
    assert (old.read_bytes(), path.read_bytes()) == (b"", b"after\n")


def test_who_is_not_in_the_group_may_not_read_a_log(tmp_path: Path) -> None:
    LineWriter(str(tmp_path / "a.log")).close()
    assert (tmp_path / "a.log").stat().st_mode & 0o007 == 0


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        LineWriter(str(tmp_path / "nowhere" / "a.log"))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_writes_its_own_lines_and_not_its_parents(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    writer = LineWriter(str(path))
    writer.put(b"parent\n")
    assert writer.flush(LIMIT)
    child = os.fork()
    if child == 0:
        signal.alarm(int(LIMIT))
        writer.put(b"child\n")
        os._exit(0 if writer.flush(LIMIT) else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.put(b"parent again\n")
    writer.close()
    assert path.read_bytes() == b"parent\nchild\nparent again\n"


def test_a_record_that_cannot_be_encoded_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    handler = LineHandler(LineWriter(str(path)))
    handler.emit(logging.makeLogRecord({"msg": "half a pair: \ud800"}))
    handler.close()
    assert path.read_bytes() == b"half a pair: \\ud800\n"
