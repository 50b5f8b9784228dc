"""What is asked of a workspace beside its hits: bars, top values, plans, a line's neighbours, sources, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from opentelemetry import trace

from kit.clock import SYSTEM, Clock
from kit.errors import FieldViolation, InvalidArgument, NotFound
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import requests
from services.search.bars import Bars, bars_for
from services.search.budget import Budget, budget, newest
from services.search.hits import message_of, nearest, timestamp_of
from services.search.job import Job, Jobs
from services.search.query import bounds_of, render
from services.search.query.fields import field_values
from services.search.seam import Answer, LogLine, Order, Plan, ValuesWanted
from services.search.tally import LINES_READ

__all__ = ["Looks"]

#: Parts of the time for an estimate: for the first and last hit of a histogram, and for counting every line's values.
EDGES_SHARE, WHOLE_SHARE = 0.3, 0.5
DEFAULT_BARS, LARGEST_BARS = 60, 1000
DEFAULT_VALUES, LARGEST_VALUES = 10, 1000
DEFAULT_CONTEXT, LARGEST_CONTEXT = 5, 500
DEFAULT_SOURCES, LARGEST_SOURCES = 100, 1000


class Looks:
    """Answers what asks neither for pages nor for streams of hits."""

    def __init__(self, jobs: Jobs, *, clock: Clock = SYSTEM) -> None:
        self._jobs = jobs
        self._clock = clock

    async def histogram(self, request: search_pb2.GetHistogramRequest) -> search_pb2.Histogram:
        wanted = requests.number_of(request.bucket_count, "bucket_count", default=DEFAULT_BARS, largest=LARGEST_BARS)
        job = await self._jobs.make(request)
        with trace.use_span(job.span(), end_on_exit=True):
            bars = bars_of(job, wanted, await self._edges(job))
            found = await self._jobs.index.answer(job.snapshot, Plan(query=job.query, limit=0, histogram=bars))
        counts = (found.aggregates.histogram if found.aggregates else None) or {}
        answer = search_pb2.Histogram(total_size=found.done.total)
        answer.bucket_width.FromMicroseconds(bars.width)
        for number in range(bars.count):
            levels = counts.get(number, {})
            bucket = answer.buckets.add(
                start_time=timestamp_of(bars.start + number * bars.width), count=sum(levels.values())
            )
            for level in sorted(levels):
                bucket.levels.add(level=query_pb2.Level.ValueType(level), count=levels[level])
        answer.undated_count = found.done.total - sum(bucket.count for bucket in answer.buckets)
        return answer

    async def _edges(self, job: Job) -> tuple[int, int] | None:
        """Times of the first and of the last hit. None where that takes long, and where none has a time."""
        if job.query.WhichOneof("node") in (None, "all"):
            return None
        # Each also counts, and keeps what it has found: if it is not done in time, the bars go on from there.
        plans = [Plan(query=job.query, limit=1, count=True, order=order) for order in (Order.OLDEST, Order.NEWEST)]
        try:
            found = await budget(self._clock).part(EDGES_SHARE).spend(self._jobs.index.answers(job.snapshot, plans))
        except TimeoutError:
            return None
        times = [line.time for answer in found if isinstance(answer, Answer) for line in answer.lines]
        if len(times) < 2 or times[0] is None or times[1] is None:
            return None
        return times[0], times[1]

    async def top_values(self, request: search_pb2.GetTopValuesRequest) -> search_pb2.TopValues:
        """Of all lines if there is time for that, else of the newest ones."""
        limit = requests.number_of(request.limit, "limit", default=DEFAULT_VALUES, largest=LARGEST_VALUES)
        if not request.field:
            raise requests.invalid("field", 'must be "level", "source" or a field of the lines')
        job = await self._jobs.make(request)
        time = budget(self._clock)
        with trace.use_span(job.span(), end_on_exit=True):
            plan = Plan(query=job.query, limit=0, top_values=ValuesWanted(request.field, limit))
            try:
                found = await time.part(WHOLE_SHARE).spend(self._jobs.index.answer(job.snapshot, plan))
            except TimeoutError:
                return await self._values_of_newest(job, request.field, limit, time)
        assert found.aggregates is not None
        top = found.aggregates.top_values
        assert top is not None
        return search_pb2.TopValues(
            values=[search_pb2.ValueCount(value=value, count=count) for value, count in top.values],
            line_count=top.with_field,
            total_size=found.done.total,
            is_estimate=not top.exact,
            lines_read=top.read,
        )

    async def _values_of_newest(self, job: Job, field: str, limit: int, time: Budget) -> search_pb2.TopValues:
        values_in = _values_in(field)
        counts: Counter[str] = Counter()
        read = having = 0

        def take(lines: Sequence[LogLine]) -> bool:
            nonlocal read, having
            for line in lines:
                found = set(values_in(line))
                counts.update(found)
                having += bool(found)
            read += len(lines)
            return read < LINES_READ

        sample = await newest(self._jobs, job, time, take)
        top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        return search_pb2.TopValues(
            values=[search_pb2.ValueCount(value=value, count=count) for value, count in top],
            line_count=having,
            total_size=sample.total,
            is_estimate=not sample.exact,
            lines_read=sample.read,
        )

    async def explain(self, request: search_pb2.ExplainQueryRequest) -> search_pb2.QueryPlan:
        job = await self._jobs.make(request)
        found = await self._jobs.index.explain(job.snapshot, job.query)
        return search_pb2.QueryPlan(
            normal_form=render(job.query),
            tree=job.query,
            splits=found.cost.searched + found.cost.pruned,
            splits_pruned=found.cost.pruned,
            lines=job.snapshot.line_count,
            candidate_lines=found.candidates,
            reads_lines=found.reads,
            steps=[search_pb2.PlanStep(part=s.part, method=s.method, estimate=s.estimate) for s in found.steps],
        )

    async def context(self, request: search_pb2.GetLogContextRequest) -> search_pb2.LogContext:
        workspace, source_id, number = requests.log_of(request.name)
        before = _lines(request.before if request.HasField("before") else None, "before")
        after = _lines(request.after if request.HasField("after") else None, "after")
        snapshot = await self._jobs.snapshot(workspace)
        lines = await self._jobs.index.context(snapshot, source_id, number, before, after)
        if not lines:
            raise NotFound(
                f"there is no {request.name}",
                reason="LOG_NOT_FOUND",
                domain=requests.DOMAIN,
                metadata={"name": request.name},
            )
        hits = await self._jobs.blocking(lambda: [message_of(line) for line in lines])
        at = number - lines[0].number
        low, high = nearest(hits, at)
        return search_pb2.LogContext(before=hits[low:at], hit=hits[at], after=hits[at + 1 : high])

    async def sources(self, request: search_pb2.ListLogSourcesRequest) -> search_pb2.ListLogSourcesResponse:
        workspace = requests.workspace_of(request.parent)
        limit = requests.number_of(request.page_size, "page_size", default=DEFAULT_SOURCES, largest=LARGEST_SOURCES)
        snapshot = await self._jobs.snapshot(workspace)
        asked = request.contains.encode()
        last = requests.list_place_of(request.page_token, asked)
        known = self._jobs.index.sources(snapshot)
        found = [
            source for source in known if request.contains in source.name and (source.name, source.source_id) > last
        ]
        answer = search_pb2.ListLogSourcesResponse()
        for source in found[:limit]:
            answer.log_sources.add(
                name=f"{request.parent}/logSources/{source.source_id}",
                source=source.name,
                line_count=source.line_count,
                byte_count=source.byte_count,
                import_name=source.import_name,
            )
        if len(found) > limit:
            answer.next_page_token = requests.list_token_of((found[limit - 1].name, found[limit - 1].source_id), asked)
        return answer

    async def delete_source(self, request: search_pb2.DeleteLogSourceRequest) -> search_pb2.DeleteLogSourceResponse:
        workspace, source_id = requests.source_of(request.name)
        await self._jobs.snapshot(workspace)
        # A second time deletes nothing, and that is what was wanted.
        lines = await self._jobs.index.delete_source(workspace, source_id)
        return search_pb2.DeleteLogSourceResponse(line_count=lines)

    async def stats(self, request: search_pb2.GetLogStatsRequest) -> search_pb2.LogStats:
        snapshot = await self._jobs.snapshot(requests.workspace_of(request.parent))
        stats = self._jobs.index.stats(snapshot)
        answer = search_pb2.LogStats(
            line_count=stats.line_count,
            raw_bytes=stats.raw_bytes,
            stored_bytes=stats.stored_bytes,
            split_count=stats.units,
        )
        if stats.low is not None and stats.high is not None:
            answer.start_time.CopyFrom(timestamp_of(stats.low))
            answer.end_time.CopyFrom(timestamp_of(stats.high))
        return answer


def bars_of(job: Job, wanted: int, edges: tuple[int, int] | None = None) -> Bars:
    """Bars over the times that are both in the snapshot and in the query's bounds, and from one edge to the other."""
    bounds = bounds_of(job.query)
    if job.snapshot.low is None or job.snapshot.high is None:
        return Bars(0, 0, 0)
    low, high = edges or (job.snapshot.low, job.snapshot.high)
    high += 1
    low = low if bounds.low is None else max(low, bounds.low)
    high = high if bounds.high is None else min(high, bounds.high)
    return bars_for(low, high, wanted) if low < high else Bars(0, 0, 0)


def _values_in(field: str) -> Callable[[LogLine], Collection[str]]:
    match field:
        case "level":
            return lambda line: [query_pb2.Level.Name(line.level)] if line.level else []  # type: ignore[arg-type]
        case "source":
            return lambda line: [line.source]
        case _:
            values_in = field_values(field)
            return lambda line: values_in(line.raw)


def _lines(value: int | None, field: str) -> int:
    if value is None:
        return DEFAULT_CONTEXT
    if not 0 <= value <= LARGEST_CONTEXT:
        raise InvalidArgument(
            f"{field} must be between 0 and {LARGEST_CONTEXT}",
            violations=[FieldViolation(field, f"must be between 0 and {LARGEST_CONTEXT}")],
        )
    return value
