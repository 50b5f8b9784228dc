"""Hits as messages: lines are fetched, shown as text, and the query's terms marked in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from google.protobuf import timestamp_pb2

from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search.catalog import Published, View
from services.search.execute import Found
from services.search.index.split import Line, SplitReader
from services.search.index.terms import SEPARATORS, canonical
from services.search.query.tree import operands

__all__ = ["Highlighter", "Messages", "nearest", "timestamp_of"]

#: Marks in one line, at most.
MAX_HIGHLIGHTS = 100
#: Bytes of a line that are shown.
SHOWN_BYTES = 512 << 10
#: Bytes of hits in one message before it is full: with one line more it must fit into the 4 MiB that a client takes by
#: default, and a line of bytes that are not UTF-8 is three times as long as text.
BATCH_BYTES = 1 << 20
_SEPARATING = frozenset(char for char in map(chr, range(128)) if not char.isalnum())


class Highlighter:
    """Finds the terms and phrases of a query in a text. What stands under a NOT is not looked for."""

    def __init__(self, query: query_pb2.Query) -> None:
        # By the first word: looking for that alone is many times as fast as a pattern. None: nothing has to follow it.
        self._wanted: dict[str, list[re.Pattern[str] | None]] = {}
        for words in sorted({tuple(words) for words in _wanted(query)}):
            rest = "".join(f"[{SEPARATORS}]+{re.escape(word)}" for word in words[1:])
            self._wanted.setdefault(words[0], []).append(re.compile(rest) if rest else None)

    def mark(self, text: str) -> list[search_pb2.Highlight]:
        """The places in order, in code points, without overlap; of those that begin together the longest."""
        # The canonical form keeps every character in its place.
        canon = canonical(text)
        places = sorted(itertools.chain.from_iterable(self._places(canon, word) for word in self._wanted))
        found: list[search_pb2.Highlight] = []
        last = 0
        for start, end in places:
            if start >= last:
                found.append(search_pb2.Highlight(start=start, end=end))
                last = end
            if len(found) == MAX_HIGHLIGHTS:
                break
        return found

    def _places(self, canon: str, word: str) -> Iterator[tuple[int, int]]:
        """Where phrases that begin with the word stand; of those in one place the longest."""
        start, count = canon.find(word), 0
        while start >= 0 and count < MAX_HIGHLIGHTS:
            end = start + len(word)
            if start == 0 or canon[start - 1] in _SEPARATING:
                follow = [rest.match(canon, end) if rest else None for rest in self._wanted[word]]
                ends = [match.end() for match in follow if match] + [end] * (None in self._wanted[word])
                whole = [end for end in ends if end == len(canon) or canon[end] in _SEPARATING]
                if whole:
                    yield start, max(whole)
                    count += 1
            start = canon.find(word, end)


class Messages:
    """Makes messages of the lines of a view. Blocks: lines are read from disk."""

    def __init__(self, view: View, open_split: Callable[[Published], SplitReader]) -> None:
        self._view = view
        self._open = open_split
        self._records: dict[tuple[str, int], int] = {}

    def batches(self, found: Sequence[Found], highlighter: Highlighter) -> Iterator[list[search_pb2.Hit]]:
        """The messages for hits, in their order, with marks: in one batch unless that would be too large to send."""
        batch: list[search_pb2.Hit] = []
        size = 0
        for hit in found:
            message = self._message(hit.reader.line(hit.place.row))
            message.highlights.extend(highlighter.mark(message.text))
            batch.append(message)
            size += message.ByteSize()
            if size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def between(self, source_id: str, first: int, last: int) -> list[search_pb2.Hit]:
        """The messages for lines `first` to `last` of a source, as far as they are there."""
        result: list[search_pb2.Hit] = []
        number = first
        while number <= last:
            run = self._view.run_of(source_id, number)
            if run is None:
                break
            stop = min(last + 1, run.first_line + run.line_count)
            reader = self._open(run.published)
            row = run.first_row - run.first_line
            result += [self._message(reader.line(row + line)) for line in range(number, stop)]
            number = stop
        return result

    def _message(self, line: Line) -> search_pb2.Hit:
        source_id = line.run.source_id
        record = line.record_number
        if record is None:
            record = self._record_before(source_id, line.run.first_line)
        message = search_pb2.Hit(
            id=f"{source_id}-{line.number}",
            source=line.run.name,
            line_number=line.number,
            text=line.raw[:SHOWN_BYTES].decode("utf-8", "replace"),
            text_truncated=len(line.raw) > SHOWN_BYTES,
            level=query_pb2.Level.ValueType(line.level),
            record_id=f"{source_id}-{record}",
        )
        if line.time is not None:
            message.timestamp.CopyFrom(timestamp_of(line.time))
        return message

    def _record_before(self, source_id: str, first_line: int) -> int:
        """Line number of the beginning of a record that goes on at `first_line`, the first one of a run.

        Where the run before is not there (yet), the record begins with this one as far as can be known.
        """
        key = (source_id, first_line)
        known = self._records.get(key)
        if known is None:
            known = first_line
            while (run := self._view.run_of(source_id, known - 1)) is not None:
                row = run.first_row + known - 1 - run.first_line
                found = self._open(run.published).line(row).record_number
                known = run.first_line if found is None else found
                if found is not None:
                    break
            self._records[key] = known
        return known


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


def _wanted(query: query_pb2.Query) -> Iterator[Sequence[str]]:
    match query.WhichOneof("node"):
        case "term":
            yield [query.term.text]
        case "phrase":
            yield list(query.phrase.terms)
        case "and" | "or":
            for part in operands(query):
                yield from _wanted(part)
        case _:
            return
