"""A real search server on loopback, with a workspace service that knows some workspaces and, if wanted, a cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import kit
from kit.clock import SYSTEM, Clock
from kit.errors import NotFound, Unavailable
from kit.testing import InProcess
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.search.app import build
from services.search.config import Config
from tests.unit.search.splits import WORKSPACE, Source, write_split

PARENT = f"workspaces/{WORKSPACE}"


class FakeWorkspaces(workspace_pb2_grpc.WorkspaceServiceServicer):
    """Knows `default`, `other` and `leaving`, which is being deleted; `down` makes it fail."""

    def __init__(self) -> None:
        self.known = {"workspaces/default", "workspaces/other", "workspaces/leaving"}
        self.down = False
        self.calls = 0

    async def GetWorkspace(self, request: workspace_pb2.GetWorkspaceRequest, context: Any) -> workspace_pb2.Workspace:
        self.calls += 1
        if self.down:
            raise Unavailable("not today")
        if request.name not in self.known:
            raise NotFound(f"there is no {request.name}")
        return workspace_pb2.Workspace(name=request.name, deleting=request.name == "workspaces/leaving")


class FakeImporter(importer_pb2_grpc.ImporterServiceServicer):
    """Sends whoever listens what is put into it."""

    def __init__(self) -> None:
        self.listening: list[asyncio.Queue[importer_pb2.ParsedLines | None]] = []
        self.came, self.left = asyncio.Event(), asyncio.Event()

    async def TailParsed(
        self, request: importer_pb2.TailParsedRequest, context: Any
    ) -> AsyncIterator[importer_pb2.ParsedLines]:
        queue: asyncio.Queue[importer_pb2.ParsedLines | None] = asyncio.Queue()
        self.listening.append(queue)
        self.came.set()
        try:
            while (parsed := await queue.get()) is not None:
                yield parsed
        finally:
            self.listening.remove(queue)
            self.left.set()

    async def read(self, source: Source, *, gap: bool = False) -> None:
        """Sends lines to everyone, as soon as there is somebody."""
        async with asyncio.timeout(10):
            await self.came.wait()
        parsed = importer_pb2.ParsedLines(
            source_id=source.source_id,
            source=source.name,
            first_line=source.first_line,
            lines=[row.raw for row in source.rows],
            times_us=[row.time for row in source.rows],
            levels=bytes(row.level for row in source.rows),
            records=bytes(row.starts for row in source.rows),
            gap=gap,
        )
        for queue in self.listening:
            queue.put_nowait(parsed)


@dataclass
class Searching:
    """A running search service."""

    config: Config
    workspaces: FakeWorkspaces
    importer: FakeImporter
    server: kit.Server
    channel: grpc.aio.Channel
    stub: search_pb2_grpc.SearchServiceAsyncStub
    published: list[search_pb2.Split] = field(default_factory=list)

    async def publish(
        self, *sources: Source, split_id: str | None = None, workspace: str = WORKSPACE, **options: Any
    ) -> search_pb2.Split:
        """Writes a split and publishes it."""
        name = split_id or f"s{len(self.published) + 1}"
        split = write_split(self.config.splits, sources, split_id=name, workspace=workspace, **options)
        request = search_pb2.PublishSplitRequest(parent=f"workspaces/{workspace}", split=split)
        await self.stub.PublishSplit(request)
        self.published.append(split)
        return split

    async def search(self, query: str = "", **fields: Any) -> search_pb2.SearchResponse:
        return await self.stub.Search(search_pb2.SearchRequest(**{"parent": PARENT, "query": query, **fields}))

    async def pages(self, query: str = "", **fields: Any) -> list[search_pb2.Hit]:
        """The hits of all pages."""
        hits: list[search_pb2.Hit] = []
        token = ""
        while True:
            page = await self.search(query, page_token=token, **fields)
            hits += page.hits
            token = page.next_page_token
            if not token:
                return hits

    async def stream(self, query: str = "", **fields: Any) -> list[search_pb2.StreamSearchResponse]:
        request = search_pb2.SearchRequest(**{"parent": PARENT, "query": query, **fields})
        return [response async for response in self.stub.StreamSearch(request)]


@pytest.fixture
def clock() -> Clock:
    """The service's clock; a module of tests may have another."""
    return SYSTEM


@pytest.fixture
async def searching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> AsyncIterator[Searching]:
    monkeypatch.setenv("KIT_REGISTER", "0")
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    workspaces = FakeWorkspaces()  # type: ignore[abstract]  # only what is called
    importer = FakeImporter()  # type: ignore[abstract]  # only what is called
    async with (
        InProcess(workspaces, workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server) as beside,
        InProcess(importer, importer_pb2_grpc.add_ImporterServiceServicer_to_server) as feeding,
    ):
        config = Config(
            database=tmp_path / "search" / "catalog.db",
            splits=tmp_path / "splits",
            workspace_target=beside.address,
            cache_target="local:///cache",
            importer_target=feeding.address,
            heartbeat=0.05,
        )
        server = build(config, clock=clock)
        async with server:
            channel = kit.channel(server.address)
            stub = search_pb2_grpc.SearchServiceStub(channel)
            yield Searching(config, workspaces, importer, server, channel, stub)
            await channel.close()


def texts(hits: Sequence[search_pb2.Hit]) -> list[str]:
    return [hit.text for hit in hits]


def hits_of(responses: Sequence[search_pb2.StreamSearchResponse]) -> list[search_pb2.Hit]:
    return [hit for response in responses for hit in response.hits.hits]
