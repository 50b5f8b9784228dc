"""A worker process, spoken to over its pipes."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loganalyzer.importer.v1 import importer_pb2
from services.importer.messages import Message, TaskSpec, encode, read_message

# A limit on the size of files stands for a disk without room: writing fails with EFBIG instead of ENOSPC.
LIMITED = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
runpy.run_module("services.importer.worker", run_name="__main__")
"""


@contextlib.contextmanager
def worker(*, limited: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-P", *(["-c", LIMITED] if limited else ["-m", "services.importer.worker"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[bytes], *messages: Message) -> None:
    assert process.stdin is not None
    process.stdin.write(b"".join(map(encode, messages)))
    process.stdin.flush()


def hear(process: subprocess.Popen[bytes]) -> Iterator[Message]:
    """What the worker says up to the end of its task; each split is acknowledged."""
    while (message := read_message(process.stdout)) is not None:  # type: ignore[arg-type]
        if message["op"] == "split":
            say(process, {"op": "ack"})
        yield message
        if message["op"] in ("done", "failed", "cancelled"):
            return
    raise AssertionError("the worker is gone")


def spec(splits: Path, path: Path) -> Message:
    return TaskSpec(
        import_id="abc",
        import_name="workspaces/default/imports/abc",
        workspace="default",
        splits=str(splits),
        number=0,
        files=[(0, path.name, str(path))],
    ).to_message()


@pytest.mark.parametrize("kind", ["lines", "terms"])
def test_a_disk_without_room_fails_the_task_with_a_reason_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    path, rng = tmp_path / "a.log", random.Random(7)
    if kind == "lines":  # the file of lines is what grows too large
        path.write_text("".join(f"{rng.randbytes(250).hex()}\n" for _ in range(10_000)))
    else:  # lines that are packed well; the engine's files of terms and positions are what grows
        path.write_text("".join(f"{number} {'a b ' * 100}\n" for number in range(30_000)))
    with worker(limited=True) as process:
        say(process, spec(tmp_path / "splits", path))
        *_, last = hear(process)
        assert last["op"] == "failed"
        assert "no room for the index" in last["message"]
        assert list((tmp_path / "splits" / "default").iterdir()) == []
        # The process can go on when there is room again.
        path.write_text("one line\n")
        say(process, spec(tmp_path / "splits", path))
        said = [message["op"] for message in hear(process)]
        assert [op for op in said if op != "progress"] == ["file", "source", "split", "done"]


def test_lines_are_sent_while_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"2024-01-01 10:00:00 INFO line {number}\n" for number in range(100_000)))
    with worker() as process:
        say(process, spec(tmp_path / "splits", path), {"op": "tail", "on": True})
        batches = [message["lines"] for message in hear(process) if message["op"] == "lines"]
        shown = importer_pb2.ParsedLines.FromString(base64.b64decode(batches[-1]))
        assert shown.source == "a.log"
        assert shown.lines[0] == b"2024-01-01 10:00:00 INFO line %d" % (shown.first_line - 1)
        say(process, spec(tmp_path / "splits", path))
        assert "lines" not in {message["op"] for message in hear(process)}
