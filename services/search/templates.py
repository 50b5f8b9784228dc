"""GetTemplates: what the lines that match say, with their variable parts left out, found by Drain in a sample.

The sample is spread over the times of the result: bars of a histogram say how many lines match when, and each gives its
share. It is bounded in lines and in bytes, and so is the tree of templates. Where counting takes too long the sample is
of the newest lines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from drain3.drain import Drain
from drain3.masking import MaskingInstruction
from google.protobuf import timestamp_pb2

from kit.clock import SYSTEM, Clock
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import requests
from services.search.budget import Budget, budget, newest
from services.search.hits import Highlighter, message_of, timestamp_of
from services.search.job import Job, Jobs
from services.search.looks import bars_of
from services.search.query import normalise
from services.search.seam import LogLine, Plan

__all__ = ["SAMPLE_LINES", "Templates", "mined"]

DEFAULT_TEMPLATES, LARGEST_TEMPLATES = 50, 1000
#: Lines of a sample, and bytes of it in memory.
SAMPLE_LINES = 20_000
SAMPLE_BYTES = 32 << 20
#: Parts of the time: for a sample from all over the result, and of what is left then for one of the newest lines.
SPREAD_SHARE, NEWEST_SHARE = 0.5, 0.5
#: Bytes of a line that are looked at, and its words.
LINE_BYTES, LINE_WORDS = 4096, 100
#: Lines that are read between two looks at the clock.
LINES_BETWEEN_LOOKS = 100
#: Parts of the time range that give their share.
PARTS = 40
#: Templates that Drain keeps: those that were not seen for longest go.
KEPT = 2000
_WILD = "<*>"
_MASKS = [
    MaskingInstruction(pattern, "*")
    for pattern in (
        r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",
        r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?",
        r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b",
        r"\b0[xX][0-9a-fA-F]+\b",
        r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b",
        r"(?<![A-Za-z0-9])[-+]?\d+(?:[.,:]\d+)*(?![A-Za-z0-9])",
    )
]


class Templates:
    """Answers GetTemplates."""

    def __init__(self, jobs: Jobs, *, clock: Clock = SYSTEM) -> None:
        self._jobs = jobs
        self._clock = clock

    async def find(self, request: search_pb2.GetTemplatesRequest) -> search_pb2.Templates:
        limit = requests.number_of(request.limit, "limit", default=DEFAULT_TEMPLATES, largest=LARGEST_TEMPLATES)
        job = await self._jobs.make(request)
        time = budget(self._clock)
        try:
            lines, total = await time.part(SPREAD_SHARE).spend(self._sample(job))
        except TimeoutError:
            lines, total = await self._newest(job, time.part(NEWEST_SHARE))
        left = threading.Event()
        try:
            found, read = await self._jobs.blocking(lambda: mined(lines, limit, left, lambda: time.left > 0))
        finally:
            left.set()
        highlighter = Highlighter(job.query)
        answer = search_pb2.Templates(lines_read=read, total_size=total)
        size = 0
        for text, count, example in found:
            template = search_pb2.Template(text=text, count=count, example=message_of(example, highlighter))
            size += template.ByteSize()
            if size > 2 << 20 and answer.templates:
                break
            answer.templates.append(template)
        return answer

    async def _newest(self, job: Job, time: Budget) -> tuple[list[LogLine], int]:
        """The newest lines, and about how many match in all."""
        lines: list[LogLine] = []
        size = 0

        def take(found: Sequence[LogLine]) -> bool:
            nonlocal size
            lines.extend(found)
            size += sum(len(line.raw) for line in found)
            return len(lines) < SAMPLE_LINES and size < SAMPLE_BYTES

        sample = await newest(self._jobs, job, time, take)
        return lines[:SAMPLE_LINES], sample.total

    async def _sample(self, job: Job) -> tuple[list[LogLine], int]:
        """Lines from all over the result, the newest first, and how many match in all."""
        index, bars = self._jobs.index, bars_of(job, PARTS)
        found = await index.answer(job.snapshot, Plan(query=job.query, limit=0, histogram=bars))
        counts = (found.aggregates.histogram if found.aggregates else None) or {}
        total = found.done.total
        if total <= SAMPLE_LINES:
            return await self._some(job, job.query, total), total
        lines: list[LogLine] = []
        size, dated = 0, 0
        for number in reversed(range(bars.count)):
            inside = sum(counts.get(number, {}).values())
            dated += inside
            share = max(1, inside * SAMPLE_LINES // total) if inside else 0
            low = bars.start + number * bars.width
            lines += await self._some(job, _within(job.query, low, low + bars.width), share, size)
            size = sum(len(line.raw) for line in lines)
        if total > dated:
            share = max(1, (total - dated) * SAMPLE_LINES // total)
            lines += await self._some(job, _undated(job.query), share, size)
        return lines[:SAMPLE_LINES], total

    async def _some(self, job: Job, query: query_pb2.Query, count: int, size: int = 0) -> list[LogLine]:
        """The first `count` lines, as far as they fit."""
        lines: list[LogLine] = []
        after = b""
        while len(lines) < count and size < SAMPLE_BYTES:
            plan = Plan(query=query, limit=min(500, count - len(lines)), count=True, after=after)
            found = await self._jobs.index.answer(job.snapshot, plan)
            lines += found.lines
            size += sum(len(line.raw) for line in found.lines)
            if not found.done.more or not found.lines:
                break
            after = found.lines[-1].place
        return lines


def mined(
    lines: Sequence[LogLine],
    limit: int,
    left: threading.Event | None = None,
    on: Callable[[], bool] = lambda: True,
) -> tuple[list[tuple[str, int, LogLine]], int]:
    """(template, lines, one of them), the most frequent first, and how many lines were read. Blocks.

    Ends early when nobody waits any more, and when `on` says so; a few lines are always read.
    """
    drain = Drain(depth=4, sim_th=0.4, max_children=100, max_clusters=KEPT, param_str=_WILD)
    examples: dict[int, LogLine] = {}
    read = 0
    for line in lines:
        if left is not None and left.is_set():
            return [], read
        if read % LINES_BETWEEN_LOOKS == LINES_BETWEEN_LOOKS - 1 and not on():
            break
        read += 1
        text = line.raw[:LINE_BYTES].decode("utf-8", "replace")
        for mask in _MASKS:
            text = mask.mask(text, "<", ">")
        cluster, _ = drain.add_log_message(" ".join(text.split()[:LINE_WORDS]))
        examples.setdefault(cluster.cluster_id, line)
    clusters = sorted(drain.clusters, key=lambda cluster: (-cluster.size, cluster.get_template()))
    return [(each.get_template(), each.size, examples[each.cluster_id]) for each in clusters[:limit]], read


def _within(query: query_pb2.Query, low: int, high: int) -> query_pb2.Query:
    both = query_pb2.Query()
    operands = getattr(both, "and").operands
    operands.add().CopyFrom(query)
    operands.add().time.CopyFrom(query_pb2.TimeRange(start=_stamp(low), end=_stamp(high)))
    return normalise(both)


def _undated(query: query_pb2.Query) -> query_pb2.Query:
    both = query_pb2.Query()
    operands = getattr(both, "and").operands
    operands.add().CopyFrom(query)
    getattr(operands.add(), "not").operand.time.SetInParent()
    return normalise(both)


def _stamp(micros: int) -> timestamp_pb2.Timestamp:
    return timestamp_of(micros)
