"""Hits as messages: lines shown as text, with the query's terms marked in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf import timestamp_pb2

from loganalyzer.search.v1 import search_pb2
from services.search.query.highlight import Highlighter
from services.search.seam import LogLine

__all__ = ["SHOWN_BYTES", "Highlighter", "batches", "fitting", "message_of", "nearest", "timestamp_of"]

#: Bytes of a line that are shown.
SHOWN_BYTES = 512 << 10
#: Bytes of hits in one message before it is full: with one line more it must fit into the 4 MiB that a client takes by
#: default, and a line of bytes that are not UTF-8 is three times as long as text.
BATCH_BYTES = 1 << 20


def message_of(line: LogLine, highlighter: Highlighter | None = None) -> search_pb2.Hit:
    """The message for a line, with marks if there is a highlighter."""
    raw = line.raw if len(line.raw) <= SHOWN_BYTES else line.raw[:SHOWN_BYTES]
    message = search_pb2.Hit(
        id=f"{line.source_id}-{line.number}",
        source=line.source,
        line_number=line.number,
        text=raw.decode("utf-8", "replace"),
        text_truncated=len(line.raw) > SHOWN_BYTES,
        level=line.level,  # type: ignore[arg-type]  # protobuf takes the number, its stub wants the enum's
        record_id=f"{line.source_id}-{line.record}",
    )
    if line.time is not None:
        seconds, rest = divmod(line.time, 1_000_000)
        message.timestamp.seconds = seconds
        message.timestamp.nanos = rest * 1000
    if highlighter is not None:
        message.highlights.extend(highlighter.mark(message.text))
    return message


def batches(lines: Iterable[LogLine], highlighter: Highlighter) -> Iterator[list[search_pb2.Hit]]:
    """The messages for lines, in their order: in one batch unless that would be too large to send."""
    batch: list[search_pb2.Hit] = []
    size = 0
    for line in lines:
        message = message_of(line, highlighter)
        batch.append(message)
        # Text is what is long in a message; what is not UTF-8 becomes three bytes for each.
        size += 256 + len(line.raw) if len(line.raw) < 1000 else message.ByteSize()
        if size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def fitting(lines: Sequence[LogLine], highlighter: Highlighter) -> list[search_pb2.Hit]:
    """The first of them that fit into one message."""
    return next(batches(lines, highlighter), [])


def nearest(hits: Sequence[search_pb2.Hit], at: int) -> tuple[int, int]:
    """The widest [low, high) around `at` that is small enough for one message."""
    low, high, room = at, at + 1, BATCH_BYTES - hits[at].ByteSize()
    while room > 0 and (low > 0 or high < len(hits)):
        if high == len(hits) or (low > 0 and at - low <= high - at):
            low -= 1
            room -= hits[low].ByteSize()
        else:
            high += 1
            room -= hits[high - 1].ByteSize()
    return low, high


def timestamp_of(micros: int) -> timestamp_pb2.Timestamp:
    """Microseconds since 1970 as a Timestamp. Such a time may lie outside of what RFC 3339 can say."""
    seconds, rest = divmod(micros, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)
