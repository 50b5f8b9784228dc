"""Imports from the call to the published splits, over real loopback gRPC and with real worker processes."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.api import httpbody_pb2

from kit.errors import details_of
from loganalyzer.importer.v1 import importer_pb2
from services.search.index import split_path
from tests.datafiles import manifest, require_shared_data
from tests.integration.importer.support import (
    CANCELLED,
    FAILED,
    RUNNING,
    SUCCEEDED,
    WORKSPACE,
    Bench,
    bench,
    create_request,
)
from tests.support.metrics import counted

TEXT = "2024-05-01 10:00:00 INFO one\n2024-05-01 10:00:01 ERROR two\n  at three\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "app.log").write_text(TEXT)
    return folder


@pytest.fixture
async def it(tmp_path: Path, logs: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "data", logs) as one:
        yield one


async def failure(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


async def test_a_file_becomes_a_published_split(it: Bench, logs: Path) -> None:
    before = counted("loganalyzer.imported.lines").get((), 0)
    done = await it.run(logs / "app.log")
    assert done.state == SUCCEEDED
    assert counted("loganalyzer.imported.lines")[()] - before == 3
    assert (done.line_count, done.byte_count, done.file_count, done.error_count) == (3, len(TEXT), 1, 0)
    assert done.create_time.seconds <= done.start_time.seconds <= done.end_time.seconds
    [run] = it.search.runs
    assert (run.name, run.line_count, run.complete) == (str(logs / "app.log"), 3, True)
    [split] = it.search.splits
    assert split_path(it.data / "splits", "default", split).is_dir()


async def test_a_folder_is_imported_with_what_is_wrong_in_it(it: Bench, logs: Path) -> None:
    (logs / "picture.log").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (logs / "empty.log").touch()
    (logs / "gone.log").symlink_to("nothing")
    (logs / "up").symlink_to(logs)
    (logs / "cut.log.gz").write_bytes(gzip.compress(TEXT.encode() * 100)[:-4])
    done = await it.run(logs)
    assert done.state == SUCCEEDED
    assert (done.line_count, done.file_count, done.error_count) == (303, 2, 4)
    reasons = {Path(error.path).name: error.reason for error in done.sources[0].errors}
    kinds = importer_pb2.SourceError
    assert reasons == {
        "picture.log": kinds.BINARY,
        "gone.log": kinds.NOT_FOUND,
        "up": kinds.LOOP,
        "cut.log.gz": kinds.DAMAGED,
    }
    [damage] = [error for error in done.sources[0].errors if error.reason == kinds.DAMAGED]
    assert damage.line_number == 300


async def test_counts_are_kept_for_each_source(it: Bench, logs: Path) -> None:
    (logs / "b").mkdir()
    (logs / "b" / "1.log").write_text("a\nb")
    with tarfile.open(logs / "b" / "2.tar.gz", "w:gz") as archive:
        archive.add(logs / "app.log", "x/app.log")
        archive.add(logs / "b" / "1.log", "x/1.log")
    done = await it.run(logs / "app.log", logs / "b")
    assert [(source.line_count, source.byte_count, source.file_count) for source in done.sources] == [
        (3, len(TEXT), 1),
        (2 + 3 + 2, 3 + len(TEXT) + 3, 3),
    ]
    assert {Path(run.name.partition("!/")[0]).name for run in it.search.runs} == {"app.log", "1.log", "2.tar.gz"}
    listed = await it.stub.ListImports(importer_pb2.ListImportsRequest(parent=WORKSPACE))
    assert list(listed.imports) == [done]


async def test_an_import_of_which_nothing_can_be_read_has_failed(it: Bench, logs: Path) -> None:
    (logs / "app.log").write_bytes(bytes(100))
    done = await it.run(logs)
    assert done.state == FAILED
    assert "not text" in done.error_message
    assert done.error_count == 1


async def test_an_empty_folder_is_no_failure(it: Bench, logs: Path) -> None:
    (logs / "app.log").unlink()
    done = await it.run(logs)
    assert (done.state, done.line_count, done.file_count) == (SUCCEEDED, 0, 0)


async def test_a_path_that_is_missing_is_refused_with_its_field(it: Bench, logs: Path) -> None:
    error = await failure(it.create(logs / "app.log", logs / "none.log"))
    said = details_of(error)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert [one.field for one in said.violations] == ["import.sources[1].path"]
    assert "none.log" in said.message


async def test_a_path_outside_the_roots_is_refused(it: Bench, tmp_path: Path) -> None:
    error = await failure(it.create("/etc/hostname"))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert details_of(error).reason == "IMPORT_ROOT_NOT_ALLOWED"


async def test_the_workspace_must_exist_and_stay(it: Bench, logs: Path) -> None:
    unknown = await failure(it.stub.CreateImport(create_request(logs, parent="workspaces/unknown")))
    leaving = await failure(it.stub.CreateImport(create_request(logs, parent="workspaces/leaving")))
    odd = await failure(it.stub.CreateImport(create_request(logs, parent="nonsense")))
    listed = await failure(it.stub.ListImports(importer_pb2.ListImportsRequest(parent="workspaces/unknown")))
    codes = [error.code().name for error in (unknown, leaving, odd, listed)]
    assert codes == ["NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND"]


async def test_an_import_that_is_not_there_is_not_found(it: Bench) -> None:
    name = f"{WORKSPACE}/imports/none"
    for call in (
        it.stub.GetImport(importer_pb2.GetImportRequest(name=name)),
        it.stub.CancelImport(importer_pb2.CancelImportRequest(name=name)),
        anext(it.watch(name)),
    ):
        assert (await failure(call)).code() is grpc.StatusCode.NOT_FOUND


def pieces(content: bytes, name: str, size: int = 1000) -> list[importer_pb2.UploadImportRequest]:
    parts = [httpbody_pb2.HttpBody(data=content[at : at + size]) for at in range(0, len(content), size)]
    return [
        importer_pb2.UploadImportRequest(parent=WORKSPACE, source_name=name),
        *(importer_pb2.UploadImportRequest(content=part) for part in parts),
    ]


async def test_an_upload_is_imported_under_its_name(it: Bench) -> None:
    content = gzip.compress(TEXT.encode() * 1000)
    made = await it.stub.UploadImport(iter(pieces(content, "mine.log.gz")))
    done = await it.finished(made.name)
    assert (done.state, done.line_count, done.sources[0].path) == (SUCCEEDED, 3000, "mine.log.gz")
    assert {run.name for run in it.search.runs} == {"mine.log.gz"}
    assert not list((it.data / "importer" / "spool").iterdir())


async def test_an_upload_that_is_too_large_is_refused_and_leaves_nothing(it: Bench) -> None:
    error = await failure(it.stub.UploadImport(iter(pieces(bytes(11 << 20), "big.log", 1 << 20))))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not list((it.data / "importer" / "spool").iterdir())


async def test_imports_are_listed_newest_first_page_by_page(it: Bench, logs: Path) -> None:
    names = [(await it.run(logs)).name for _ in range(5)]
    request = importer_pb2.ListImportsRequest(parent=WORKSPACE, page_size=2)
    seen: list[str] = []
    while True:
        page = await it.stub.ListImports(request)
        seen += [one.name for one in page.imports]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert seen == names[::-1]


async def test_a_watcher_sees_it_run_and_end(it: Bench, logs: Path) -> None:
    it.search.open.clear()
    made = await it.create(logs)
    watch = it.watch(made.name)
    states = [(await anext(watch)).state]
    await it.search.asked.wait()
    it.search.open.set()
    states += [message.state async for message in watch]
    assert states[-1] == SUCCEEDED
    assert SUCCEEDED not in states[:-1]


async def test_cancelling_stops_it_and_keeps_what_was_published(it: Bench, logs: Path) -> None:
    for number in range(6):  # heavy enough to be tasks of their own
        (logs / f"{number}.log.gz").write_bytes(gzip.compress(TEXT.encode() * 20_000, 0))
    made = await it.create(logs)
    async for message in it.watch(made.name):
        if message.state == RUNNING and it.search.splits:
            it.search.open.clear()
            break
    it.search.asked.clear()
    cancelled = await it.stub.CancelImport(importer_pb2.CancelImportRequest(name=made.name))
    it.search.open.set()
    assert cancelled.state == CANCELLED
    assert await it.stub.CancelImport(importer_pb2.CancelImportRequest(name=made.name)) == cancelled
    assert await it.stub.GetImport(importer_pb2.GetImportRequest(name=made.name)) == cancelled
    assert cancelled.line_count <= it.search.lines < 3 + 6 * 60_000
    kept = {path.name for path in (it.data / "splits" / "default").iterdir()}
    assert kept >= set(it.search.splits)
    assert not [name for name in kept if name.startswith(".")]


async def test_deleting_forgets_every_import_of_the_workspace(it: Bench, logs: Path) -> None:
    await it.run(logs)
    it.search.open.clear()
    made = await it.create(logs)
    await it.search.asked.wait()
    it.search.open.set()
    gone = await it.stub.DeleteImports(importer_pb2.DeleteImportsRequest(parent=WORKSPACE))
    assert gone.import_count == 2
    error = await failure(it.stub.GetImport(importer_pb2.GetImportRequest(name=made.name)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    again = await it.stub.DeleteImports(importer_pb2.DeleteImportsRequest(parent=WORKSPACE))
    assert again.import_count == 0


async def test_search_being_away_is_waited_out_and_shown(it: Bench, logs: Path) -> None:
    it.search.refuse = grpc.StatusCode.UNAVAILABLE
    made = await it.create(logs)
    async for message in it.watch(made.name):
        if "Waiting for the search service" in message.error_message:
            assert message.state == RUNNING
            it.search.refuse = None
    assert (message.state, message.error_message, message.line_count) == (SUCCEEDED, "", 3)


async def test_lines_that_search_does_not_take_fail_the_import(it: Bench, logs: Path) -> None:
    it.search.refuse = grpc.StatusCode.FAILED_PRECONDITION
    done = await it.run(logs)
    assert done.state == FAILED
    assert "not now" in done.error_message
    assert not list((it.data / "splits" / "default").iterdir())


@pytest.mark.data
async def test_the_collection_has_exactly_the_lines_of_its_manifest(tmp_path: Path) -> None:
    data = require_shared_data()
    async with bench(tmp_path / "data", data) as it:
        for prefix in ("elastic", "formats"):
            entries = manifest(data, f"{prefix}/")
            contents = [entry.path.read_bytes() for entry in entries]
            unterminated = sum(1 for content in contents if content and not content.endswith(b"\n"))
            done = await it.run(data / prefix)
            assert done.error_count == 0
            assert done.line_count == sum(entry.newlines for entry in entries) + unterminated
            assert done.byte_count == sum(entry.unpacked for entry in entries)
            assert done.file_count == len(entries)
