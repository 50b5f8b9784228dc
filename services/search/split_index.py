"""The engine of this program behind the seam: splits on local disk, listed in a catalogue, searched in threads."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from kit.errors import Aborted, DataLoss, FailedPrecondition, FieldViolation, InvalidArgument, StatusError
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import execute, sources
from services.search.catalog import Catalog, Published, View
from services.search.index.prepared import prepare
from services.search.library import DAMAGED, Library
from services.search.lines import Lines
from services.search.plans import CHUNK
from services.search.query import normalise
from services.search.query.explain import steps
from services.search.seam import (
    Aggregates,
    Answer,
    BatchWriter,
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
    gathered,
    refuse,
)
from services.search.streaming import stream

__all__ = ["ALL_NODES", "SplitIndex", "view_of"]

#: Every node of the query tree.
ALL_NODES = frozenset(node.name for node in query_pb2.Query.DESCRIPTOR.oneofs_by_name["node"].fields)
DOMAIN = "loganalyzer"
# Whether it has a time, time, split, row, and the generation of the view that it was seen in. Before there was a
# generation, nothing had ever moved.
_PLACE, _PLACE_1 = struct.Struct(">?qQQQ"), struct.Struct(">?qQQ")

T = TypeVar("T")


class AbandonedError(Exception):
    """Nobody waits for this search any more."""


class _Flag:
    """Tells a thread that nobody waits any more."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def abandon(self) -> None:
        self._event.set()

    def check(self) -> None:
        if self._event.is_set():
            raise AbandonedError


class SplitIndex(LogIndex):
    """Searches run in `executor`; each is told when its caller has gone."""

    capabilities = Capabilities(name="of splits", nodes=ALL_NODES)

    def __init__(self, catalog: Catalog, library: Library, executor: Executor) -> None:
        self._catalog = catalog
        self._library = library
        self._executor = executor
        #: The last view that was seen of each workspace: splits that are gone since are closed.
        self._seen: dict[str, View] = {}

    def writer(self, workspace: str, batch_id: str) -> BatchWriter:
        return self._library.writer(workspace, batch_id)

    async def publish(self, workspace: str, batch: object) -> bool:
        assert isinstance(batch, search_pb2.Split)
        view = self._catalog.view(workspace)
        if batch.id in view.moved or any(published.split.id == batch.id for published in view.splits):
            return False
        wrong = await self.blocking(lambda: self._library.check(workspace, batch))
        if wrong:
            raise FailedPrecondition(
                f"split {batch.id!r} {wrong}",
                reason="SPLIT_NOT_USABLE",
                domain=DOMAIN,
                violations=[FieldViolation("split", wrong)],
            )
        return await self._catalog.publish(workspace, batch)

    def snapshot(self, workspace: str) -> Snapshot:
        return self._snapshot(workspace, self._catalog.view(workspace))

    async def changed(self, snapshot: Snapshot) -> Snapshot:
        view = await self._catalog.changed(snapshot.workspace, view_of(snapshot))
        return self._snapshot(snapshot.workspace, view)

    def holds(self, snapshot: Snapshot, source_id: str, number: int) -> bool:
        return view_of(snapshot).run_of(source_id, number) is not None

    async def search(self, snapshot: Snapshot, plan: Plan) -> AsyncGenerator[Event]:
        refuse(self.capabilities, plan)
        flag, view, given, seconds = _Flag(), view_of(snapshot), 0, 0.0
        whole = plan.count or plan.limit == 0
        events = self._events(view, plan, flag)
        try:
            while True:
                try:
                    event, took = await self.blocking(lambda: _next(events))  # noqa: B023 - waited for at once
                except (DataLoss, *DAMAGED) as error:
                    view = self._successor(snapshot, view, error)
                    events = self._events(view, plan, flag)
                    continue
                seconds += took
                if isinstance(event, Hits):
                    given += len(event.lines)
                    left = None if plan.limit is None else plan.limit - given
                    plan = dataclasses.replace(plan, after=event.lines[-1].place, limit=left)
                elif isinstance(event, Aggregates):
                    plan = dataclasses.replace(plan, histogram=None, top_values=None)
                elif isinstance(event, Done):
                    total = event.total if whole else given
                    event = dataclasses.replace(
                        event, total=total, cost=dataclasses.replace(event.cost, seconds=seconds)
                    )
                yield event
                if isinstance(event, Done):
                    return
        finally:
            flag.abandon()

    async def answer(self, snapshot: Snapshot, plan: Plan) -> Answer:
        (found,) = await self.answers(snapshot, [plan])
        if isinstance(found, StatusError):
            raise found
        return found

    async def answers(self, snapshot: Snapshot, plans: Sequence[Plan]) -> list[Answer | StatusError]:
        found: list[Answer | StatusError] = []
        view = view_of(snapshot)
        while len(found) < len(plans):
            flag = _Flag()
            try:
                error = await self.blocking(lambda: self._answers(view, plans, found, flag))  # noqa: B023 - as above
            except asyncio.CancelledError:
                flag.abandon()
                raise
            if error is None:
                continue
            try:
                view = self._successor(snapshot, view, error)
            except StatusError as final:
                found.append(final)
        return found

    async def explain(self, snapshot: Snapshot, query: query_pb2.Query) -> Explanation:
        flag, view = _Flag(), view_of(snapshot)
        try:
            return await self.blocking(lambda: _explained(view, query, self._execution(view, Plan(query=query), flag)))
        except (DataLoss, *DAMAGED) as error:
            view = self._successor(snapshot, view, error)
            return await self.blocking(lambda: _explained(view, query, self._execution(view, Plan(query=query), flag)))
        finally:
            flag.abandon()

    async def fetch(self, snapshot: Snapshot, source_id: str, number: int) -> LogLine | None:
        found = await self.context(snapshot, source_id, number, 0, 0)
        return found[0] if found else None

    async def context(
        self, snapshot: Snapshot, source_id: str, number: int, before: int, after: int
    ) -> Sequence[LogLine]:
        view = view_of(snapshot)
        while True:
            if view.run_of(source_id, number) is None:
                return []
            first = number
            while first > max(1, number - before) and view.run_of(source_id, first - 1) is not None:
                first -= 1
            lines = Lines(view, self._library.reader)
            try:
                return await self.blocking(lambda: lines.between(source_id, first, number + after))  # noqa: B023
            except (DataLoss, *DAMAGED) as error:
                view = self._successor(snapshot, view, error)

    def sources(self, snapshot: Snapshot) -> Sequence[LogSource]:
        return sources.of(view_of(snapshot))

    async def delete_source(self, workspace: str, source_id: str) -> int:
        return await self._catalog.hide_source(workspace, source_id)

    async def delete(self, workspace: str) -> int:
        # Rows first: what has no row is never searched, whatever of its folder is left.
        count = await self._catalog.delete(workspace)
        await self.blocking(lambda: self._library.remove(workspace))
        return count

    def stats(self, snapshot: Snapshot) -> IndexStats:
        view = view_of(snapshot)
        splits = [published.split for published in view.splits]
        return IndexStats(
            view.line_count,
            sum(split.raw_bytes for split in splits),
            sum(split.stored_bytes for split in splits),
            len(splits),
            snapshot.low,
            snapshot.high,
        )

    async def blocking(self, work: Callable[[], T]) -> T:
        """Does blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _snapshot(self, workspace: str, view: View) -> Snapshot:
        before = self._seen.get(workspace)
        if before is not view:
            self._seen[workspace] = view
            gone = {each.split.id for each in before.splits} if before is not None else set()
            gone -= {each.split.id for each in view.splits}
            if gone:
                self._library.forget(workspace, gone)
        low, high = view.times or (None, None)
        token = f"{self._catalog.identity}/{view.generation}"
        return Snapshot(workspace, token, view.line_count, low, high, view.hidden, view)

    def _answers(
        self, view: View, plans: Sequence[Plan], found: list[Answer | StatusError], flag: _Flag
    ) -> Exception | None:
        """Adds answers for the plans that have none yet; gives what has spoilt the next one. Blocks."""
        for plan in plans[len(found) :]:
            try:
                refuse(self.capabilities, plan)
                begun = time.thread_time()
                answer = self._answer(view, plan, flag)
                cost = dataclasses.replace(answer.done.cost, seconds=time.thread_time() - begun)
                found.append(dataclasses.replace(answer, done=dataclasses.replace(answer.done, cost=cost)))
            except (DataLoss, *DAMAGED) as error:
                return error
            except StatusError as error:
                found.append(error)
        return None

    def _answer(self, view: View, plan: Plan, flag: _Flag) -> Answer:
        if plan.limit == 0 and plan.histogram is None and plan.top_values is None:
            total, cost = execute.count(view, self._execution(view, plan, flag))
            return Answer((), None, Done(total, True, total > 0, _cost(cost)))
        return gathered(self._events(view, plan, flag))

    def _events(self, view: View, plan: Plan, flag: _Flag) -> Iterator[Event]:
        """The events of a search. Blocks."""
        execution = self._execution(view, plan, flag)
        lines = Lines(view, self._library.reader)
        if plan.since is not None:
            yield from self._fresh(view, view_of(plan.since), execution, lines, flag)
            return
        if plan.histogram is not None or plan.top_values is not None:
            yield Progress(0, view.line_count)
            yield execute.aggregates(view, execution, plan.histogram, plan.top_values)
        if plan.limit == 0:
            total, cost = execute.count(view, execution)
            yield Done(total, True, total > 0, _cost(cost))
            return
        if plan.count:
            assert plan.limit is not None
            page = execute.find_page(view, execution, plan.limit)
            for at in range(0, len(page.hits), CHUNK):
                yield Hits(_read(lines, page.hits[at : at + CHUNK], view, flag))
            yield Done(page.total, True, page.more, _cost(page.cost))
            return
        for event in stream(view, execution, plan.limit or 0):
            match event:
                case Progress():
                    yield event
                case execute.Page():
                    yield Done(event.total, not event.more, event.more, _cost(event.cost))
                case _:
                    yield Hits(_read(lines, event, view, flag))

    def _fresh(self, view: View, since: View, execution: execute.Plan, lines: Lines, flag: _Flag) -> Iterator[Event]:
        """The lines that an earlier view does not hold. A split that took the place of others may hold both."""
        fresh = dataclasses.replace(view, splits=_fresh_splits(view, since))
        total = 0
        for event in stream(fresh, execution, 0):
            if isinstance(event, execute.Page):
                yield Done(total, True, False, _cost(event.cost))
            elif isinstance(event, list):
                found = _read(lines, event, view, flag)
                new = [line for line in found if since.run_of(line.source_id, line.number) is None]
                total += len(new)
                if new:
                    yield Hits(new)

    def _execution(self, view: View, plan: Plan, flag: _Flag) -> execute.Plan:
        after = _place(plan.after, view, plan.order) if plan.after else None
        return execute.Plan(
            prepared=prepare(plan.query),
            order=plan.order,
            after=after,
            open_split=self._library.reader,
            check=flag.check,
        )

    def _successor(self, snapshot: Snapshot, view: View, error: Exception) -> View:
        """The view to go on with where a split of this one cannot be read; raises where there is none.

        It holds what this one does, in splits that took the place of others since.
        """
        now = self._catalog.view(snapshot.workspace)
        moved = {published.seq for published in view.splits} & {
            published.seq for move in now.moves if move.generation > view.generation for published in move.replaced
        }
        if moved and view.splits:
            last = view.splits[-1].seq
            return dataclasses.replace(now, splits=tuple(each for each in now.splits if each.seq <= last))
        if now.generation != view.generation:
            raise Aborted("the logs of the workspace were changed meanwhile") from error
        if isinstance(error, DataLoss):
            raise error
        raise DataLoss("a split cannot be read", reason="SPLIT_DAMAGED", domain=DOMAIN) from error


def _explained(view: View, query: query_pb2.Query, execution: execute.Plan) -> Explanation:
    """Blocks."""

    def estimate(part: query_pb2.Query) -> int:
        return execute.count(view, dataclasses.replace(execution, prepared=prepare(normalise(part))))[0]

    lines, reads, cost = execute.candidates(view, execution)
    found = [Step(step.part, step.method, step.estimate) for step in steps(query, estimate)]
    return Explanation(_cost(cost), lines, reads > 0, found)


def view_of(snapshot: Snapshot) -> View:
    """The view behind a snapshot of a `SplitIndex`."""
    assert isinstance(snapshot.state, View)
    return snapshot.state


def _next(events: Iterator[Event]) -> tuple[Event, float]:
    """The next event, and the processor time that it took."""
    begun = time.thread_time()
    return next(events), time.thread_time() - begun


def _fresh_splits(view: View, since: View) -> tuple[Published, ...]:
    """The splits that hold lines which an earlier view does not."""
    known = {published.split.id for published in since.splits}
    for move in view.moves:
        if move.into is not None and all(published.split.id in known for published in move.replaced):
            known.add(move.into)
    return tuple(published for published in view.splits if published.split.id not in known)


def _read(lines: Lines, found: Sequence[execute.Found], view: View, flag: _Flag) -> list[LogLine]:
    return lines.read([(hit.reader, hit.place.row, _packed(hit.place, view)) for hit in found], flag.check)


def _packed(place: execute.Place, view: View) -> bytes:
    return _PLACE.pack(place.time is not None, place.time or 0, place.seq, place.row, view.generation)


def _place(packed: bytes, view: View, order: Order) -> execute.Place:
    """Where a place of this or an earlier view stands. InvalidArgument for what is none."""
    try:
        dated, time, seq, row, generation = (
            _PLACE.unpack(packed) if len(packed) == _PLACE.size else (*_PLACE_1.unpack(packed), 0)
        )
    except struct.error:
        wrong = "is not a token that a search gave"
        raise InvalidArgument(f"page_token {wrong}", violations=[FieldViolation("page_token", wrong)]) from None
    seq, row = view.translate(generation, seq, row, forward=order is Order.OLDEST)
    return execute.Place(time if dated else None, seq, row)


def _cost(cost: execute.Cost) -> Cost:
    return Cost(cost.searched, cost.pruned, cost.lines)
