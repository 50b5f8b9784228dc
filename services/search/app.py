"""The search process, wired up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc.aio

import kit
from kit.clock import SYSTEM, Clock
from kit.health import DiskSpace, GrpcHealth
from loganalyzer.cache.v1 import cache_pb2_grpc
from loganalyzer.importer.v1 import importer_pb2_grpc
from loganalyzer.search.v1 import search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2_grpc
from services.search.answers import Answers, SharedAnswers
from services.search.care.process import CareProcess
from services.search.catalog import Catalog
from services.search.config import Config
from services.search.feed import Feeds
from services.search.library import Library
from services.search.query import QuerySyntaxError
from services.search.requests import unreadable_query
from services.search.service import SearchService
from services.search.split_index import SplitIndex
from services.search.workspaces import Workspaces

__all__ = ["build"]


def build(config: Config, *, clock: Clock = SYSTEM) -> kit.Server:
    """The server, not yet started: the catalogue opens when it does."""
    catalog = Catalog(config.database, clock=clock)
    library = Library(config.splits, open_splits=config.open_splits, frames=config.frames)
    executor = ThreadPoolExecutor(config.threads, thread_name_prefix="search")
    neighbours = _Neighbours(config)
    answers = Answers(config.answer_bytes, SharedAnswers(lambda: neighbours.cache, clock=clock))
    feeds = Feeds(lambda: neighbours.importer, clock=clock)
    service = SearchService(
        config,
        catalog,
        SplitIndex(catalog, library, executor),
        Workspaces(lambda: neighbours.workspace, clock=clock),
        answers,
        executor,
        feeds,
        clock=clock,
    )

    async def close() -> None:
        await feeds.close()
        await answers.close()
        executor.shutdown(wait=False, cancel_futures=True)

    server = kit.Server("search", errors={QuerySyntaxError: unreadable_query}, audit=True)
    server.add(service, search_pb2_grpc.add_SearchServiceServicer_to_server)
    server.on_start(neighbours.open)
    server.on_stop(neighbours.close)
    server.on_start(catalog.open)
    server.on_stop(catalog.close)
    server.on_stop(close)
    if config.care:
        care = CareProcess(config, clock=clock)
        server.on_start(care.start)
        server.on_stop(care.stop)
    server.depends_on("database", catalog.ping)
    server.depends_on("disk", DiskSpace(config.splits))
    server.depends_on("workspace", GrpcHealth(neighbours.channel_to_workspace), required=False)
    server.depends_on("cache", GrpcHealth(neighbours.channel_to_cache), required=False)
    return server


class _Neighbours:
    """The services that the search asks. Channels belong to an event loop, so they open with the server."""

    workspace: workspace_pb2_grpc.WorkspaceServiceAsyncStub
    cache: cache_pb2_grpc.CacheServiceAsyncStub
    importer: importer_pb2_grpc.ImporterServiceAsyncStub

    def __init__(self, config: Config) -> None:
        self._config = config
        self._channels: list[grpc.aio.Channel] = []

    async def open(self) -> None:
        """Makes channels and stubs; nothing is connected before the first call."""
        workspace, cache = kit.channel(self._config.workspace_target), kit.channel(self._config.cache_target)
        importer = kit.channel(self._config.importer_target)
        self._channels = [workspace, cache, importer]
        self.importer = importer_pb2_grpc.ImporterServiceStub(importer)
        self.workspace = workspace_pb2_grpc.WorkspaceServiceStub(workspace)
        self.cache = cache_pb2_grpc.CacheServiceStub(cache)

    def channel_to_workspace(self) -> grpc.aio.Channel:
        """For health checks."""
        return self._channels[0]

    def channel_to_cache(self) -> grpc.aio.Channel:
        """For health checks."""
        return self._channels[1]

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels:
            await channel.close()
