"""What a supervisor keeps running, and what it tells of it."""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ConfigurationError

__all__ = ["AliveRules", "Child", "ChildEvent", "ChildState"]


@dataclass(frozen=True, slots=True)
class Child:
    """A program to keep running."""

    name: str
    argv: Sequence[str]
    #: The whole environment; None inherits the supervisor's. KIT_PARENT_FD is added.
    env: Mapping[str, str] | None = None
    #: Asked again and again after a start until it says yes. None: ready as soon as it runs.
    ready: Callable[[], bool] | None = None
    #: Where standard output and error are appended; None inherits the supervisor's.
    log: Path | None = None
    #: Asked from time to time once it is ready: False, an exception or no answer in time is a failure (`AliveRules`).
    #: None: it is alive for as long as it runs.
    alive: Callable[[], Awaitable[bool]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AliveRules:
    """When a child that runs is taken for hung: it is killed then, and started again. Times are seconds.

    The defaults are slow on purpose: a machine that is overloaded for some seconds hangs nobody.
    """

    #: From one question to the next.
    every: float = 10.0
    #: How long an answer may take.
    timeout: float = 5.0
    #: Failures in a row.
    failures: int = 3

    def __post_init__(self) -> None:
        for name in ("every", "timeout"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"alive rules: {name} must be a time of more than 0, not {value!r}")
        if self.failures < 1:
            raise ConfigurationError(f"alive rules: failures must be at least 1, not {self.failures}")


class ChildState(enum.Enum):
    """What happened to a child."""

    STARTED = "started"
    READY = "ready"
    #: It runs and does not answer; it is killed.
    HUNG = "hung"
    EXITED = "exited"
    RESTARTING = "restarting"
    GAVE_UP = "gave-up"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildEvent:
    """One thing that happened to a child."""

    child: str
    state: ChildState
    pid: int | None = None
    #: EXITED: as `subprocess` has it, negative for a signal; None where it could not be started.
    exit_code: int | None = None
    #: RESTARTING: seconds until the next start.
    delay: float | None = None
    #: Restarts so far since the child was last stable.
    restarts: int = 0
