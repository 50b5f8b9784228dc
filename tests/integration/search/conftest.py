"""A real search server on loopback, with a workspace service that knows some workspaces and, if wanted, a cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import kit
from kit.errors import NotFound, Unavailable
from kit.testing import InProcess
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


@dataclass
class Searching:
    """A running search service."""

    config: Config
    workspaces: FakeWorkspaces
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
async def searching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Searching]:
    monkeypatch.setenv("KIT_REGISTER", "0")
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    workspaces = FakeWorkspaces()  # type: ignore[abstract]  # only what is called
    async with InProcess(workspaces, workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server) as beside:
        config = Config(
            database=tmp_path / "search" / "catalog.db",
            splits=tmp_path / "splits",
            workspace_target=beside.address,
            cache_target="local:///cache",
            heartbeat=0.05,
        )
        server = build(config)
        async with server:
            channel = kit.channel(server.address)
            stub = search_pb2_grpc.SearchServiceStub(channel)
            yield Searching(config, workspaces, server, channel, stub)
            await channel.close()


def texts(hits: Sequence[search_pb2.Hit]) -> list[str]:
    return [hit.text for hit in hits]


def hits_of(responses: Sequence[search_pb2.StreamSearchResponse]) -> list[search_pb2.Hit]:
    return [hit for response in responses for hit in response.hits.hits]
