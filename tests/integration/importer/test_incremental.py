"""Importing again: what is new is read, what was read is not, and nothing is there twice or missing."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from loganalyzer.importer.v1 import importer_pb2
from tests.integration.importer.support import SUCCEEDED, Bench, bench, found, sources, text

FILE = importer_pb2.ImportFile


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
async def it(tmp_path: Path, logs: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "data", logs) as one:
        yield one


async def states(it: Bench, name: str) -> dict[str, int]:
    listed = await it.stub.ListImportFiles(importer_pb2.ListImportFilesRequest(parent=name))
    return {Path(file.path).name: file.state for file in listed.files}


async def again(it: Bench, *paths: Path) -> importer_pb2.Import:
    done = await it.run(*paths)
    assert done.state == SUCCEEDED, done
    return done


async def test_what_is_unchanged_is_not_read(it: Bench, logs: Path) -> None:
    (logs / "app.log").write_bytes(text(0, 500))
    with tarfile.open(logs / "old.tar.gz", "w:gz") as archive:
        archive.add(logs / "app.log", "x/app.log")
    first = await again(it, logs)
    assert first.line_count == 1000
    splits = len(it.search.splits)
    second = await again(it, logs)
    assert (second.line_count, second.byte_count, second.file_count) == (0, 0, 0)
    assert (second.progress.total_files, second.progress.processed_files) == (2, 2)
    assert len(it.search.splits) == splits
    assert set((await states(it, second.name)).values()) == {FILE.UNCHANGED}


async def test_what_was_appended_goes_on_in_the_same_source(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, 300))
    await again(it, logs)
    with log.open("ab") as file:
        file.write(text(300, 310) + b"    at the end\n")
    done = await again(it, logs)
    assert done.line_count == 11
    [runs] = sources(it).values()
    assert runs == [(1, 300), (301, 11)]
    assert found(it) == sorted(log.read_bytes().splitlines())
    assert await states(it, done.name) == {"app.log": FILE.APPENDED}
    listed = await it.stub.ListImportFiles(importer_pb2.ListImportFilesRequest(parent=done.name))
    assert listed.files[0].line_count == 311
    assert {level.level: level.count for level in listed.files[0].levels}["INFO"] >= 310
    assert (await again(it, logs)).line_count == 0


async def test_a_short_file_grows_and_keeps_its_identity(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    for lines in (1, 2, 40):
        log.write_bytes(text(0, lines))
        await again(it, logs)
    assert len(sources(it)) == 1
    assert found(it) == sorted(log.read_bytes().splitlines())


@pytest.mark.parametrize("change", [b"\n", b" and on\nmore\n", b""], ids=["its end", "more of it", "nothing"])
async def test_a_last_line_without_an_end_is_exact_also_when_it_goes_on(it: Bench, logs: Path, change: bytes) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, 200) + b"2024-05-01 11:00:00 INFO begun")
    assert (await again(it, log)).line_count == 201
    with log.open("ab") as file:
        file.write(change)
    await again(it, log)
    assert found(it) == sorted(log.read_bytes().splitlines())
    with log.open("ab") as file:
        file.write(b"last\n" if change else b"")
    await again(it, log)
    assert found(it) == sorted(log.read_bytes().splitlines())
    assert [sum(lines for _, lines in runs) for runs in sources(it).values()] == [len(found(it))]


async def test_a_truncated_file_is_a_new_source(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, 300))
    await again(it, log)
    log.write_bytes(text(1000, 1010))
    assert (await again(it, log)).line_count == 10
    log.write_bytes(text(2000, 2500))  # larger than what was read
    assert (await again(it, log)).line_count == 500
    assert found(it) == sorted((text(0, 300) + text(1000, 1010) + text(2000, 2500)).splitlines())


def rename(log: Path) -> None:
    log.rename(log.with_name("app.log.1"))


def copy_and_truncate(log: Path) -> None:
    shutil.copy(log, log.with_name("app.log.1"))
    log.write_bytes(b"")


def compress(log: Path) -> None:
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()


def compress_a_copy(log: Path) -> None:
    rename(log)
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(log.with_name("app.log.1").read_bytes()))


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate, compress, compress_a_copy])
@pytest.mark.parametrize(("lines", "unread"), [(3000, 0), (3000, 7), (1, 0), (3, 0), (3, 2), (3, 40)])
async def test_a_rotated_file_is_known_again(
    it: Bench, logs: Path, rotate: Callable[[Path], None], lines: int, unread: int
) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, lines))
    await again(it, logs)
    with log.open("ab") as file:
        file.write(text(lines, lines + unread))
    rotate(log)
    log.write_bytes(text(5000, 5020))
    done = await again(it, logs)
    assert done.line_count == 20 + unread
    assert sorted(map(len, sources(it).values())) == [1, 1 + bool(unread)]
    assert found(it) == sorted((text(0, lines + unread) + text(5000, 5020)).splitlines())
    assert (await again(it, logs)).line_count == 0
    (logs / "app.log.1").unlink(missing_ok=True)
    assert (await again(it, logs)).line_count == 0


@pytest.mark.parametrize("lines", [3, 3000])
async def test_a_delayed_compression_is_known_again(it: Bench, logs: Path, lines: int) -> None:
    log = logs / "app.log"
    log.write_bytes(text(0, lines))
    await again(it, logs)
    rename(log)
    log.write_bytes(b"")
    assert (await again(it, logs)).line_count == 0
    (logs / "app.log.2.gz").write_bytes(gzip.compress((logs / "app.log.1").read_bytes()))
    (logs / "app.log.1").unlink()
    assert (await again(it, logs)).line_count == 0
    (logs / "app.log.2.gz").rename(logs / "app.log.3.gz")
    assert (await again(it, logs)).line_count == 0
    assert found(it) == sorted(text(0, lines).splitlines())


async def test_a_small_file_is_not_another_that_begins_alike(it: Bench, logs: Path) -> None:
    (logs / "app.log").write_bytes(text(0, 1))
    await again(it, logs)
    (logs / "other.log").write_bytes(text(0, 3))  # while the inode is in use
    (logs / "app.log").unlink()
    assert (await again(it, logs)).line_count == 3


async def test_a_chain_of_rotations_stays_known(it: Bench, logs: Path) -> None:
    for turn in range(4):
        for number in range(turn, 0, -1):
            before = logs / ("app.log" if number == 1 else f"app.log.{number - 1}")
            before.rename(logs / f"app.log.{number}")
        (logs / "app.log").write_bytes(text(turn * 1000, turn * 1000 + 100))
        assert (await again(it, logs)).line_count == 100
    assert len(found(it)) == 400


async def test_copies_are_files_of_their_own(it: Bench, logs: Path) -> None:
    (logs / "a.log").write_bytes(text(0, 200))
    await again(it, logs)
    shutil.copy(logs / "a.log", logs / "b.log")
    assert (await again(it, logs)).line_count == 200
    assert len(sources(it)) == 2


def packed(members: dict[str, bytes], kind: str) -> bytes:
    into = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=into, mode="w:gz") as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return into.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
async def test_of_an_archive_that_has_changed_only_what_is_new_is_read(it: Bench, logs: Path, kind: str) -> None:
    path = logs / f"logs.{kind}"
    path.write_bytes(packed({"a": text(0, 100), "b": text(100, 200), "c": text(200, 300)}, kind))
    await again(it, logs)
    # One is gone, one has moved, one has grown, one is new.
    path.write_bytes(packed({"new": text(900, 950), "c": text(200, 320), "z": text(0, 100)}, kind))
    assert (await again(it, logs)).line_count == 50 + 20
    assert found(it) == sorted((text(0, 320) + text(900, 950)).splitlines())
    assert (await again(it, logs)).line_count == 0


async def test_a_text_in_another_encoding_goes_on_too(it: Bench, logs: Path) -> None:
    log = logs / "app.log"
    log.write_bytes("\ufeff".encode("utf-16-le"))
    for first in (0, 100, 200):
        with log.open("ab") as file:
            file.write(text(first, first + 100).decode().encode("utf-16-le"))
        assert (await again(it, log)).line_count == 100
    assert found(it) == sorted(text(0, 300).splitlines())
    assert len(sources(it)) == 1


async def test_full_reads_everything_and_is_what_is_known_then(it: Bench, logs: Path) -> None:
    (logs / "app.log").write_bytes(text(0, 100))
    await again(it, logs)
    assert (await it.run(logs, full=True)).line_count == 100
    assert len(sources(it)) == 2
    with (logs / "app.log").open("ab") as file:
        file.write(text(100, 101))
    assert (await again(it, logs)).line_count == 1
    assert sorted(map(len, sources(it).values())) == [1, 2]


async def test_what_was_deleted_comes_back_with_the_next_import(it: Bench, logs: Path) -> None:
    (logs / "a.log").write_bytes(text(0, 100))
    (logs / "b.log").write_bytes(text(100, 200))
    await again(it, logs)
    it.search.deleted.append(next(iter(sources(it))))
    assert (await again(it, logs)).line_count == 100
    assert found(it) == sorted(text(0, 200).splitlines())


async def test_a_file_that_two_imports_want_is_read_once(it: Bench, logs: Path) -> None:
    (logs / "app.log").write_bytes(text(0, 5000))
    made = [(await it.create(logs)).name for _ in range(4)]
    done = [await it.finished(name) for name in made]
    assert sorted(one.line_count for one in done) == [0, 0, 0, 5000]
    assert len(found(it)) == 5000


async def test_what_a_cancelled_import_left_is_read_by_the_next(it: Bench, logs: Path) -> None:
    for number in range(6):
        (logs / f"{number}.log.gz").write_bytes(gzip.compress(text(0, 40_000, str(number)), 0))
    made = await it.create(logs)
    async for _ in it.watch(made.name):
        if it.search.splits:
            break
    await it.stub.CancelImport(importer_pb2.CancelImportRequest(name=made.name))
    await again(it, logs)
    assert len(found(it)) == 240_000
    assert len(set(found(it))) == 240_000


async def test_files_of_an_import_are_listed_page_by_page(it: Bench, logs: Path) -> None:
    for number in range(5):
        (logs / f"{number}.log").write_bytes(text(0, 10, str(number)))
    done = await again(it, logs)
    request = importer_pb2.ListImportFilesRequest(parent=done.name, page_size=2)
    seen: list[importer_pb2.ImportFile] = []
    while True:
        page = await it.stub.ListImportFiles(request)
        seen += page.files
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert [Path(file.path).name for file in seen] == [f"{number}.log" for number in range(5)]
    assert all(file.line_count == 10 and len(file.sha256) == 64 and file.encoding == "utf-8" for file in seen)
    assert seen[0].byte_count == len(text(0, 10, "0"))


class History:
    """What a program and its log rotation do to a folder, by chance; every line is another."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.log = folder / "app.log"
        self.written = 0
        self.gone: list[bytes] = []
        self.steps: list[str] = []

    def step(self) -> None:
        large = self.log.exists() and self.log.stat().st_size > 2000
        kinds = [self.append, self.append, self.begin_line]
        kinds += [self.rename, self.copy_and_truncate, self.compress, self.forget] if large else []
        kind = self.chance.choice(kinds)
        self.steps.append(kind.__name__)
        kind()

    def append(self) -> None:
        count = self.chance.randrange(30, 200)
        with self.log.open("ab") as file:
            file.write(text(self.written, self.written + count))
        self.written += count

    def begin_line(self) -> None:
        self.append()
        with self.log.open("ab") as file:
            file.write(text(self.written, self.written + 1)[: self.chance.choice([25, -1])])
        self.written += 1

    def rename(self) -> None:
        rotated = sorted(self.folder.glob("app.log.*"), key=lambda path: -int(path.name.split(".")[2]))
        for path in rotated:
            parts = path.name.split(".")
            path.rename(self.folder / ".".join(["app.log", str(int(parts[2]) + 1), *parts[3:]]))
        self.log.rename(self.folder / "app.log.1")

    def copy_and_truncate(self) -> None:
        self.rename()
        shutil.copy(self.folder / "app.log.1", self.log)
        (self.folder / "app.log.1").unlink()
        shutil.copy(self.log, self.folder / "app.log.1")
        self.log.write_bytes(b"")

    def compress(self) -> None:
        for path in self.folder.glob("app.log.?"):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()

    def forget(self) -> None:
        """The oldest goes, once it has been imported."""
        oldest = max(self.folder.glob("app.log.*"), key=lambda path: int(path.name.split(".")[2]), default=None)
        if oldest is not None and self.steps[-2:-1] == ["import"]:
            self.gone += self.lines(oldest)
            oldest.unlink()

    @staticmethod
    def lines(path: Path) -> list[bytes]:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()

    def all(self) -> list[bytes]:
        return sorted(self.gone + [line for path in self.folder.iterdir() for line in self.lines(path)])


@pytest.mark.parametrize("seed", [0, 1, 106, 139])
async def test_whatever_happens_to_the_files_each_line_is_there_once(it: Bench, logs: Path, seed: int) -> None:
    history = History(logs, seed)
    for _ in range(14):
        for _ in range(history.chance.randrange(1, 4)):
            history.step()
        await again(it, logs)
        history.steps.append("import")
        lines = found(it)
        wanted = history.all()
        assert lines == wanted, (history.steps, Counter(lines) - Counter(wanted), Counter(wanted) - Counter(lines))
