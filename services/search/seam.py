"""The seam to the search engine, at the height of a workspace.

A `LogIndex` takes lines in batches and answers plans: a query tree in protobuf, an order, what is to be counted. What
it holds at a moment is named by a `Snapshot`: its token is equal only where the answers are, so a page, a count and a
histogram that belong together are asked of one snapshot. Where a page ended is named by a place, bytes that only the
index reads: it stays good in later snapshots, and what came in between is found at its own place or not at all. Nothing
here says how lines are kept; one machine's files and a cluster can stand behind it alike.

Hits have one total order: by time, lines without a time last, and among equal times in the order in which the batches
were published and then as their lines were written; NEWEST is OLDEST backwards, but for lines without a time, which are
last in both.

An index that cannot do what a plan asks says so before anything is searched (`refuse`), never by a wrong answer.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Protocol

from kit.errors import StatusError, Unimplemented
from loganalyzer.search.v1 import query_pb2
from services.search.plans import (
    Aggregates,
    Answer,
    Capabilities,
    Cost,
    Done,
    Event,
    Explanation,
    Hits,
    IndexStats,
    LogLine,
    LogSource,
    Order,
    Plan,
    Progress,
    Snapshot,
    Step,
    TopValues,
    ValuesWanted,
)

__all__ = [
    "Aggregates",
    "Answer",
    "BatchWriter",
    "Capabilities",
    "Cost",
    "Done",
    "Event",
    "Explanation",
    "Hits",
    "IndexStats",
    "LogIndex",
    "LogLine",
    "LogSource",
    "Order",
    "Plan",
    "Progress",
    "Snapshot",
    "Step",
    "TopValues",
    "ValuesWanted",
    "gathered",
    "nodes_of",
    "refuse",
]


class BatchWriter(Protocol):
    """Takes lines, one source after the other. Nothing of it is found before it is published. Its calls may block."""

    def add_source(self, *, source_id: str, name: str, import_name: str, first_line: int, byte_offset: int) -> None:
        """Begins a run of lines of a source."""

    def add_lines(self, lines: Sequence[bytes], times: Sequence[int], levels: Sequence[int], records: bytes) -> None:
        """Adds lines to the run: NO_TIME where one has no time; `records` has 1 where a line begins a record."""

    def end_source(self, *, complete: bool, byte_count: int) -> None:
        """Ends the run."""

    def finish(self) -> object:
        """Makes it durable, and gives what `LogIndex.publish` takes."""


class LogIndex(abc.ABC):
    """Lines of workspaces, searchable. Whoever leaves a call or an iterator ends its work within 100 ms."""

    capabilities: Capabilities

    @abc.abstractmethod
    def writer(self, workspace: str, batch_id: str) -> BatchWriter:
        """Opens a batch. May block."""

    @abc.abstractmethod
    async def publish(self, workspace: str, batch: object) -> bool:
        """Makes a finished batch searchable, for whoever looks from now on. False where it was so before."""

    @abc.abstractmethod
    def snapshot(self, workspace: str) -> Snapshot:
        """What the workspace holds now: takes microseconds."""

    @abc.abstractmethod
    async def changed(self, snapshot: Snapshot) -> Snapshot:
        """Waits until the workspace holds something else."""

    @abc.abstractmethod
    def holds(self, snapshot: Snapshot, source_id: str, number: int) -> bool:
        """Whether a line is there: takes microseconds."""

    @abc.abstractmethod
    def search(self, snapshot: Snapshot, plan: Plan) -> AsyncGenerator[Event]:
        """Progress at the beginning and every 10,000 lines, hits as they are found, aggregates, and Done.

        Goes on only as it is asked for the next event. `Unimplemented` where the index lacks what the plan asks for.
        """

    async def answer(self, snapshot: Snapshot, plan: Plan) -> Answer:
        """A search as a whole; for plans with a limit."""
        return gathered([event async for event in self.search(snapshot, plan)])

    async def answers(self, snapshot: Snapshot, plans: Sequence[Plan]) -> list[Answer | StatusError]:
        """Many searches of one snapshot, in their order. One that fails leaves the others alone."""
        found: list[Answer | StatusError] = []
        for plan in plans:
            try:
                found.append(await self.answer(snapshot, plan))
            except StatusError as error:
                found.append(error)
        return found

    @abc.abstractmethod
    async def explain(self, snapshot: Snapshot, query: query_pb2.Query) -> Explanation:
        """What a search would cost, in the steps in which it would be done."""

    @abc.abstractmethod
    async def fetch(self, snapshot: Snapshot, source_id: str, number: int) -> LogLine | None:
        """One line, if it is there."""

    @abc.abstractmethod
    async def context(
        self, snapshot: Snapshot, source_id: str, number: int, before: int, after: int
    ) -> Sequence[LogLine]:
        """A line with its neighbours in the source, as far as they are there without a gap; empty where it is not."""

    @abc.abstractmethod
    def sources(self, snapshot: Snapshot) -> Sequence[LogSource]:
        """The sources that hold lines, by name and then id."""

    @abc.abstractmethod
    async def delete_source(self, workspace: str, source_id: str) -> int:
        """Deletes the lines of a source, and says how many were there. None of them is found afterwards."""

    @abc.abstractmethod
    async def delete(self, workspace: str) -> int:
        """Deletes all that a workspace holds, and says of how many units that was."""

    @abc.abstractmethod
    def stats(self, snapshot: Snapshot) -> IndexStats:
        """Figures."""


def gathered(events: Iterable[Event]) -> Answer:
    """A search as a whole."""
    lines: list[LogLine] = []
    aggregates = None
    for event in events:
        match event:
            case Hits():
                lines += event.lines
            case Aggregates():
                aggregates = event
            case Done():
                return Answer(lines, aggregates, event)
    raise AssertionError("a search ended without its last event")


def nodes_of(query: query_pb2.Query) -> Iterator[str]:
    """The names of all nodes in a tree; "all" for one that is not set."""
    kind = query.WhichOneof("node") or "all"
    yield kind
    match kind:
        case "and" | "or":
            for operand in getattr(query, kind).operands:
                yield from nodes_of(operand)
        case "not":
            yield from nodes_of(getattr(query, "not").operand)


def refuse(capabilities: Capabilities, plan: Plan) -> None:
    """Raises Unimplemented, naming what the plan asks for and the index lacks."""
    lacking = [f"{kind} queries" for kind in sorted(set(nodes_of(plan.query)) - capabilities.nodes)]
    if plan.order not in capabilities.orders:
        lacking.append(f'the order "{plan.order.value}"')
    if plan.histogram is not None and "histogram" not in capabilities.aggregations:
        lacking.append("histograms")
    if plan.top_values is not None and "top_values" not in capabilities.aggregations:
        lacking.append("top values")
    if lacking:
        raise Unimplemented(
            f"the index {capabilities.name} does not know {', '.join(lacking)}",
            reason="INDEX_LACKS",
            domain="loganalyzer",
            metadata={"lacking": ", ".join(lacking)},
        )
