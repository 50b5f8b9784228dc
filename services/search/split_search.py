"""Plans carried out over the splits of a view. Everything here blocks: it belongs into the threads that search."""

from __future__ import annotations

import dataclasses
import struct
import threading
import time
from collections.abc import Iterator, Sequence

from kit.errors import DataLoss, FieldViolation, InvalidArgument, StatusError
from loganalyzer.search.v1 import query_pb2
from services.search import execute
from services.search.catalog import Published, View
from services.search.index.prepared import prepare
from services.search.library import DAMAGED, Library
from services.search.lines import Lines
from services.search.plans import CHUNK
from services.search.query import normalise
from services.search.query.explain import steps
from services.search.seam import (
    Answer,
    Capabilities,
    Cost,
    Done,
    Event,
    Explanation,
    Hits,
    LogLine,
    Order,
    Plan,
    Progress,
    Snapshot,
    Step,
    gathered,
    refuse,
)
from services.search.streaming import stream

__all__ = ["Flag", "Searches", "view_of"]

# Whether it has a time, time, split, row, and the generation of the view that it was seen in. Before there was a
# generation, nothing had ever moved.
_PLACE, _PLACE_1 = struct.Struct(">?qQQQ"), struct.Struct(">?qQQ")


class AbandonedError(Exception):
    """Nobody waits for this search any more."""


class Flag:
    """Tells a thread that nobody waits any more."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def abandon(self) -> None:
        """Nobody does."""
        self._event.set()

    def check(self) -> None:
        """Raises where nobody waits."""
        if self._event.is_set():
            raise AbandonedError


class Searches:
    """Carries out plans."""

    def __init__(self, library: Library, capabilities: Capabilities) -> None:
        self._library = library
        self._capabilities = capabilities

    def answers(
        self, view: View, plans: Sequence[Plan], found: list[Answer | StatusError], flag: Flag
    ) -> Exception | None:
        """Adds answers for the plans that have none yet; gives what has spoilt the next one. Blocks."""
        for plan in plans[len(found) :]:
            try:
                refuse(self._capabilities, plan)
                found.append(self._answer(view, plan, flag))
            except (DataLoss, *DAMAGED) as error:
                return error
            except StatusError as error:
                found.append(error)
        return None

    def _answer(self, view: View, plan: Plan, flag: Flag) -> Answer:
        begun = time.thread_time()
        if plan.limit == 0 and plan.histogram is None and plan.top_values is None:
            total, cost = execute.count(view, self._execution(view, plan, flag))
            return Answer((), None, Done(total, True, total > 0, _cost(cost, time.thread_time() - begun)))
        answer = gathered(self.events(view, plan, flag))
        done, spent = answer.done, answer.done.cost
        spent = Cost(spent.searched, spent.pruned, spent.lines, time.thread_time() - begun)
        return Answer(answer.lines, answer.aggregates, Done(done.total, done.exact, done.more, spent))

    def events(self, view: View, plan: Plan, flag: Flag) -> Iterator[Event]:
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

    def _fresh(self, view: View, since: View, execution: execute.Plan, lines: Lines, flag: Flag) -> Iterator[Event]:
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

    def _execution(self, view: View, plan: Plan, flag: Flag) -> execute.Plan:
        after = _place(plan.after, view, plan.order) if plan.after else None
        return execute.Plan(
            prepared=prepare(plan.query),
            order=plan.order,
            after=after,
            open_split=self._library.reader,
            check=flag.check,
        )

    def explain(self, view: View, query: query_pb2.Query, flag: Flag) -> Explanation:
        """What a search would cost. Blocks."""
        execution = self._execution(view, Plan(query=query), flag)

        def estimate(part: query_pb2.Query) -> int:
            return execute.count(view, dataclasses.replace(execution, prepared=prepare(normalise(part))))[0]

        lines, reads, cost = execute.candidates(view, execution)
        found = [Step(step.part, step.method, step.estimate) for step in steps(query, estimate)]
        return Explanation(_cost(cost), lines, reads > 0, found)


def view_of(snapshot: Snapshot) -> View:
    """The view behind a snapshot of a `SplitIndex`."""
    assert isinstance(snapshot.state, View)
    return snapshot.state


def _fresh_splits(view: View, since: View) -> tuple[Published, ...]:
    """The splits that hold lines which an earlier view does not."""
    known = {published.split.id for published in since.splits}
    for move in view.moves:
        if move.into is not None and all(published.split.id in known for published in move.replaced):
            known.add(move.into)
    return tuple(published for published in view.splits if published.split.id not in known)


def _read(lines: Lines, found: Sequence[execute.Found], view: View, flag: Flag) -> list[LogLine]:
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


def _cost(cost: execute.Cost, seconds: float = 0.0) -> Cost:
    return Cost(cost.searched, cost.pruned, cost.lines, seconds)
