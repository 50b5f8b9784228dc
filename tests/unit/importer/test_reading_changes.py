"""Files that grow, shrink, disappear or are replaced while they are read: what there was is given, nothing breaks."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.importer.reading import Limits, LineBlocks, Meter, Problem, ReadProblem, Reason, open_members
from tests.unit.importer.archives import Content, seven_zip, tarred, written, zipped

LINES = [b"2024-05-01 10:00:00 line %d %s" % (number, os.urandom(30).hex().encode()) for number in range(50_000)]
TEXT = b"\n".join(LINES) + b"\n"


def read(path: Path, change: Callable[[], None]) -> tuple[list[bytes], list[Problem]]:
    """Reads the file; the change happens after the first block of lines."""
    lines: list[bytes] = []
    problems: list[Problem] = []
    pending = [change]
    for found in open_members(str(path), path.name, Meter(Limits())):
        if isinstance(found, Problem):
            problems.append(found)
            continue
        try:
            for block in LineBlocks(found.stream, 16 << 20):
                lines += block
                if pending:
                    pending.pop()()
        except ReadProblem as problem:
            problem.reported = True
            problems.append(Problem(found.name, problem.reason, problem.message))
    return lines, problems


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path, "a.log", TEXT)


def test_lines_that_are_appended_meanwhile_are_given(path: Path) -> None:
    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"one more\n")

    assert read(path, grow) == ([*LINES, b"one more"], [])


def test_a_file_that_is_cut_meanwhile_ends_where_it_does(path: Path) -> None:
    lines, problems = read(path, lambda: os.truncate(path, 2 << 20))
    assert lines[:-1] == LINES[: len(lines) - 1]
    assert 10_000 < len(lines) < len(LINES)
    assert not problems


@pytest.mark.parametrize("how", ["removed", "replaced", "rotated"])
def test_a_file_that_goes_away_meanwhile_is_read_to_its_end(path: Path, how: str) -> None:
    def go() -> None:
        if how == "removed":
            path.unlink()
        elif how == "rotated":
            path.rename(path.with_suffix(".1"))
            path.write_bytes(b"the next file\n")
        else:
            other = written(path.parent, "other", b"another file\n")
            other.replace(path)

    assert read(path, go) == (LINES, [])


@pytest.mark.parametrize("kind", ["gz", "zip", "tar", "7z"])
def test_an_archive_that_is_cut_meanwhile_gives_its_beginning_and_a_problem(tmp_path: Path, kind: str) -> None:
    packers: dict[str, Callable[[], bytes]] = {
        "gz": lambda: gzip.compress(TEXT, 1),
        "zip": lambda: zipped(("a.log", TEXT)),
        "tar": lambda: tarred(("a.log", TEXT)),
        "7z": lambda: seven_zip(("a.log", TEXT), compression="store"),
    }
    packed = packers[kind]()
    path = written(tmp_path, f"x.{kind}", packed)
    lines, problems = read(path, lambda: os.truncate(path, len(packed) - (len(packed) >> 3)))
    assert lines[:-1] == LINES[: max(len(lines) - 1, 0)]
    # What a pipe already held is whole; anything else is told.
    assert [problem.reason for problem in problems] == [Reason.DAMAGED] or (kind == "7z" and lines == LINES)


def test_a_file_that_is_gone_before_it_is_opened_is_named(tmp_path: Path) -> None:
    assert Content(tmp_path / "gone.log").reasons == [("gone.log", Reason.NOT_FOUND)]
    assert Content(tmp_path / "a\0b").reasons == [("a\0b", Reason.NOT_FOUND)]


def test_files_whose_size_the_system_does_not_tell_are_read() -> None:
    content = Content(Path("/proc/self/status"))
    assert content.members["status"][0].startswith(b"Name:")
    assert not content.problems
