"""Search and StreamSearch: pages from the nearest place that has them, and streams of hits as they are found."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from opentelemetry import trace

from kit.clock import Clock
from loganalyzer.search.v1 import search_pb2
from services.search import requests
from services.search.answers import Answers
from services.search.hits import Highlighter, batches, fitting
from services.search.job import Job, Jobs
from services.search.seam import Answer, Cost, Done, Hits, LogLine, Plan, Progress

__all__ = ["DEFAULT_PAGE", "LARGEST_PAGE", "Pages", "fill", "plan_of", "response_of", "stats_of"]

DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
#: Bytes of lines that are made messages of in the event loop's thread; more of them would hold it up.
QUICK_BYTES = 32 << 10


class Pages:
    """Answers Search and StreamSearch."""

    def __init__(self, jobs: Jobs, answers: Answers, clock: Clock) -> None:
        self._jobs = jobs
        self._answers = answers
        self._clock = clock

    async def search(self, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
        """One page, from memory or the cache service if it is there, else from the index."""
        started = self._clock.now()
        # What is wrong with these two is said before anything else is asked.
        order, limit = requests.order_of(request.order_by), _limit(request)
        job = await self._jobs.make(request)
        plan = plan_of(request, job)

        fresh: tuple[search_pb2.SearchResponse, bytes] | None = None

        async def find() -> tuple[bytes, float]:
            nonlocal fresh
            found = await self._jobs.index.answer(job.snapshot, plan)
            cost = found.done.cost.seconds
            begun = time.thread_time()
            if sum(len(line.raw) for line in found.lines) < QUICK_BYTES:
                answer = response_of(found, job, plan)
                cost += time.thread_time() - begun
            else:
                answer, took = await self._jobs.blocking(lambda: _timed(found, job, plan))
                cost += took
            answer.stats.cost.FromNanoseconds(round(cost * 1e9))
            fresh = answer, answer.SerializeToString()
            return fresh[1], cost

        with trace.use_span(job.span(), end_on_exit=True) as span:
            prefix = f"search/{job.snapshot.token}/{job.workspace}"
            key = f"{prefix}/{order.value}/{limit}/{request.page_token}/".encode() + job.key
            packed, origin = await self._answers.get(key, prefix, find)
            # What was just packed need not be unpacked.
            unpack = search_pb2.SearchResponse.FromString
            answer = fresh[0] if fresh is not None and fresh[1] is packed else unpack(packed)
            answer.stats.served_from = origin
            answer.stats.duration.FromNanoseconds(round((self._clock.now() - started) * 1e9))
            span.set_attribute("search.total", answer.total_size)
            return answer

    async def stream(self, request: search_pb2.SearchRequest) -> AsyncGenerator[search_pb2.StreamSearchResponse]:
        """Progress, hits and done. Goes on as the caller takes what is found."""
        started = self._clock.now()
        order = requests.order_of(request.order_by)
        limit = requests.number_of(request.page_size, "page_size", default=0)
        job = await self._jobs.make(request)
        after = requests.place_of(request.page_token, job.workspace, job.key, order)
        plan = Plan(query=job.query, order=order, after=after, limit=limit or None)
        highlighter, span = Highlighter(job.query), job.span()
        try:
            async with aclosing(self._jobs.index.search(job.snapshot, plan)) as events:
                async for event in events:
                    match event:
                        case Progress():
                            progress = search_pb2.SearchProgress(lines_done=event.done, lines_total=event.total)
                            yield search_pb2.StreamSearchResponse(progress=progress)
                        case Hits():
                            for hits in await self.messages(event.lines, highlighter):
                                yield search_pb2.StreamSearchResponse(hits=search_pb2.HitBatch(hits=hits))
                        case Done():
                            done = search_pb2.SearchDone(total_size=event.total, total_size_is_estimate=not event.exact)
                            done.stats.CopyFrom(stats_of(event.cost, "index"))
                            done.stats.cost.FromNanoseconds(round(event.cost.seconds * 1e9))
                            done.stats.duration.FromNanoseconds(round((self._clock.now() - started) * 1e9))
                            yield search_pb2.StreamSearchResponse(done=done)
        finally:
            span.end()

    async def messages(self, lines: Sequence[LogLine], highlighter: Highlighter) -> Sequence[list[search_pb2.Hit]]:
        """The messages for lines, in batches that can be sent."""
        if sum(len(line.raw) for line in lines) < QUICK_BYTES:
            return list(batches(lines, highlighter))
        return await self._jobs.blocking(lambda: list(batches(lines, highlighter)))


def plan_of(request: search_pb2.SearchRequest, job: Job) -> Plan:
    """What a page asks of the index. InvalidArgument for a wrong order, size or token."""
    order = requests.order_of(request.order_by)
    after = requests.place_of(request.page_token, job.workspace, job.key, order)
    return Plan(query=job.query, order=order, after=after, limit=_limit(request), count=True)


def response_of(found: Answer, job: Job, plan: Plan) -> search_pb2.SearchResponse:
    """The page with the hits that fit into it."""
    answer = search_pb2.SearchResponse()
    fill(answer, found, job, plan)
    return answer


def fill(answer: search_pb2.SearchResponse, found: Answer, job: Job, plan: Plan) -> None:
    """Makes an empty message the page with the hits that fit into it."""
    cost = found.done.cost
    answer.total_size = found.done.total
    stats = answer.stats
    stats.splits_searched, stats.splits_pruned, stats.lines_scanned = cost.searched, cost.pruned, cost.lines
    stats.served_from = "index"
    if found.lines:
        answer.hits.extend(fitting(found.lines, Highlighter(job.query)))
        shown = len(answer.hits)
        if found.done.more or shown < len(found.lines):
            place = found.lines[shown - 1].place
            answer.next_page_token = requests.token_of(place, job.workspace, job.key, plan.order, now=job.now)


def stats_of(cost: Cost, served_from: str) -> search_pb2.SearchStats:
    """The figures of a search, without its times."""
    return search_pb2.SearchStats(
        splits_searched=cost.searched, splits_pruned=cost.pruned, lines_scanned=cost.lines, served_from=served_from
    )


def _limit(request: search_pb2.SearchRequest) -> int:
    return requests.number_of(request.page_size, "page_size", default=DEFAULT_PAGE, largest=LARGEST_PAGE)


def _timed(found: Answer, job: Job, plan: Plan) -> tuple[search_pb2.SearchResponse, float]:
    begun = time.thread_time()
    return response_of(found, job, plan), time.thread_time() - begun
