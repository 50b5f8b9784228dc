"""The engine of this program behind the seam: splits on local disk, listed in a catalogue, searched in threads."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from kit.errors import Aborted, DataLoss, FailedPrecondition, FieldViolation, StatusError
from loganalyzer.search.v1 import query_pb2, search_pb2
from services.search import sources
from services.search.catalog import Catalog, View
from services.search.library import DAMAGED, Library
from services.search.lines import Lines
from services.search.seam import (
    Aggregates,
    Answer,
    BatchWriter,
    Capabilities,
    Done,
    Event,
    Explanation,
    Hits,
    IndexStats,
    LogIndex,
    LogLine,
    LogSource,
    Plan,
    Snapshot,
    refuse,
)
from services.search.split_search import Flag, Searches, view_of

__all__ = ["ALL_NODES", "SplitIndex", "view_of"]

#: Every node of the query tree.
ALL_NODES = frozenset(node.name for node in query_pb2.Query.DESCRIPTOR.oneofs_by_name["node"].fields)
DOMAIN = "loganalyzer"
T = TypeVar("T")


class SplitIndex(LogIndex):
    """Searches run in `executor`; each is told when its caller has gone."""

    capabilities = Capabilities(name="of splits", nodes=ALL_NODES)

    def __init__(self, catalog: Catalog, library: Library, executor: Executor) -> None:
        self._catalog = catalog
        self._library = library
        self._executor = executor
        self._searches = Searches(library, self.capabilities)
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
        flag, view, given, seconds = Flag(), view_of(snapshot), 0, 0.0
        whole = plan.count or plan.limit == 0
        events = self._searches.events(view, plan, flag)
        try:
            while True:
                try:
                    event, took = await self.blocking(lambda: _next(events))  # noqa: B023 - waited for at once
                except (DataLoss, *DAMAGED) as error:
                    view = self._successor(snapshot, view, error)
                    events = self._searches.events(view, plan, flag)
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
            flag = Flag()
            try:
                error = await self.blocking(lambda: self._searches.answers(view, plans, found, flag))  # noqa: B023 - as above
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
        flag, view = Flag(), view_of(snapshot)
        try:
            return await self.blocking(lambda: self._searches.explain(view, query, flag))
        except (DataLoss, *DAMAGED) as error:
            view = self._successor(snapshot, view, error)
            return await self.blocking(lambda: self._searches.explain(view, query, flag))
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


def _next(events: Iterator[Event]) -> tuple[Event, float]:
    """The next event, and the processor time that it took."""
    begun = time.thread_time()
    return next(events), time.thread_time() - begun
