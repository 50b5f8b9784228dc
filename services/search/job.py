"""A request that was understood: which workspace, what it holds now, and the query in normal form."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from opentelemetry import trace

from kit.clock import SYSTEM, Clock
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import requests
from services.search.query import key_of
from services.search.seam import LogIndex, Snapshot
from services.search.workspaces import Workspaces

__all__ = ["Asks", "Job", "Jobs"]

T = TypeVar("T")
#: Requests that ask for lines: a parent, a query and a range of times.
Asks = (
    search_pb2.SearchRequest
    | search_pb2.GetHistogramRequest
    | search_pb2.GetTopValuesRequest
    | search_pb2.ExportLogsRequest
    | search_pb2.GetTemplatesRequest
    | search_pb2.ExplainQueryRequest
)
_tracer = trace.get_tracer("loganalyzer.search")


@dataclass(frozen=True, slots=True)
class Job:
    """`key` is equal for queries that mean the same.

    `now`: the query has relative times, which were counted from then, in microseconds since 1970.
    """

    workspace: str
    snapshot: Snapshot
    query: query_pb2.Query
    key: bytes
    now: int | None = None

    def span(self) -> trace.Span:
        """The span of the search, not yet ended."""
        identifier = hashlib.blake2b(self.workspace.encode() + b"\0" + self.key, digest_size=8).hexdigest()
        attributes = {"query.id": identifier, "workspace.id": self.workspace}
        return _tracer.start_span("search.service", attributes=attributes)


class Jobs:
    """Makes jobs, and runs blocking work in threads."""

    def __init__(self, index: LogIndex, workspaces: Workspaces, executor: Executor, *, clock: Clock = SYSTEM) -> None:
        self.index = index
        self._clock = clock
        self._workspaces = workspaces
        self._executor = executor

    async def make(self, request: Asks) -> Job:
        """The job of a request. InvalidArgument, NotFound and so on where there is none; QuerySyntaxError as well."""
        workspace = requests.workspace_of(request.parent)
        query, now = self.query_of(request)
        return Job(workspace, await self.snapshot(workspace), query, key_of(query), now)

    def query_of(self, request: Asks) -> tuple[query_pb2.Query, int | None]:
        """The query in normal form and `Job.now`. Each page counts relative times from where the first one did.

        What is asked again in the same second is the same query.
        """
        token = request.page_token if isinstance(request, search_pb2.SearchRequest) else ""
        known = requests.now_of(token)
        now = int(self._clock.wall()) * 1_000_000 if known is None else known
        query = requests.query_of(
            request.query,
            request.start_time if request.HasField("start_time") else None,
            request.end_time if request.HasField("end_time") else None,
            now=now,
        )
        return query, now if requests.is_relative(request.query, now) else None

    async def snapshot(self, workspace: str) -> Snapshot:
        """What a workspace holds now, if it can be searched (`Workspaces.require`)."""
        snapshot = self.index.snapshot(workspace)
        await self._workspaces.require(workspace, has_logs=snapshot.line_count > 0)
        return snapshot

    async def blocking(self, work: Callable[[], T]) -> T:
        """Does blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
