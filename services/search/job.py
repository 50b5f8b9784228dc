"""One search on its way through the threads: what it looks at, and how it ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from opentelemetry import trace

from kit.errors import Aborted, DataLoss
from loganalyzer.search.v1 import query_pb2
from services.search.catalog import Catalog, View
from services.search.execute import Place, Plan
from services.search.hits import Messages
from services.search.index.split import Order
from services.search.library import DAMAGED, Library
from services.search.query import key_of
from services.search.requests import DOMAIN

__all__ = ["Job", "Jobs"]

T = TypeVar("T")
_tracer = trace.get_tracer("loganalyzer.search")


class _AbandonedError(Exception):
    """Nobody waits for this search any more."""


class Job:
    """A query over a view. `abandon` ends the work in the threads at the next split or chunk."""

    def __init__(self, workspace: str, view: View, query: query_pb2.Query, library: Library) -> None:
        self.workspace = workspace
        self.view = view
        self.query = query
        #: Equal for queries that mean the same.
        self.key = key_of(query)
        self._library = library
        self._abandoned = threading.Event()

    def plan(self, order: Order, after: Place | None = None) -> Plan:
        """What `execute` needs."""
        return Plan(query=self.query, order=order, after=after, open_split=self._library.reader, check=self.check)

    def messages(self) -> Messages:
        """Makes messages of the lines that are found."""
        return Messages(self.view, self._library.reader)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._abandoned.set()

    def check(self) -> None:
        """Raises where nobody waits any more."""
        if self._abandoned.is_set():
            raise _AbandonedError

    def span(self) -> trace.Span:
        """The span of the search, not yet ended."""
        identifier = hashlib.blake2b(self.workspace.encode() + b"\0" + self.key, digest_size=8).hexdigest()
        attributes = {"query.id": identifier, "workspace.id": self.workspace}
        return _tracer.start_span("search.service", attributes=attributes)


class Jobs:
    """Makes jobs, and runs their blocking work in threads."""

    def __init__(self, catalog: Catalog, library: Library, executor: Executor) -> None:
        self._catalog = catalog
        self._library = library
        self._executor = executor

    def make(self, workspace: str, query: query_pb2.Query) -> Job:
        """A job over what is published now."""
        return Job(workspace, self._catalog.view(workspace), query, self._library)

    async def blocking(self, work: Callable[[], T]) -> T:
        """Does blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def run(self, job: Job, work: Callable[[], T]) -> T:
        """Does a job's blocking work in a thread, which is told when the caller has gone.

        DataLoss where a split cannot be read; Aborted where that is so because the workspace was emptied meanwhile.
        """
        try:
            return await self.blocking(work)
        except asyncio.CancelledError:
            job.abandon()
            raise
        except (DataLoss, *DAMAGED) as error:
            if self._catalog.view(job.workspace).generation != job.view.generation:
                raise Aborted("the logs of the workspace were changed meanwhile") from error
            if isinstance(error, DataLoss):
                raise
            raise DataLoss("a split cannot be read", reason="SPLIT_DAMAGED", domain=DOMAIN) from error
