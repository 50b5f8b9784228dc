"""An importer process's inside on loopback, with a search and a workspace service that only remember."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
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

WORKSPACE = "workspaces/default"
SUCCEEDED = importer_pb2.Import.SUCCEEDED
FAILED = importer_pb2.Import.FAILED
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
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.take_first = False
        self.refuse: grpc.StatusCode | None = None

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
        await self.open.wait()
        self.splits.setdefault(request.split.id, request.split)
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

    @property
    def runs(self) -> list[search_pb2.SplitSource]:
        """Every run of every split, by source and place."""
        return sorted(
            (run for split in self.splits.values() for run in split.sources),
            key=lambda run: (run.source_id, run.first_line),
        )

    @property
    def lines(self) -> int:
        """Lines in all splits."""
        return sum(split.line_count for split in self.splits.values())


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

    async def create(self, *paths: Path | str) -> importer_pb2.Import:
        return await self.stub.CreateImport(create_request(*paths))

    def watch(self, name: str) -> AsyncIterator[importer_pb2.Import]:
        return aiter(self.stub.WatchImport(importer_pb2.WatchImportRequest(name=name)))

    async def finished(self, name: str, seconds: float = 60.0) -> importer_pb2.Import:
        """The import when it has ended."""
        async with asyncio.timeout(seconds):
            return [message async for message in self.watch(name)][-1]

    async def run(self, *paths: Path | str) -> importer_pb2.Import:
        """Imports and waits for the end."""
        return await self.finished((await self.create(*paths)).name)


def create_request(*paths: Path | str, parent: str = WORKSPACE) -> importer_pb2.CreateImportRequest:
    """A request to import the paths."""
    request = importer_pb2.CreateImportRequest(parent=parent)
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
