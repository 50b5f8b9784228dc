"""The workspace process, wired up."""

from __future__ import annotations

import grpc.aio
from google.longrunning import operations_pb2_grpc

import kit
from kit.clock import SYSTEM, Clock
from kit.health import DiskSpace, GrpcHealth
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2_grpc
from services.workspace.config import Config
from services.workspace.deletion import Deletions
from services.workspace.operations import OperationsService
from services.workspace.service import WorkspaceService
from services.workspace.store import Store


def build(
    config: Config, *, clock: Clock = SYSTEM, listen: str | None = None, register: bool | None = None
) -> kit.Server:
    """The server, not yet started: the database opens, and unfinished deletions go on, when it does.

    `listen` and `register` are `kit.Server`'s.
    """
    store, neighbours = Store(config.database), _Neighbours(config)
    deletions = Deletions(store, (neighbours.delete_imports, neighbours.delete_logs), clock=clock)
    server = kit.Server(
        "workspace",
        listen=listen,
        register=register,
        single_process="it carries out the deletions that have begun",
        audit=True,
        idempotency=config.database.with_name("workspace-keys.db"),
    )
    server.add(
        WorkspaceService(store, deletions, clock=clock), workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server
    )
    server.add(OperationsService(store, deletions), operations_pb2_grpc.add_OperationsServicer_to_server)
    server.on_start(store.open)
    server.on_stop(store.close)
    server.on_start(neighbours.open)
    server.on_stop(neighbours.close)
    server.task("deletions", deletions.run)
    server.depends_on("database", store.ping)
    server.depends_on("disk", DiskSpace(config.database.parent))
    # Workspace and importer need each other: were that required, neither would ever be ready.
    server.depends_on("importer", GrpcHealth(neighbours.importer), required=False)
    server.depends_on("search", GrpcHealth(neighbours.search), required=False)
    return server


class _Neighbours:
    """The services that hold a workspace's content."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def open(self) -> None:
        self._importer: grpc.aio.Channel = kit.channel(self._config.importer_target)
        self._search: grpc.aio.Channel = kit.channel(self._config.search_target)

    async def close(self) -> None:
        await self._importer.close()
        await self._search.close()

    def importer(self) -> grpc.aio.Channel:
        """For health checks."""
        return self._importer

    def search(self) -> grpc.aio.Channel:
        """For health checks."""
        return self._search

    async def delete_imports(self, workspace: str) -> None:
        stub = importer_pb2_grpc.ImporterServiceStub(self._importer)
        await stub.DeleteImports(importer_pb2.DeleteImportsRequest(parent=workspace))

    async def delete_logs(self, workspace: str) -> None:
        stub = search_pb2_grpc.SearchServiceStub(self._search)
        await stub.DeleteLogs(search_pb2.DeleteLogsRequest(parent=workspace))
