"""The oracle behind the seam: every line in memory, read one by one, and sorted. Right by being simple."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from kit.errors import InvalidArgument
from loganalyzer.search.v1 import query_pb2
from services.search.index import NO_TIME
from services.search.query import render
from services.search.query.fields import field_values
from services.search.query.predicate import compile_predicate
from services.search.seam import (
    Aggregates,
    Capabilities,
    Cost,
    Done,
    Event,
    Explanation,
    Hits,
    IndexStats,
    LogIndex,
    LogLine,
    LogSource,
    Order,
    Plan,
    Progress,
    Snapshot,
    Step,
    TopValues,
    refuse,
)

__all__ = ["ScanIndex"]

_PLACE = struct.Struct(">?qQQ")
CHUNK, PROGRESS_LINES = 100, 10_000


@dataclass(frozen=True, slots=True)
class _Row:
    """A line, the number of its batch and its own in it."""

    batch: int
    row: int
    line: LogLine
    import_name: str


@dataclass
class _Batch:
    """A batch, written in memory."""

    batch_id: str
    rows: list[tuple[LogLine, str]] = field(default_factory=list)
    source: tuple[str, str, str] = ("", "", "")
    next_line: int = 1
    record: int = 1

    def add_source(self, *, source_id: str, name: str, import_name: str, first_line: int, byte_offset: int) -> None:
        self.source, self.next_line, self.record = (source_id, name, import_name), first_line, 0

    def add_lines(self, lines: Sequence[bytes], times: Sequence[int], levels: Sequence[int], records: bytes) -> None:
        source_id, name, import_name = self.source
        for raw, time, level, begins in zip(lines, times, levels, records, strict=True):
            if begins:
                self.record = self.next_line
            known = None if time == NO_TIME else time
            line = LogLine(source_id, name, self.next_line, raw, known, level, self.record)
            self.rows.append((line, import_name))
            self.next_line += 1

    def end_source(self, *, complete: bool, byte_count: int) -> None:
        pass

    def finish(self) -> object:
        return self


@dataclass(frozen=True)
class _State:
    generation: int = 0
    rows: tuple[_Row, ...] = ()
    batches: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()


class ScanIndex(LogIndex):
    """`nodes` can be fewer than there are, to see what is refused."""

    def __init__(self, nodes: frozenset[str] | None = None) -> None:
        every = frozenset(node.name for node in query_pb2.Query.DESCRIPTOR.oneofs_by_name["node"].fields)
        self.capabilities = Capabilities(name="of lines in memory", nodes=every if nodes is None else nodes)
        self._states: dict[str, _State] = {}
        self._changed = asyncio.Event()

    def writer(self, workspace: str, batch_id: str) -> _Batch:
        return _Batch(batch_id)

    async def publish(self, workspace: str, batch: object) -> bool:
        assert isinstance(batch, _Batch)
        state = self._state(workspace)
        if batch.batch_id in state.batches:
            return False
        number = len(state.batches)
        rows = [_Row(number, row, line, name) for row, (line, name) in enumerate(batch.rows)]
        self._set(workspace, replace(state, rows=(*state.rows, *rows), batches=(*state.batches, batch.batch_id)))
        return True

    def snapshot(self, workspace: str) -> Snapshot:
        state = self._state(workspace)
        lines = [row.line for row in _visible(state)]
        times = [line.time for line in lines if line.time is not None]
        low, high = (min(times), max(times)) if times else (None, None)
        return Snapshot(workspace, str(state.generation), len(lines), low, high, state.hidden, state)

    async def changed(self, snapshot: Snapshot) -> Snapshot:
        while (now := self.snapshot(snapshot.workspace)).token == snapshot.token:
            await self._changed.wait()
        return now

    def holds(self, snapshot: Snapshot, source_id: str, number: int) -> bool:
        return any((row.line.source_id, row.line.number) == (source_id, number) for row in _visible(_of(snapshot)))

    async def search(self, snapshot: Snapshot, plan: Plan) -> AsyncGenerator[Event]:
        refuse(self.capabilities, plan)
        rows = _visible(_of(snapshot))
        yield Progress(0, len(rows))
        matches = compile_predicate(plan.query)
        found: list[_Row] = []
        for number, row in enumerate(rows, 1):
            if matches(row.line):
                found.append(row)
            if number % PROGRESS_LINES == 0:
                yield Progress(number, len(rows))
        if plan.since is not None:
            old = {(row.line.source_id, row.line.number) for row in _visible(_of(plan.since))}
            found = [row for row in found if (row.line.source_id, row.line.number) not in old]
        if plan.histogram is not None or plan.top_values is not None:
            yield _aggregates(found, plan)
        sign = -1 if plan.order is Order.NEWEST else 1

        def key(row: _Row) -> tuple[int, ...]:
            time = row.line.time
            if time is None:
                return (1, 0, sign * row.batch, sign * row.row)
            return (0, sign * time, sign * row.batch, sign * row.row)

        ordered = sorted(found, key=key)
        if plan.after:
            dated, time, batch, number = _unpacked(plan.after)
            beyond = (0, sign * time, sign * batch, sign * number) if dated else (1, 0, sign * batch, sign * number)
            ordered = [row for row in ordered if key(row) > beyond]
        taken = ordered if plan.limit is None else ordered[: plan.limit]
        for at in range(0, len(taken), CHUNK):
            yield Hits([_placed(row) for row in taken[at : at + CHUNK]])
        whole, more = plan.count or plan.limit == 0, len(taken) < len(ordered)
        yield Progress(len(rows), len(rows))
        total = len(found) if whole else len(taken)
        yield Done(total, whole or not more, more, Cost(1, 0, len(rows)))

    async def explain(self, snapshot: Snapshot, query: query_pb2.Query) -> Explanation:
        lines = snapshot.line_count
        return Explanation(Cost(1, 0, lines), lines, True, [Step(render(query), "reading every line", -1)])

    async def fetch(self, snapshot: Snapshot, source_id: str, number: int) -> LogLine | None:
        found = await self.context(snapshot, source_id, number, 0, 0)
        return found[0] if found else None

    async def context(
        self, snapshot: Snapshot, source_id: str, number: int, before: int, after: int
    ) -> Sequence[LogLine]:
        lines = {row.line.number: row.line for row in _visible(_of(snapshot)) if row.line.source_id == source_id}
        if number not in lines:
            return []
        first = last = number
        while first - 1 in lines and first > number - before:
            first -= 1
        while last + 1 in lines and last < number + after:
            last += 1
        return [lines[each] for each in range(first, last + 1)]

    def sources(self, snapshot: Snapshot) -> Sequence[LogSource]:
        found: dict[str, LogSource] = {}
        for row in _visible(_of(snapshot)):
            line = row.line
            known = found.get(line.source_id, LogSource(line.source_id, line.source, row.import_name, 0, 0))
            found[line.source_id] = replace(
                known, line_count=known.line_count + 1, byte_count=known.byte_count + len(line.raw) + 1
            )
        return sorted(found.values(), key=lambda source: (source.name, source.source_id))

    async def delete_source(self, workspace: str, source_id: str) -> int:
        state = self._state(workspace)
        count = sum(row.line.source_id == source_id for row in _visible(state))
        if count:
            self._set(workspace, replace(state, hidden=state.hidden | {source_id}))
        return count

    async def delete(self, workspace: str) -> int:
        count = len(self._state(workspace).batches)
        if count:
            self._set(workspace, _State(self._state(workspace).generation))
        return count

    def stats(self, snapshot: Snapshot) -> IndexStats:
        state = _of(snapshot)
        size = sum(len(row.line.raw) + 1 for row in _visible(state))
        return IndexStats(snapshot.line_count, size, size, len(state.batches), snapshot.low, snapshot.high)

    def _state(self, workspace: str) -> _State:
        return self._states.get(workspace, _State())

    def _set(self, workspace: str, state: _State) -> None:
        self._states[workspace] = replace(state, generation=state.generation + 1)
        self._changed.set()
        self._changed = asyncio.Event()


def _of(snapshot: Snapshot) -> _State:
    assert isinstance(snapshot.state, _State)
    return snapshot.state


def _visible(state: _State) -> list[_Row]:
    """The lines that can be found, with the beginnings of their records where those are in another batch."""
    starts: dict[tuple[str, int], int] = {}
    rows = [row for row in state.rows if row.line.source_id not in state.hidden]
    for row in sorted(rows, key=lambda row: (row.line.source_id, row.line.number)):
        before = starts.get((row.line.source_id, row.line.number - 1), row.line.number)
        starts[row.line.source_id, row.line.number] = row.line.record or before
    return [replace(row, line=replace(row.line, record=starts[row.line.source_id, row.line.number])) for row in rows]


def _placed(row: _Row) -> LogLine:
    time = row.line.time
    return replace(row.line, place=_PLACE.pack(time is not None, time or 0, row.batch, row.row))


def _unpacked(place: bytes) -> tuple[bool, int, int, int]:
    try:
        dated, time, batch, row = _PLACE.unpack(place)
    except struct.error:
        raise InvalidArgument("page_token is not a token that a search gave") from None
    return dated, time, batch, row


def _aggregates(found: Sequence[_Row], plan: Plan) -> Aggregates:
    bars: dict[int, dict[int, int]] = {}
    wanted = plan.histogram
    for row in found if wanted is not None else ():
        assert wanted is not None
        if row.line.time is None or not wanted.count:
            continue
        number = (row.line.time - wanted.start) // wanted.width
        if 0 <= number < wanted.count:
            levels = bars.setdefault(number, {})
            levels[row.line.level] = levels.get(row.line.level, 0) + 1
    top = None
    if plan.top_values is not None:
        counts: Counter[str] = Counter()
        having = 0
        for row in found:
            values = _values(row.line, plan.top_values.field)
            having += bool(values)
            counts.update(values)
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        top = TopValues(ranked[: plan.top_values.limit], having, len(found), True)
    return Aggregates(None if wanted is None else bars, top)


def _values(line: LogLine, name: str) -> set[str]:
    match name:
        case "level":
            return {query_pb2.Level.Name(query_pb2.Level.ValueType(line.level))} if line.level else set()
        case "source":
            return {line.source}
        case _:
            return set(field_values(name)(line.raw))
