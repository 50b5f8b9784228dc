"""An importer process's inside on loopback, with a search and a workspace service that only remember."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.importer.app import build
from services.importer.config import Config
from services.importer.roots import Roots
from services.search.index import split_path
from services.search.index.frames import FrameReader

WORKSPACE = "workspaces/default"
SUCCEEDED = importer_pb2.Import.SUCCEEDED
FAILED = importer_pb2.Import.FAILED
PAUSED = importer_pb2.Import.PAUSED
CANCELLED = importer_pb2.Import.CANCELLED
RUNNING = importer_pb2.Import.RUNNING
Import = importer_pb2.Import

if TYPE_CHECKING:  # to the type checker the generated classes are abstract, and what is left out an error

    class _SearchServicer: ...

    class _WorkspaceServicer: ...

else:  # at run time it is UNIMPLEMENTED
    _SearchServicer = search_pb2_grpc.SearchServiceServicer
    _WorkspaceServicer = workspace_pb2_grpc.WorkspaceServiceServicer


class RememberingSearch(_SearchServicer):
    """PublishSplit and ListSplits.

    While `open` is cleared publishing hangs, before the split is taken or after it (`take_first`); `refuse` is a code
    that it fails with.
    """

    def __init__(self) -> None:
        #: By id, in the order in which they came.
        self.splits: dict[str, search_pb2.Split] = {}
        #: Ids of sources whose lines are deleted.
        self.deleted: list[str] = []
        self.asked = asyncio.Event()
        self.published = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.take_first = False
        #: Names of the imports whose publishing hangs; empty for all.
        self.held: list[str] = []
        self.refuse: grpc.StatusCode | None = None

    async def when(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Returns when the condition is true; it is asked again after each split."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.published.clear()
                await self.published.wait()

    async def PublishSplit(
        self, request: search_pb2.PublishSplitRequest, context: Any
    ) -> search_pb2.PublishSplitResponse:
        if self.refuse is not None:
            self.asked.set()
            await context.abort(self.refuse, "not now")
        known = request.split.id in self.splits
        if self.take_first:
            self.splits.setdefault(request.split.id, request.split)
        self.asked.set()
        if not self.held or any(run.import_name in self.held for run in request.split.sources):
            await self.open.wait()
        self.splits.setdefault(request.split.id, request.split)
        self.published.set()
        return search_pb2.PublishSplitResponse(already_published=known)

    async def ListSplits(self, request: search_pb2.ListSplitsRequest, context: Any) -> search_pb2.ListSplitsResponse:
        found = [
            split
            for split in self.splits.values()
            if any(run.import_name == request.import_name for run in split.sources)
        ]
        start = int(request.page_token or 0)
        more = len(found) > start + request.page_size
        return search_pb2.ListSplitsResponse(
            splits=found[start : start + request.page_size],
            next_page_token=str(start + request.page_size) if more else "",
        )

    async def ListLogSources(
        self, request: search_pb2.ListLogSourcesRequest, context: Any
    ) -> search_pb2.ListLogSourcesResponse:
        found = {run.source_id: run.name for run in self.runs}
        return search_pb2.ListLogSourcesResponse(
            log_sources=[
                search_pb2.LogSource(name=f"{request.parent}/logSources/{source}", source=name)
                for source, name in found.items()
            ]
        )

    async def DeleteLogSource(
        self, request: search_pb2.DeleteLogSourceRequest, context: Any
    ) -> search_pb2.DeleteLogSourceResponse:
        self.deleted.append(request.name.rpartition("/")[2])
        return search_pb2.DeleteLogSourceResponse()

    @property
    def runs(self) -> list[search_pb2.SplitSource]:
        """Every run of every split, by source and place, without those of deleted sources."""
        return sorted(
            (run for split in self.splits.values() for run in split.sources if run.source_id not in self.deleted),
            key=lambda run: (run.source_id, run.first_line),
        )

    @property
    def lines(self) -> int:
        """Lines that can be found."""
        return sum(run.line_count for run in self.runs)


class OneWorkspace(_WorkspaceServicer):
    """Knows WORKSPACE, and "workspaces/leaving", which is being deleted."""

    async def GetWorkspace(self, request: workspace_pb2.GetWorkspaceRequest, context: Any) -> workspace_pb2.Workspace:
        if request.name not in (WORKSPACE, "workspaces/leaving"):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}")
        return workspace_pb2.Workspace(name=request.name, deleting=request.name == "workspaces/leaving")


@dataclass
class Bench:
    """Search, workspaces, and an importer that can be stopped and started again on the same data."""

    data: Path
    roots: tuple[str, ...]
    search: RememberingSearch
    port: int
    workers: int = 2
    upload_bytes: int = 10 << 20
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    channel: grpc.aio.Channel | None = None

    async def start(self) -> None:
        """Starts the importer."""
        config = Config(
            folder=self.data / "importer",
            splits=self.data / "splits",
            roots=Roots(self.roots),
            workers=self.workers,
            upload_bytes=self.upload_bytes,
            search_target=f"127.0.0.1:{self.port}",
            workspace_target=f"127.0.0.1:{self.port}",
        )
        self._stack = contextlib.AsyncExitStack()
        server = build(config, listen="127.0.0.1:0", register=False, grace=0.1)
        await self._stack.enter_async_context(server)
        self.channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(server.address))

    async def stop(self) -> None:
        """Stops the importer; what it was at goes on with the next start."""
        await self._stack.aclose()

    @property
    def stub(self) -> importer_pb2_grpc.ImporterServiceAsyncStub:
        assert self.channel is not None
        return importer_pb2_grpc.ImporterServiceStub(self.channel)

    async def create(self, *paths: Path | str, full: bool = False, follow: bool = False) -> importer_pb2.Import:
        return await self.stub.CreateImport(create_request(*paths, full=full, follow=follow))

    def watch(self, name: str) -> AsyncIterator[importer_pb2.Import]:
        return aiter(self.stub.WatchImport(importer_pb2.WatchImportRequest(name=name)))

    async def finished(self, name: str, seconds: float = 60.0) -> importer_pb2.Import:
        """The import when it has ended."""
        async with asyncio.timeout(seconds):
            return [message async for message in self.watch(name)][-1]

    async def run(self, *paths: Path | str, full: bool = False) -> importer_pb2.Import:
        """Imports and waits for the end."""
        return await self.finished((await self.create(*paths, full=full)).name)


def create_request(
    *paths: Path | str, parent: str = WORKSPACE, full: bool = False, follow: bool = False
) -> importer_pb2.CreateImportRequest:
    """A request to import the paths."""
    request = importer_pb2.CreateImportRequest(parent=parent)
    getattr(request, "import").mode = importer_pb2.Import.FULL if full else importer_pb2.Import.MODE_UNSPECIFIED
    getattr(request, "import").follow = follow
    for path in paths:
        getattr(request, "import").sources.add(path=str(path))
    return request


@contextlib.asynccontextmanager
async def bench(data: Path, *roots: Path) -> AsyncIterator[Bench]:
    """Everything started; `data` is a folder of the test's own."""
    search = RememberingSearch()
    server = grpc.aio.server()
    search_pb2_grpc.add_SearchServiceServicer_to_server(cast("Any", search), server)
    workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server(cast("Any", OneWorkspace()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    one = Bench(data, tuple(str(root.resolve()) for root in roots), search, port)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()
        await server.stop(None)


def text(first: int, last: int, name: str = "app") -> bytes:
    """Lines as a log has them, long enough for all marks of a file to be apart."""
    lines = (
        f"2024-05-01 10:{n // 60 % 60:02}:{n % 60:02} INFO {name} did {n * 7919 % 10007} things as {n}\n"
        for n in range(first, last)
    )
    return "".join(lines).encode()


def found(it: Bench) -> list[bytes]:
    """Every line that can be found, sorted."""
    lines: list[bytes] = []
    for split in it.search.splits.values():
        frames = FrameReader(split_path(it.data / "splits", "default", split.id))
        held = [line for frame in frames for line in frame.lines]
        frames.close()
        row = 0
        for run in split.sources:
            if run.source_id not in it.search.deleted:
                lines += held[row : row + run.line_count]
            row += run.line_count
    return sorted(lines)


def sources(it: Bench) -> dict[str, list[tuple[int, int]]]:
    """(first line, lines) of the runs of each source, by its id."""
    runs: dict[str, list[tuple[int, int]]] = {}
    for run in it.search.runs:
        runs.setdefault(run.source_id, []).append((run.first_line, run.line_count))
    return runs
