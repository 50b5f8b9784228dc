"""ExportLogs: hits as NDJSON, each line what protobuf's JSON makes of a Hit, written many times as fast."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from google.api import httpbody_pb2

from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import requests
from services.search.hits import SHOWN_BYTES, Highlighter
from services.search.job import Jobs
from services.search.seam import Hits, LogLine, Plan

__all__ = ["Exports", "json_of"]

#: Bytes of one message, about: with one line more, every byte of it escaped, it fits into the 4 MiB that clients take.
BODY_BYTES = 256 << 10
#: Bytes and number of the lines that are written in one go, at least.
PACKED_BYTES, PACKED_LINES = 64 << 10, 1000
CONTENT_TYPE = "application/x-ndjson"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEVELS = {value.number: value.name for value in query_pb2.Level.DESCRIPTOR.values}


class Exports:
    """Answers ExportLogs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def export(self, request: search_pb2.ExportLogsRequest) -> AsyncGenerator[httpbody_pb2.HttpBody]:
        """The hits, as fast as the caller takes them. The first message is there also where nothing matches."""
        order = requests.order_of(request.order_by)
        limit = requests.number_of(request.limit, "limit", default=0)
        job = await self._jobs.make(request)
        plan = Plan(query=job.query, order=order, limit=limit or None)
        # A query that marks nothing need not look for marks.
        highlighter = Highlighter(job.query) if job.query.WhichOneof("node") not in (None, "all") else None
        waiting = _Bodies(highlighter)
        lines: list[LogLine] = []
        size, sent = 0, False
        async with aclosing(self._jobs.index.search(job.snapshot, plan)) as events:
            async for event in events:
                if not isinstance(event, Hits):
                    continue
                lines += event.lines
                size += sum([len(line.raw) for line in event.lines])
                if size < PACKED_BYTES and len(lines) < PACKED_LINES:
                    continue
                taken = lines
                for body in await self._jobs.blocking(lambda: waiting.add(taken)):  # noqa: B023 - waited for
                    yield httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=body)
                    sent = True
                lines, size = [], 0
        bodies = await self._jobs.blocking(lambda: [*waiting.add(lines), waiting.rest()])
        for body in bodies:
            if body or not sent:
                yield httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=body)
                sent = True


class _Bodies:
    """Lines as JSON, in bodies of about the same size. Blocks."""

    def __init__(self, highlighter: Highlighter | None) -> None:
        self._highlighter = highlighter
        self._waiting: list[bytes] = []
        self._size = 0

    def add(self, lines: Sequence[LogLine]) -> list[bytes]:
        """Adds lines, and gives the bodies that are full."""
        full: list[bytes] = []
        highlighter, dumps, newline = self._highlighter, orjson.dumps, orjson.OPT_APPEND_NEWLINE
        for line in lines:
            packed = dumps(json_of(line, highlighter), option=newline)
            self._waiting.append(packed)
            self._size += len(packed)
            if self._size >= BODY_BYTES:
                full.append(self.rest())
        return full

    def rest(self) -> bytes:
        """What has been added and not been given yet."""
        body = b"".join(self._waiting)
        self._waiting, self._size = [], 0
        return body


def json_of(line: LogLine, highlighter: Highlighter | None = None) -> dict[str, Any]:
    """What protobuf's JSON says of the Hit for a line, zeros included: 64-bit numbers are strings."""
    raw, source_id, level = line.raw, line.source_id, line.level
    text = (raw if len(raw) <= SHOWN_BYTES else raw[:SHOWN_BYTES]).decode("utf-8", "replace")
    found: dict[str, Any] = {
        "id": f"{source_id}-{line.number}",
        "source": line.source,
        "lineNumber": str(line.number),
        "text": text,
        "timestamp": None,
        "level": _LEVELS.get(level, level),
        "highlights": []
        if highlighter is None
        else [{"start": mark.start, "end": mark.end} for mark in highlighter.mark(text)],
        "recordId": f"{source_id}-{line.record}",
        "textTruncated": len(raw) > SHOWN_BYTES,
    }
    time = None if line.time is None else _rfc3339(line.time)
    if time is None:
        del found["timestamp"]
    else:
        found["timestamp"] = time
    return found


def _rfc3339(micros: int) -> str | None:
    """None for a time outside of the years 1 to 9999, which JSON cannot say."""
    seconds, rest = divmod(micros, 1_000_000)
    text = _second(seconds)
    if text is None:
        return None
    if rest == 0:
        return text + "Z"
    return f"{text}.{rest // 1000:03d}Z" if rest % 1000 == 0 else f"{text}.{rest:06d}Z"


@lru_cache(1 << 12)
def _second(seconds: int) -> str | None:
    try:
        # strftime writes the year 33 as "33".
        return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    except OverflowError:
        return None
