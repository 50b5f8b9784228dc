"""7z, rar and lz4 through libarchive in a process of its own, and what happens when that fails."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.importer.reading import Limits, Meter, Problem, Reason, foreign, open_members
from tests.unit.importer.archives import RAR, Content, lz4, seven_zip, tarred, written, zipped

LINES = [f"2024-05-01 10:00:00 line {number} with some words".encode() for number in range(6000)]
TEXT = b"\n".join(LINES)
COUNTED = [b"%03d" % number for number in range(512)]


def processes() -> set[str]:
    """Processes of this one that have not ended, or have not been waited for."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.fixture
def children() -> Callable[[], int]:
    """Counts the processes of a test: others of the session, a browser for one, are no business of it."""
    before = processes()
    return lambda: len(processes() - before)


@pytest.mark.parametrize("form", ["rar3", "rar5"])
def test_rar_of_both_forms_is_read(form: str) -> None:
    content = Content(RAR / f"{form}-subdirs.rar")
    assert sorted(content.members.values()) == [[b"file"], [b"file1"], [b"file2"], [b"long fn"]]
    assert f"{form}-subdirs.rar!/sub/üȵĩöḋè/file.txt" in content.members
    assert not content.problems


@pytest.mark.parametrize("name", ["rar5-crc.rar", "rar5-solid.rar", "seektest.rar"])
def test_compressed_and_solid_members_of_a_rar_are_read(name: str) -> None:
    content = Content(RAR / name)
    assert list(content.members.values()) == [COUNTED, COUNTED]
    assert not content.problems


def test_solid_archives_of_the_older_form_are_named() -> None:
    content = Content(RAR / "rar3-solid.rar")
    assert list(content.members.values()) == [COUNTED]
    assert [problem.reason for problem in content.problems] == [Reason.UNSUPPORTED]
    assert "solid" in content.problems[0].message


@pytest.mark.parametrize("nested", [False, True])
def test_encrypted_members_are_named_one_by_one(tmp_path: Path, nested: bool) -> None:
    path = RAR / "rar5-psw.rar"
    if nested:
        path = written(tmp_path, "x.tgz", tarred(("psw.rar", path.read_bytes()), mode="w:gz"))
    content = Content(path)
    assert not content.members
    assert [problem.reason for problem in content.problems] == [Reason.UNSUPPORTED] * 2
    assert all("encrypted" in problem.message for problem in content.problems)


@pytest.mark.parametrize("name", ["rar5-hpsw.rar", "rar3-comment-hpsw.rar"])
def test_an_archive_with_encrypted_names_is_named(name: str) -> None:
    content = Content(RAR / name)
    assert content.reasons == [(name, Reason.UNSUPPORTED)]
    assert "encrypted" in content.problems[0].message


def test_references_to_other_members_are_named_and_not_taken_for_empty() -> None:
    content = Content(RAR / "rar5-dups.rar")
    assert list(content.members.values()) == [COUNTED]
    assert len(content.problems) == 8
    assert {problem.reason for problem in content.problems} == {Reason.UNSUPPORTED}


def test_links_are_passed_over() -> None:
    assert list(Content(RAR / "rar3-symlink-unix.rar").members) == ["rar3-symlink-unix.rar!/data.txt"]
    evil = Content(RAR / "rar5-evil-symlink-traversal.rar")
    assert list(evil.members) == ["rar5-evil-symlink-traversal.rar!/up/pwned.txt"]
    assert not evil.problems


def test_members_of_a_7z_may_be_archives_and_pictures(tmp_path: Path) -> None:
    packed = seven_zip(("a.gz", gzip.compress(TEXT)), ("b.png", b"\x89PNG\r\n\x1a\n" + bytes(5000)), ("c.log", b"c\n"))
    content = Content(written(tmp_path, "x.7z", packed))
    assert content.members == {"x.7z!/a.gz": LINES, "x.7z!/c.log": [b"c"]}
    assert content.reasons == [("x.7z!/b.png", Reason.BINARY)]


def test_a_7z_inside_another_archive_may_be_as_large_as_memory_allows(tmp_path: Path) -> None:
    path = written(tmp_path, "x.zip", zipped(("in.7z", seven_zip(("a.log", TEXT))), ("after.log", b"a\n")))
    assert Content(path).members == {"x.zip!/in.7z!/a.log": LINES, "x.zip!/after.log": [b"a"]}
    small = Content(path, Limits(nested_bytes=100))
    assert small.members == {"x.zip!/after.log": [b"a"]}
    assert small.reasons == [("x.zip!/in.7z", Reason.LIMIT)]
    assert "100 bytes" in small.problems[0].message


def test_without_the_library_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBARCHIVE", "/nowhere/libarchive.so")
    path = written(tmp_path, "x.zip", zipped(("in.7z", seven_zip(("a.log", TEXT))), ("after.log", b"a\n")))
    content = Content(path)
    assert content.members == {"x.zip!/after.log": [b"a"]}
    assert content.reasons == [("x.zip!/in.7z", Reason.UNSUPPORTED)]
    assert "libarchive13" in content.problems[0].message


@pytest.mark.parametrize("outer", [False, True])
def test_a_crash_of_the_library_costs_one_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: Callable[[], int], outer: bool
) -> None:
    crash = written(tmp_path, "crash.py", b"import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(foreign, "_PROGRAM", crash)
    packed = lz4(TEXT) if outer else seven_zip(("a.log", TEXT))
    path = written(tmp_path, "x.zip", zipped(("in", packed), ("after.log", b"a\n")))
    content = Content(path)
    assert content.members["x.zip!/after.log"] == [b"a"]
    assert not content.members.get("x.zip!/in")
    assert content.reasons == [("x.zip!/in", Reason.DAMAGED)]
    assert "signal 11" in content.problems[0].message
    assert children() == 0


def test_a_hang_of_the_library_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: Callable[[], int]
) -> None:
    hang = written(tmp_path, "hang.py", b"import time\nwhile True: time.sleep(100)")
    monkeypatch.setattr(foreign, "_PROGRAM", hang)
    path = written(tmp_path, "x.7z", seven_zip(("a.log", TEXT)))
    content = Content(path, Limits(stall_seconds=0.2))
    assert content.reasons == [("x.7z", Reason.LIMIT)]
    assert "0.2 seconds" in content.problems[0].message
    assert children() == 0


def test_what_is_left_unread_leaves_no_process(tmp_path: Path, children: Callable[[], int]) -> None:
    path = written(tmp_path, "x.7z", seven_zip(("a.log", TEXT), ("b.log", TEXT)))
    members = open_members(str(path), "x.7z", Meter(Limits()))
    first = next(members)
    assert not isinstance(first, Problem)
    assert first.stream.read(10)
    assert children() == 1
    members.close()  # type: ignore[attr-defined]
    assert children() == 0


def test_what_takes_more_memory_than_allowed_is_refused_with_the_limit(tmp_path: Path) -> None:
    path = written(tmp_path, "x.7z", seven_zip(("a.log", TEXT)))
    memory = -(64 << 20)  # leaves the process nothing beside itself
    content = Content(path, Limits(window_bytes=memory))
    assert [problem.reason for problem in content.problems] == [Reason.LIMIT]


def test_reading_is_stopped_by_whoever_counts(tmp_path: Path, children: Callable[[], int]) -> None:
    class Stop(Exception):  # noqa: N818 - not an error
        pass

    def check() -> None:
        raise Stop

    path = written(tmp_path, "x.7z", seven_zip(("a.log", TEXT)))
    with pytest.raises(Stop):
        Content(path, meter=Meter(Limits(), check))
    assert children() == 0
    assert os.path.exists(path)
