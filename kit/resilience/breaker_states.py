"""The states of a breaker, what moves it between them, and what it tells of itself.

Theory of operation. `TRANSITIONS` is the whole of it: a cause that is not listed for a state does not occur there. What
the causes are, and when they occur, stands in `kit.resilience.breaker`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["TRANSITIONS", "Cause", "Change", "Refusal", "Snapshot", "State"]


class State(enum.Enum):
    """The values are those of kitapi.v1.Breaker.State."""

    CLOSED = 1
    HALF_OPEN = 2
    OPEN = 3


class Cause(enum.Enum):
    """What moves a breaker."""

    TRIPPED = "too many failures or slow calls"
    WAITED = "it was open for long enough"
    PROBE_FAILED = "a probe failed"
    PROVED = "enough probes succeeded"
    OPENED_BY_HAND = "opened by hand"
    HALF_OPENED_BY_HAND = "half-opened by hand"
    CLOSED_BY_HAND = "closed by hand"


_CLOSED, _HALF_OPEN, _OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN

#: Where each cause leads. What is not listed does not happen.
TRANSITIONS: Final[Mapping[tuple[State, Cause], State]] = {
    (_CLOSED, Cause.TRIPPED): _OPEN,
    (_OPEN, Cause.WAITED): _HALF_OPEN,
    (_HALF_OPEN, Cause.PROBE_FAILED): _OPEN,
    (_HALF_OPEN, Cause.PROVED): _CLOSED,
    (_CLOSED, Cause.OPENED_BY_HAND): _OPEN,
    (_HALF_OPEN, Cause.OPENED_BY_HAND): _OPEN,
    (_CLOSED, Cause.HALF_OPENED_BY_HAND): _HALF_OPEN,
    (_OPEN, Cause.HALF_OPENED_BY_HAND): _HALF_OPEN,
    (_HALF_OPEN, Cause.CLOSED_BY_HAND): _CLOSED,
    (_OPEN, Cause.CLOSED_BY_HAND): _CLOSED,
}


class Change(NamedTuple):
    """One change of state. `reason` is for people."""

    old: State
    new: State
    cause: Cause
    reason: str
    at: float


class Refusal(NamedTuple):
    """The attempt is not made. `time_until_half_open` in seconds; 0 while probes are out, infinite when held open."""

    time_until_half_open: float
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to know at one instant. Instants are on the clock that drives the machine."""

    state: State
    #: Why it is in this state; "" when it never left the first.
    reason: str
    #: Outcomes that the window looks at; 0 where there is none.
    calls: int
    #: Shares of them, 0 to 1; -1 before there are enough, and where there is no window.
    failure_rate: float
    slow_call_rate: float
    failures_in_a_row: int
    #: Probes in flight.
    probes: int
    #: Over its life, or since `reset`.
    successes: int
    failures: int
    refused: int
    #: The start of the opening that lasts or was last; None when it was never open.
    opened_at: float | None
    changed_at: float | None
    #: Seconds, only while OPEN; infinite when held.
    time_to_half_open: float | None
