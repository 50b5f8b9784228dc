"""A histogram as text. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.cli import render

#: Characters of the longest bar.
WIDTH = 60

_RED, _YELLOW, _OFF = "\x1b[31m", "\x1b[33m", "\x1b[0m"
_COLOURS = {"FATAL": _RED, "CRITICAL": _RED, "ERROR": _RED, "WARN": _YELLOW}


def lines(found: dict[str, Any], *, colour: bool, block: str) -> list[str]:
    """A line for each bucket: its begin in UTC, its count, its bar; then what has no time."""
    buckets = found.get("buckets") or []
    most = max((int(bucket.get("count", 0)) for bucket in buckets), default=0)
    digits = len(f"{most:,}")
    shown = [
        f"{render.moment(bucket['startTime'])}  {int(bucket.get('count', 0)):>{digits},}  "
        + _bar(bucket, most, colour=colour, block=block)
        for bucket in buckets
    ]
    undated = int(found.get("undatedCount", 0))
    note = f"{render.count(int(found.get('totalSize', 0)), 'line')} in all"
    if undated:
        note += f", {undated:,} of them without a time"
    return [*(line.rstrip() for line in shown), note]


def closer(found: dict[str, Any]) -> dict[str, str] | None:
    """The times to ask about for wider bars, where all lines stand in less than half of the buckets; None elsewhere."""
    buckets = found.get("buckets") or []
    filled = [number for number, bucket in enumerate(buckets) if int(bucket.get("count", 0))]
    width = render.seconds(found.get("bucketWidth"))
    if not filled or width < 1 or filled[-1] - filled[0] + 1 > len(buckets) // 2:
        return None
    end = datetime.fromisoformat(buckets[filled[-1]]["startTime"]) + timedelta(seconds=width)
    return {"startTime": buckets[filled[0]]["startTime"], "endTime": end.isoformat().replace("+00:00", "Z")}


def _bar(bucket: dict[str, Any], most: int, *, colour: bool, block: str) -> str:
    count = int(bucket.get("count", 0))
    if not count:
        return ""
    length = max(1, round(WIDTH * count / most))
    if not colour:
        return block * length
    parts: list[str] = []
    done = seen = 0
    for paint in (_RED, _YELLOW):
        seen += sum(
            int(level["count"]) for level in bucket.get("levels") or [] if _COLOURS.get(level["level"]) == paint
        )
        end = min(length, -(-length * seen // count))
        if end > done:
            parts.append(f"{paint}{block * (end - done)}{_OFF}")
            done = end
    return "".join(parts) + block * (length - done)
