"""SearchService: each method hands its request to the part that answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Any

from google.api import httpbody_pb2

from kit.clock import SYSTEM, Clock
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from services.search.answers import Answers
from services.search.batches import Batches
from services.search.catalog import Catalog
from services.search.config import Config
from services.search.exports import Exports
from services.search.feed import Feeds
from services.search.job import Jobs
from services.search.looks import Looks
from services.search.pages import Pages
from services.search.seam import LogIndex
from services.search.tails import Tails
from services.search.templates import Templates
from services.search.upkeep import Upkeep
from services.search.workspaces import Workspaces

__all__ = ["SearchService"]


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """Everything that the RPCs of loganalyzer.search.v1.SearchService do."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        index: LogIndex,
        workspaces: Workspaces,
        answers: Answers,
        executor: Executor,
        feeds: Feeds,
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        jobs = Jobs(index, workspaces, executor, clock=clock)
        self._pages = Pages(jobs, answers, clock)
        self._batches = Batches(jobs)
        self._looks = Looks(jobs)
        self._exports = Exports(jobs)
        self._templates = Templates(jobs)
        self._tails = Tails(jobs, feeds, heartbeat=config.heartbeat, clock=clock)
        self._upkeep = Upkeep(config, catalog, index, workspaces)

    async def Search(self, request: search_pb2.SearchRequest, context: Any) -> search_pb2.SearchResponse:
        return await self._pages.search(request)

    async def StreamSearch(
        self, request: search_pb2.SearchRequest, context: Any
    ) -> AsyncIterator[search_pb2.StreamSearchResponse]:
        async with aclosing(self._pages.stream(request)) as responses:
            async for response in responses:
                yield response

    async def BatchSearch(self, request: search_pb2.BatchSearchRequest, context: Any) -> search_pb2.BatchSearchResponse:
        return await self._batches.search(request)

    async def GetHistogram(self, request: search_pb2.GetHistogramRequest, context: Any) -> search_pb2.Histogram:
        return await self._looks.histogram(request)

    async def GetTopValues(self, request: search_pb2.GetTopValuesRequest, context: Any) -> search_pb2.TopValues:
        return await self._looks.top_values(request)

    async def ExplainQuery(self, request: search_pb2.ExplainQueryRequest, context: Any) -> search_pb2.QueryPlan:
        return await self._looks.explain(request)

    async def GetTemplates(self, request: search_pb2.GetTemplatesRequest, context: Any) -> search_pb2.Templates:
        return await self._templates.find(request)

    async def ExportLogs(
        self, request: search_pb2.ExportLogsRequest, context: Any
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        async with aclosing(self._exports.export(request)) as bodies:
            async for body in bodies:
                yield body

    async def TailLogs(
        self, request: search_pb2.TailLogsRequest, context: Any
    ) -> AsyncIterator[search_pb2.TailLogsResponse]:
        async with aclosing(self._tails.tail(request)) as responses:
            async for response in responses:
                yield response

    async def GetLogContext(self, request: search_pb2.GetLogContextRequest, context: Any) -> search_pb2.LogContext:
        return await self._looks.context(request)

    async def GetLogStats(self, request: search_pb2.GetLogStatsRequest, context: Any) -> search_pb2.LogStats:
        return await self._looks.stats(request)

    async def ListLogSources(
        self, request: search_pb2.ListLogSourcesRequest, context: Any
    ) -> search_pb2.ListLogSourcesResponse:
        return await self._looks.sources(request)

    async def DeleteLogSource(
        self, request: search_pb2.DeleteLogSourceRequest, context: Any
    ) -> search_pb2.DeleteLogSourceResponse:
        return await self._looks.delete_source(request)

    async def PublishSplit(
        self, request: search_pb2.PublishSplitRequest, context: Any
    ) -> search_pb2.PublishSplitResponse:
        return await self._upkeep.publish(request)

    async def ListSplits(self, request: search_pb2.ListSplitsRequest, context: Any) -> search_pb2.ListSplitsResponse:
        return await self._upkeep.splits(request)

    async def DeleteLogs(self, request: search_pb2.DeleteLogsRequest, context: Any) -> search_pb2.DeleteLogsResponse:
        return await self._upkeep.delete(request)

    async def CheckLogs(self, request: search_pb2.CheckLogsRequest, context: Any) -> search_pb2.CheckLogsResponse:
        return await self._upkeep.check(request)

    async def RepairLogs(self, request: search_pb2.RepairLogsRequest, context: Any) -> search_pb2.RepairLogsResponse:
        return await self._upkeep.repair(request)
