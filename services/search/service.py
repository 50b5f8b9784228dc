"""SearchService: translates between protobuf and the search, and keeps blocking work off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from opentelemetry import trace

import kit
from kit.clock import SYSTEM, Clock
from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from loganalyzer.search.v1 import query_pb2, search_pb2, search_pb2_grpc
from services.search import execute, requests
from services.search.answers import Answers
from services.search.bars import Bars, bars_for
from services.search.catalog import Catalog, View
from services.search.hits import Highlighter, nearest, timestamp_of
from services.search.index.split import Order
from services.search.job import Job, Jobs
from services.search.library import Library
from services.search.query import bounds_of
from services.search.workspaces import Workspaces

__all__ = ["SearchService"]

DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
DEFAULT_BARS, LARGEST_BARS = 60, 1000
DEFAULT_CONTEXT, LARGEST_CONTEXT = 5, 500
DEFAULT_SPLITS = 100


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """`heartbeat` is the longest silence of a tail, in seconds."""

    def __init__(
        self,
        catalog: Catalog,
        library: Library,
        workspaces: Workspaces,
        answers: Answers,
        executor: Executor,
        *,
        heartbeat: float = 15.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self._catalog = catalog
        self._library = library
        self._workspaces = workspaces
        self._answers = answers
        self._jobs = Jobs(catalog, library, executor)
        self._heartbeat = heartbeat
        self._clock = clock

    async def Search(self, request: search_pb2.SearchRequest, context: Any) -> search_pb2.SearchResponse:
        started = self._clock.now()
        order = requests.order_of(request.order_by)
        limit = requests.number_of(request.page_size, "page_size", default=DEFAULT_PAGE, largest=LARGEST_PAGE)
        job = await self._job(request)
        after = requests.place_of(request.page_token, job.workspace, job.key, order)
        with trace.use_span(job.span(), end_on_exit=True) as span:

            def search() -> tuple[bytes, float]:
                begun = time.thread_time()
                page = execute.find_page(job.view, job.plan(order, after), limit)
                answer = search_pb2.SearchResponse(total_size=page.total, stats=_stats(page.cost))
                answer.hits.extend(next(job.messages().batches(page.hits, Highlighter(job.query)), []))
                shown = len(answer.hits)
                if page.more or shown < len(page.hits):
                    place = page.hits[shown - 1].place
                    answer.next_page_token = requests.token_of(place, job.workspace, job.key, order)
                return answer.SerializeToString(), time.thread_time() - begun

            prefix = f"search/{self._catalog.identity}/{job.workspace}/{job.view.generation}"
            key = f"{prefix}/{order.value}/{limit}/{request.page_token}/".encode() + job.key
            packed, kept = await self._answers.get(key, prefix, lambda: self._jobs.run(job, search))
            answer = search_pb2.SearchResponse.FromString(packed)
            answer.stats.served_from = "cache" if kept else "index"
            answer.stats.duration.FromNanoseconds(round((self._clock.now() - started) * 1e9))
            span.set_attribute("search.total", answer.total_size)
            return answer

    async def StreamSearch(
        self, request: search_pb2.SearchRequest, context: Any
    ) -> AsyncIterator[search_pb2.StreamSearchResponse]:
        started = self._clock.now()
        order = requests.order_of(request.order_by)
        limit = requests.number_of(request.page_size, "page_size", default=0)
        job = await self._job(request)
        after = requests.place_of(request.page_token, job.workspace, job.key, order)
        span = job.span()
        try:
            responses = _stream(job, job.plan(order, after), limit)
            while (response := await self._jobs.run(job, lambda: next(responses, None))) is not None:
                if response.HasField("done"):
                    response.done.stats.served_from = "index"
                    response.done.stats.duration.FromNanoseconds(round((self._clock.now() - started) * 1e9))
                yield response
        finally:
            job.abandon()
            span.end()

    async def GetHistogram(self, request: search_pb2.GetHistogramRequest, context: Any) -> search_pb2.Histogram:
        wanted = requests.number_of(request.bucket_count, "bucket_count", default=DEFAULT_BARS, largest=LARGEST_BARS)
        job = await self._job(request)
        bars = _bars(job.view, job.query, wanted)
        with trace.use_span(job.span(), end_on_exit=True):
            counts, total = await self._jobs.run(
                job,
                lambda: execute.histogram(job.view, job.plan(Order.OLDEST), bars.start, bars.width, bars.count),
            )
        answer = search_pb2.Histogram(total_size=total)
        answer.bucket_width.FromMicroseconds(bars.width)
        for number in range(bars.count):
            levels = counts.get(number, {})
            bucket = answer.buckets.add(
                start_time=timestamp_of(bars.start + number * bars.width), count=sum(levels.values())
            )
            for level in sorted(levels):
                bucket.levels.add(level=query_pb2.Level.ValueType(level), count=levels[level])
        answer.undated_count = total - sum(bucket.count for bucket in answer.buckets)
        return answer

    async def TailLogs(
        self, request: search_pb2.TailLogsRequest, context: Any
    ) -> AsyncIterator[search_pb2.TailLogsResponse]:
        job = await self._job(request)
        highlighter = Highlighter(job.query)
        # The first sign of life says that nothing is missed from here on.
        yield search_pb2.TailLogsResponse()
        view = job.view
        while True:
            changed = await kit.unless_draining(
                self._within(self._catalog.changed(job.workspace, view), self._heartbeat)
            )
            if changed is None:
                await self._workspaces.require(job.workspace, has_logs=bool(view.splits))
                yield search_pb2.TailLogsResponse()
                continue
            last = view.splits[-1].seq if view.splits else 0
            fresh = View(changed.generation, tuple(known for known in changed.splits if known.seq > last))
            view = changed
            tailed = self._jobs.make(job.workspace, job.query)
            batches = _new_hits(tailed, fresh, highlighter)
            try:
                while (hits := await self._jobs.run(tailed, partial(next, batches, None))) is not None:
                    yield search_pb2.TailLogsResponse(hits=hits)
            finally:
                tailed.abandon()

    async def GetLogContext(self, request: search_pb2.GetLogContextRequest, context: Any) -> search_pb2.LogContext:
        workspace, source_id, number = requests.log_of(request.name)
        before = _lines(request.before if request.HasField("before") else None, "before")
        after = _lines(request.after if request.HasField("after") else None, "after")
        await self._workspaces.require(workspace, has_logs=bool(self._catalog.view(workspace).splits))
        view = self._catalog.view(workspace)
        if view.run_of(source_id, number) is None:
            raise NotFound(
                f"there is no {request.name}",
                reason="LOG_NOT_FOUND",
                domain=requests.DOMAIN,
                metadata={"name": request.name},
            )
        first = number
        while first > max(1, number - before) and view.run_of(source_id, first - 1) is not None:
            first -= 1
        job = self._jobs.make(workspace, query_pb2.Query())
        hits = await self._jobs.run(job, lambda: job.messages().between(source_id, first, number + after))
        at = number - first
        low, high = nearest(hits, at)
        return search_pb2.LogContext(before=hits[low:at], hit=hits[at], after=hits[at + 1 : high])

    async def GetLogStats(self, request: search_pb2.GetLogStatsRequest, context: Any) -> search_pb2.LogStats:
        workspace = requests.workspace_of(request.parent)
        await self._workspaces.require(workspace, has_logs=bool(self._catalog.view(workspace).splits))
        splits = [published.split for published in self._catalog.view(workspace).splits]
        answer = search_pb2.LogStats(
            line_count=sum(split.line_count for split in splits),
            raw_bytes=sum(split.raw_bytes for split in splits),
            stored_bytes=sum(split.stored_bytes for split in splits),
            split_count=len(splits),
        )
        dated = [split for split in splits if split.has_times]
        if dated:
            answer.start_time.CopyFrom(timestamp_of(min(split.min_time_us for split in dated)))
            answer.end_time.CopyFrom(timestamp_of(max(split.max_time_us for split in dated)))
        return answer

    async def PublishSplit(
        self, request: search_pb2.PublishSplitRequest, context: Any
    ) -> search_pb2.PublishSplitResponse:
        workspace = requests.workspace_of(request.parent)
        split = request.split
        if any(published.split.id == split.id for published in self._catalog.view(workspace).splits):
            return search_pb2.PublishSplitResponse(already_published=True)
        wrong = await self._jobs.blocking(lambda: self._library.check(workspace, split))
        if wrong:
            raise FailedPrecondition(
                f"split {split.id!r} {wrong}",
                reason="SPLIT_NOT_USABLE",
                domain=requests.DOMAIN,
                violations=[FieldViolation("split", wrong)],
            )
        added = await self._catalog.publish(workspace, split)
        return search_pb2.PublishSplitResponse(already_published=not added)

    async def ListSplits(self, request: search_pb2.ListSplitsRequest, context: Any) -> search_pb2.ListSplitsResponse:
        workspace = requests.workspace_of(request.parent)
        limit = requests.number_of(request.page_size, "page_size", default=DEFAULT_SPLITS, largest=LARGEST_PAGE)
        try:
            last = int(request.page_token or "0")
        except ValueError:
            raise requests.invalid("page_token", "is not a token of this list") from None
        found = [
            published
            for published in self._catalog.view(workspace).splits
            if published.seq > last
            and (
                not request.import_name
                or any(run.import_name == request.import_name for run in published.split.sources)
            )
        ]
        answer = search_pb2.ListSplitsResponse(splits=[published.split for published in found[:limit]])
        if len(found) > limit:
            answer.next_page_token = str(found[limit - 1].seq)
        return answer

    async def DeleteLogs(self, request: search_pb2.DeleteLogsRequest, context: Any) -> search_pb2.DeleteLogsResponse:
        workspace = requests.workspace_of(request.parent)
        # Rows first: what has no row is never searched, whatever of its folder is left.
        count = await self._catalog.delete(workspace)
        self._workspaces.forget(workspace)
        await self._jobs.blocking(lambda: self._library.remove(workspace))
        return search_pb2.DeleteLogsResponse(split_count=count)

    async def _job(
        self, request: search_pb2.SearchRequest | search_pb2.GetHistogramRequest | search_pb2.TailLogsRequest
    ) -> Job:
        """Checks what these requests have in common."""
        workspace = requests.workspace_of(request.parent)
        if isinstance(request, search_pb2.TailLogsRequest):
            query = requests.query_of(request.query)
        else:
            query = requests.query_of(
                request.query,
                request.start_time if request.HasField("start_time") else None,
                request.end_time if request.HasField("end_time") else None,
            )
        await self._workspaces.require(workspace, has_logs=bool(self._catalog.view(workspace).splits))
        return self._jobs.make(workspace, query)

    async def _within(self, waiting: Any, seconds: float) -> Any:
        """What `waiting` gives, or None when `seconds` have passed."""
        wanted, tired = asyncio.ensure_future(waiting), asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([wanted, tired], return_when=asyncio.FIRST_COMPLETED)
            return wanted.result() if wanted.done() else None
        finally:
            wanted.cancel()
            tired.cancel()


def _stream(job: Job, plan: execute.Plan, limit: int) -> Iterator[search_pb2.StreamSearchResponse]:
    """The responses of a stream. Blocks."""
    messages, highlighter = job.messages(), Highlighter(job.query)
    for event in execute.stream(job.view, plan, limit):
        if isinstance(event, execute.Progress):
            progress = search_pb2.SearchProgress(lines_done=event.done, lines_total=event.total)
            yield search_pb2.StreamSearchResponse(progress=progress)
        elif isinstance(event, execute.Page):
            done = search_pb2.SearchDone(total_size=event.total, total_size_is_estimate=event.more)
            done.stats.CopyFrom(_stats(event.cost))
            yield search_pb2.StreamSearchResponse(done=done)
        else:
            for hits in messages.batches(event, highlighter):
                yield search_pb2.StreamSearchResponse(hits=search_pb2.HitBatch(hits=hits))


def _new_hits(job: Job, fresh: View, highlighter: Highlighter) -> Iterator[list[search_pb2.Hit]]:
    """The hits in splits that are new, oldest first. Blocks."""
    messages = job.messages()
    for event in execute.stream(fresh, job.plan(Order.OLDEST), 0):
        if isinstance(event, list):
            yield from messages.batches(event, highlighter)


def _stats(cost: execute.Cost) -> search_pb2.SearchStats:
    return search_pb2.SearchStats(splits_searched=cost.searched, splits_pruned=cost.pruned, lines_scanned=cost.lines)


def _bars(view: View, query: query_pb2.Query, wanted: int) -> Bars:
    """Bars over the times that are both in the view and in the query's bounds."""
    bounds = bounds_of(query)
    dated = [published.split for published in view.splits if published.split.has_times]
    low = min((split.min_time_us for split in dated), default=0)
    high = max((split.max_time_us + 1 for split in dated), default=0)
    low = low if bounds.low is None else max(low, bounds.low)
    high = high if bounds.high is None else min(high, bounds.high)
    return bars_for(low, high, wanted) if low < high else Bars(0, 0, 0)


def _lines(value: int | None, field: str) -> int:
    if value is None:
        return DEFAULT_CONTEXT
    if not 0 <= value <= LARGEST_CONTEXT:
        raise InvalidArgument(
            f"{field} must be between 0 and {LARGEST_CONTEXT}",
            violations=[FieldViolation(field, f"must be between 0 and {LARGEST_CONTEXT}")],
        )
    return value
