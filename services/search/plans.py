"""What goes through the seam to the search engine: plans, events and lines. `seam` says what they mean together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loganalyzer.search.v1 import query_pb2
from services.search.bars import Bars
from services.search.index.split import Order

__all__ = [
    "CHUNK",
    "PROGRESS_LINES",
    "Aggregates",
    "Answer",
    "Capabilities",
    "Cost",
    "Done",
    "Event",
    "Explanation",
    "Hits",
    "IndexStats",
    "LogLine",
    "LogSource",
    "Order",
    "Plan",
    "Progress",
    "Snapshot",
    "Step",
    "TopValues",
    "ValuesWanted",
]

#: Hits in one event, at most.
CHUNK = 100
#: Lines that a search may go on without saying so.
PROGRESS_LINES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an index can do. `nodes` are names of the members of Query.node, `aggregations` those of `Plan`'s fields."""

    name: str
    nodes: frozenset[str]
    orders: frozenset[Order] = frozenset(Order)
    aggregations: frozenset[str] = frozenset({"histogram", "top_values"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a workspace holds at one moment, named by `token`; `low` and `high` bound the times, in microseconds.

    Lines of `hidden` sources are deleted, and found no more if they come again. `state` is the index's own.
    """

    workspace: str
    token: str
    line_count: int
    low: int | None = None
    high: int | None = None
    hidden: frozenset[str] = frozenset()
    state: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ValuesWanted:
    """The `limit` most frequent values of a field."""

    field: str
    limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to look for, in normal form. `limit` None means every hit, 0 none; `after` is a place, b"" the beginning.

    With `count`, `Done.total` counts every line that matches; without, only hits that were given. With `since`, lines
    that the earlier snapshot holds are left out: for whole streams only, without aggregates.
    """

    query: query_pb2.Query
    order: Order = Order.NEWEST
    after: bytes = b""
    limit: int | None = None
    count: bool = False
    histogram: Bars | None = None
    top_values: ValuesWanted | None = None
    since: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line with what is known of it. Its record begins with line `record`; `place` is where it stands in the order.

    `time` is in microseconds, or None; `level` a number of query_pb2.Level.
    """

    source_id: str
    source: str
    number: int
    raw: bytes
    time: int | None
    level: int
    record: int
    place: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """Lines done, out of how many."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Hits:
    """The next ones in order, 1 to `CHUNK`."""

    lines: Sequence[LogLine]


@dataclass(frozen=True, slots=True)
class TopValues:
    """(value, count), the most frequent first, then by value; lines that have the field; lines that were read."""

    values: Sequence[tuple[str, int]]
    with_field: int
    read: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Aggregates:
    """`histogram`: {number of the bar: {level: lines}}, of those inside the bars."""

    histogram: Mapping[int, Mapping[int, int]] | None = None
    top_values: TopValues | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Units of the index that a search looked at, those that it could leave out, lines of the first; processor time."""

    searched: int = 0
    pruned: int = 0
    lines: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """The last event. `more`: other hits follow. `exact`: `total` is the number of all lines that match."""

    total: int
    exact: bool
    more: bool
    cost: Cost


Event = Progress | Hits | Aggregates | Done


@dataclass(frozen=True, slots=True)
class Answer:
    """A search that is over, as a whole."""

    lines: Sequence[LogLine]
    aggregates: Aggregates | None
    done: Done


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a query, how it is found, and the lines that it may match; -1 where that is not known."""

    part: str
    method: str
    estimate: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a search would cost: `cost` as in `Done`, lines that may match, whether they have to be read to know."""

    cost: Cost
    candidates: int
    reads: bool
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class LogSource:
    """A source that holds lines."""

    source_id: str
    name: str
    import_name: str
    line_count: int
    byte_count: int


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Figures of a workspace. `raw_bytes` of the sources, `stored_bytes` of the index with its lines; times in us."""

    line_count: int
    raw_bytes: int
    stored_bytes: int
    units: int
    low: int | None
    high: int | None
