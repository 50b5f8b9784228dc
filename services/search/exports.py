"""ExportLogs: hits as NDJSON, each line what protobuf's JSON makes of a Hit, written a few times as fast."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from google.api import httpbody_pb2

from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import requests
from services.search.hits import Highlighter, message_of
from services.search.job import Jobs
from services.search.seam import Hits, LogLine, Plan

__all__ = ["Exports", "json_of"]

#: Bytes of one message, about.
BODY_BYTES = 256 << 10
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
        highlighter, waiting, size, sent = Highlighter(job.query), list[bytes](), 0, False
        async with aclosing(self._jobs.index.search(job.snapshot, plan)) as events:
            async for event in events:
                if not isinstance(event, Hits):
                    continue
                lines = event.lines
                packed = await self._jobs.blocking(lambda: _ndjson(lines, highlighter))  # noqa: B023 - waited for
                waiting.append(packed)
                size += len(packed)
                if size >= BODY_BYTES:
                    yield httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=b"".join(waiting))
                    waiting, size, sent = [], 0, True
        if waiting or not sent:
            yield httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=b"".join(waiting))


def json_of(hit: search_pb2.Hit) -> dict[str, Any]:
    """What protobuf's JSON says of a hit, zeros included: 64-bit numbers are strings."""
    found: dict[str, Any] = {
        "id": hit.id,
        "source": hit.source,
        "lineNumber": str(hit.line_number),
        "text": hit.text,
        "level": _LEVELS.get(hit.level, hit.level),
        "highlights": [{"start": mark.start, "end": mark.end} for mark in hit.highlights],
        "recordId": hit.record_id,
        "textTruncated": hit.text_truncated,
    }
    if hit.HasField("timestamp"):
        time = _rfc3339(hit.timestamp.seconds, hit.timestamp.nanos)
        if time is not None:
            found["timestamp"] = time
    return found


def _ndjson(lines: Sequence[LogLine], highlighter: Highlighter) -> bytes:
    return b"".join(
        orjson.dumps(json_of(message_of(line, highlighter)), option=orjson.OPT_APPEND_NEWLINE) for line in lines
    )


def _rfc3339(seconds: int, nanos: int) -> str | None:
    """None for a time outside of the years 1 to 9999, which JSON cannot say."""
    try:
        text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        return None
    # strftime writes the year 33 as "33".
    text = text.rjust(19, "0")
    if nanos == 0:
        return f"{text}Z"
    if nanos % 1_000_000 == 0:
        return f"{text}.{nanos // 1_000_000:03d}Z"
    return f"{text}.{nanos // 1000:06d}Z"
