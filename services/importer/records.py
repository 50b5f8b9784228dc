"""An import as it is recorded, and the states that it goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from loganalyzer.search.v1 import search_pb2
from services.importer.planning import Totals
from services.importer.reading import Problem

#: Errors of a source that are shown; all are counted.
SHOWN_ERRORS = 100


class State(IntEnum):
    """The same numbers as loganalyzer.importer.v1.Import.State."""

    QUEUED = 1
    RUNNING = 2
    PAUSED = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6


#: What may follow on a state. A state without followers is the end.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A path that was asked for, with its counts once the import has ended."""

    number: int
    name: str
    path: str
    totals: Totals
    #: The first ones, and how many there are.
    errors: tuple[Problem, ...]
    error_count: int


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An import."""

    sequence: int
    id: str
    workspace: str
    state: State
    create_time: int
    start_time: int | None
    end_time: int | None
    message: str
    planned: bool
    cancelled: bool
    sources: tuple[SourceRow, ...]

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"workspaces/{self.workspace}/imports/{self.id}"

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return not TRANSITIONS[self.state]


@dataclass(frozen=True, slots=True)
class SplitRow:
    """A split that is on disk."""

    split: search_pb2.Split
    task: int
    ordinal: int
    cursor: tuple[str, dict[str, Any]] | None
    published: bool
