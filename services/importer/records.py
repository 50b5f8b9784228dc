"""An import as it is recorded, and the states that it goes through.

QUEUED waits for its turn, RUNNING reads, or watches what it has read when it follows. PAUSED reads nothing until it is
resumed: then it is QUEUED again. The other three are ends: nothing follows on them. Who asks for something (`Ask`) gets
what `answer` says, in every state; the store records a change of state only along TRANSITIONS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
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
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.PAUSED, State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


class Ask(Enum):
    """What a caller can ask for."""

    PAUSE = "paused"
    RESUME = "resumed"
    CANCEL = "cancelled"


class Ended(Exception):  # noqa: N818 - what is the matter, by name
    """The import has ended: it can be neither paused nor resumed."""


def answer(state: State, ask: Ask) -> State | None:
    """The state that an import is to get; None where it stays in its own. Raises Ended."""
    ended = not TRANSITIONS[state]
    match ask:
        case Ask.CANCEL:
            return None if ended else State.CANCELLED
        case Ask.PAUSE | Ask.RESUME if ended:
            raise Ended
        case Ask.PAUSE:
            return None if state is State.PAUSED else State.PAUSED
        case Ask.RESUME:
            return State.QUEUED if state is State.PAUSED else None


class Mode(IntEnum):
    """The same numbers as loganalyzer.importer.v1.Import.Mode."""

    INCREMENTAL = 0
    FULL = 1


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A path that was asked for, with its counts: of all once the import has ended, before that of what is settled."""

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
    mode: Mode
    follow: bool
    #: Numbers of the next file and task of one that follows; 0 before everything was read for the first time.
    next_file: int
    next_task: int
    #: What was last told of its progress, which does not fall back: see progress.Shown.
    shown: Mapping[str, int]
    sources: tuple[SourceRow, ...]

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"workspaces/{self.workspace}/imports/{self.id}"

    @property
    def follows(self) -> bool:
        """Whether everything was read once, and it watches for more."""
        return self.next_task > 0

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


@dataclass(frozen=True, slots=True)
class FileRow:
    """What is known of a text that an import has read."""

    source_id: str
    #: File on disk that it stands in.
    file: int
    #: As the worker said: messages.py, op "source"; with "state" of ImportFile.
    facts: Mapping[str, Any]
