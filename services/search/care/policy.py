"""Decides what index care does next. Knows views and facts, touches nothing.

In order of urgency: deleted sources leave the disk, retention is applied, splits get their block index (newest first),
small neighbours are joined, and splits of an older version are brought up when nothing else has happened for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TypeAlias

from loganalyzer.search.v1 import search_pb2
from services.search.index.layout import SCHEMA_VERSION
from services.search.view import Published, View

__all__ = ["Delete", "Facts", "Index", "Job", "Keep", "Limits", "Rebuild", "Unhide", "next_job"]

MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When care does what. Bytes are of raw lines, times are seconds."""

    #: Splits of this size and more are not joined with others.
    small: int = 64 << 20
    #: What splits are joined to at most.
    joined: int = 256 << 20
    #: Runs of sources in a joined split at most: its message must fit into one of gRPC's.
    runs: int = 1000
    #: Splits to join at least; of one import two will do.
    several: int = 4
    #: How old a split must be to be joined: an import makes the next ones meanwhile.
    settled: float = 60.0
    #: How long nothing must have happened in a workspace for splits of an older version to be built again.
    idle: float = 30.0
    #: Smaller splits get no block index: reading them costs less than looking.
    grams: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Keep:
    """What a workspace keeps: see loganalyzer.workspace.v1.Retention. None: no limit."""

    max_age: float | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known apart from the views."""

    #: Seconds since 1970.
    now: float
    #: Ids of splits (with their workspace) that are indexed as far as care goes.
    indexed: Collection[tuple[str, str]] = ()
    #: Those that care cannot do anything about: they are damaged.
    left_alone: Collection[tuple[str, str]] = ()
    #: Those in which not every line has a time.
    undated: Collection[tuple[str, str]] = ()
    #: What is kept of the workspaces that have limits.
    keep: Mapping[str, Keep] = field(default_factory=dict)
    #: When each workspace changed last, in seconds since 1970.
    changed: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Index:
    """Give a split its checksums and its block index."""

    workspace: str
    split: search_pb2.Split
    grams: bool


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Build a split anew from these, without the lines of some sources, and put it in their place."""

    workspace: str
    splits: tuple[search_pb2.Split, ...]
    without: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Take a split away."""

    workspace: str
    split: search_pb2.Split


@dataclass(frozen=True, slots=True)
class Unhide:
    """Forget that a source was deleted: none of its lines is left."""

    workspace: str
    source_id: str


Job: TypeAlias = Index | Rebuild | Delete | Unhide


def next_job(views: Mapping[str, View], facts: Facts) -> Job | None:
    """What to do next; None where all is in order."""
    for find in (_deleted_sources, _beyond_retention, _not_indexed, _small, _old_version):
        for job in find(views, facts):
            return job
    return None


def _splits(view: View, facts: Facts) -> Iterator[Published]:
    return (each for each in view.splits if (each.workspace, each.split.id) not in facts.left_alone)


def _deleted_sources(views: Mapping[str, View], facts: Facts) -> Iterator[Job]:
    for workspace, view in views.items():
        if not view.hidden:
            continue
        for published in _splits(view, facts):
            if any(run.source_id in view.hidden for run in published.split.sources):
                yield Rebuild(workspace, (published.split,), view.hidden, "a source was deleted")
        held = {run.source_id for published in view.splits for run in published.split.sources}
        for source_id in sorted(view.hidden - held):
            yield Unhide(workspace, source_id)


def _beyond_retention(views: Mapping[str, View], facts: Facts) -> Iterator[Job]:
    for workspace, view in views.items():
        keep = facts.keep.get(workspace)
        if keep is None:
            continue
        oldest_first = sorted(view.splits, key=lambda each: (_newest(each, facts), each.seq))
        total = sum(each.split.raw_bytes for each in oldest_first)
        for published in oldest_first:
            too_old = keep.max_age is not None and _newest(published, facts) < (facts.now - keep.max_age) * MICROSECONDS
            # Of what came last something is kept, whatever its size.
            too_many = keep.max_bytes is not None and total > keep.max_bytes and published is not oldest_first[-1]
            if too_old or too_many:
                yield Delete(workspace, published.split)
            total -= published.split.raw_bytes


def _newest(published: Published, facts: Facts) -> int:
    """The time of the newest line, in microseconds; a line without a time is as old as its import."""
    split = published.split
    imported = split.create_time.ToMicroseconds()
    if not split.has_times:
        return imported
    undated = (published.workspace, split.id) in facts.undated
    return max(split.max_time_us, imported) if undated else split.max_time_us


def _not_indexed(views: Mapping[str, View], facts: Facts) -> Iterator[Job]:
    waiting = [
        published
        for view in views.values()
        for published in _splits(view, facts)
        if (published.workspace, published.split.id) not in facts.indexed
    ]
    for published in sorted(waiting, key=lambda each: each.seq, reverse=True):
        yield Index(published.workspace, published.split, published.split.raw_bytes >= facts.limits.grams)


def _small(views: Mapping[str, View], facts: Facts) -> Iterator[Job]:
    for workspace, view in views.items():
        for run in _runs_of_small(view, facts):
            chosen = _worth_joining([published.split for published in run], facts.limits)
            if chosen:
                yield Rebuild(workspace, tuple(chosen), view.hidden, "small splits are joined")


def _runs_of_small(view: View, facts: Facts) -> Iterator[list[Published]]:
    """Neighbours in the order of publication that may be joined, the oldest ones first."""
    run: list[Published] = []
    for published in view.splits:
        age = facts.now - published.split.create_time.ToMicroseconds() / MICROSECONDS
        fits = published.split.raw_bytes < facts.limits.small and age >= facts.limits.settled
        if fits and (published.workspace, published.split.id) not in facts.left_alone:
            run.append(published)
            continue
        yield run
        run = []
    yield run


def _worth_joining(splits: Sequence[search_pb2.Split], limits: Limits) -> Sequence[search_pb2.Split]:
    """The first splits that are worth it: what is joined doubles each time, so a line is copied a few times only."""
    for start in range(len(splits)):
        sizes = list(accumulate(split.raw_bytes for split in splits[start:]))
        runs = list(accumulate(len(split.sources) for split in splits[start:]))
        count = sum(size <= limits.joined and number <= limits.runs for size, number in zip(sizes, runs, strict=True))
        chosen = splits[start : start + count]
        if count < 2:
            continue
        largest = max(split.raw_bytes for split in chosen)
        alike = all(_imports(one) == _imports(other) for one, other in pairwise(chosen))
        if (count >= limits.several and sizes[count - 1] >= 2 * largest) or (
            alike and 2 * sizes[count - 1] >= 3 * largest
        ):
            return chosen
    return ()


def _imports(split: search_pb2.Split) -> set[str]:
    return {run.import_name for run in split.sources}


def _old_version(views: Mapping[str, View], facts: Facts) -> Iterator[Job]:
    for workspace, view in views.items():
        if facts.now - facts.changed.get(workspace, facts.now) < facts.limits.idle:
            continue
        for published in _splits(view, facts):
            if published.split.schema_version < SCHEMA_VERSION:
                yield Rebuild(workspace, (published.split,), view.hidden, "its format is an older one")
