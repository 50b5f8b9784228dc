"""A real workspace server on loopback, with importer and search services that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.longrunning import operations_pb2_grpc

import kit
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2_grpc
from services.workspace.app import build
from services.workspace.config import Config


class EagerClock:
    """The machine's time, but nobody sleeps."""

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1_700_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Neighbours:
    """Importer and search in one process. They answer once `open` is set, after `failures` refusals."""

    target: str = ""
    failures: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, verb: str, parent: str, context: Any) -> None:
        self.calls.append(f"{verb} {parent}")
        self.asked.set()
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.INTERNAL, "not today")
        await self.open.wait()


class FakeImporter(importer_pb2_grpc.ImporterServiceServicer):
    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    async def DeleteImports(self, request: Any, context: Any) -> importer_pb2.DeleteImportsResponse:
        await self._neighbours.take("imports", request.parent, context)
        return importer_pb2.DeleteImportsResponse()


class FakeSearch(search_pb2_grpc.SearchServiceServicer):
    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    async def DeleteLogs(self, request: Any, context: Any) -> search_pb2.DeleteLogsResponse:
        await self._neighbours.take("logs", request.parent, context)
        return search_pb2.DeleteLogsResponse()


@pytest.fixture
async def neighbours() -> AsyncIterator[Neighbours]:
    state = Neighbours()
    server = grpc.aio.server()
    importer_pb2_grpc.add_ImporterServiceServicer_to_server(FakeImporter(state), server)  # type: ignore[abstract] # only what is called
    search_pb2_grpc.add_SearchServiceServicer_to_server(FakeSearch(state), server)  # type: ignore[abstract] # likewise
    state.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield state
    await server.stop(None)


@dataclass
class Client:
    """Stubs of one running workspace process."""

    workspaces: Any
    operations: Any


@asynccontextmanager
async def workspace_process(folder: Path, neighbours: Neighbours) -> AsyncIterator[Client]:
    """One life of the workspace server on the database in `folder`. The client is a stock grpc.aio one."""
    config = Config(
        database=folder / "workspaces.db", importer_target=neighbours.target, search_target=neighbours.target
    )
    server: kit.Server = build(config, clock=EagerClock(), listen="127.0.0.1:0", register=False)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Client(workspace_pb2_grpc.WorkspaceServiceStub(channel), operations_pb2_grpc.OperationsStub(channel))
    finally:
        await server.stop(0)


@pytest.fixture
async def client(tmp_path: Path, neighbours: Neighbours) -> AsyncIterator[Client]:
    async with workspace_process(tmp_path, neighbours) as client:
        yield client
