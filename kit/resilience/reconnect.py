"""When to try again to reach an endpoint whose connection is lost, or could not be made.

Theory of operation. This is about connections while nothing calls: a call asks for a connection by itself, and what
becomes of it is the retry's affair. So tries may be more and further apart than those of a call: ten, the first a
second after the loss, each wait twice as long, at most 30 s, spread by a fifth either way, three minutes in all.

    phase     what happened                          next      note
    STEADY    the connection was lost                WAITING   the first try is due after the first delay
    WAITING   `begin`, and the try is due            TRYING
    TRYING    the try failed                         WAITING   the next is due after the next delay
    TRYING    the max_tries-th try failed            GAVE_UP   nothing is due any more
    any       there is a connection                  STEADY    the count is forgotten
    any       it is asked for anew (call, person)    WAITING   due at once; the count is forgotten

Every one of these begins a new generation, except the first and `begin`; a try of an older one that fails changes
nothing. What is lost while a loss is being dealt with is no further loss.

Invariants: at most one try is under way; at most max_tries fail between two of STEADY, GAVE_UP and asking anew; `due`
is infinite unless WAITING.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from kit.resilience.backoff import Backoff, Jitter, nth_delay

__all__ = ["Phase", "Reconnect", "ReconnectRules", "Try"]


class Phase(enum.Enum):
    """Where it stands."""

    STEADY = 1
    WAITING = 2
    TRYING = 3
    GAVE_UP = 4


def _usual() -> Backoff:
    return Backoff(initial=1.0, multiplier=2.0, maximum=30.0, jitter=Jitter.PLUS_MINUS_20)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconnectRules:
    """How often, and how far apart."""

    max_tries: int = 10
    backoff: Backoff = field(default_factory=_usual)

    def __post_init__(self) -> None:
        if self.max_tries < 1:
            raise ValueError(f"max_tries must be at least 1, not {self.max_tries}")


class Try:
    """One try that is under way. That it succeeded shows in a connection: tell `Reconnect.connected`."""

    __slots__ = ("_generation", "_machine", "number")

    def __init__(self, machine: Reconnect, generation: int, number: int) -> None:
        self._machine = machine
        self._generation = generation
        #: 1 is the first.
        self.number = number

    def failed(self, now: float, u: float) -> bool:
        """It came to nothing; `u` is uniform in [0, 1). Answers whether that counted."""
        return self._machine._failed(self._generation, now, u)


class Reconnect:
    """The tries for one endpoint."""

    __slots__ = ("_delays", "_generation", "_rules", "due", "phase", "tries")

    def __init__(self, rules: ReconnectRules) -> None:
        self._rules = rules
        self._generation = 0
        #: Delays given since the count began.
        self._delays = 0
        self.phase = Phase.STEADY
        #: When the next try may begin.
        self.due = math.inf
        #: Tries that have failed since the count began.
        self.tries = 0

    def lost(self, now: float, u: float) -> bool:
        """The connection is gone. Answers whether that is news."""
        if self.phase is not Phase.STEADY:
            return False
        self.phase = Phase.WAITING
        self.due = now + self._delay(u)
        return True

    def again(self, now: float) -> None:
        """Somebody wants the connection: a try is due at once, and the count starts over."""
        self._begin_anew(Phase.WAITING)
        self.due = now

    def connected(self) -> bool:
        """There is a connection, whoever made it. Answers whether there was none."""
        if self.phase is Phase.STEADY:
            return False
        self._begin_anew(Phase.STEADY)
        return True

    def begin(self, now: float) -> Try | None:
        """The try that is due; None where none is."""
        if self.phase is not Phase.WAITING or now < self.due:
            return None
        self.phase = Phase.TRYING
        self.due = math.inf
        return Try(self, self._generation, self.tries + 1)

    def _failed(self, generation: int, now: float, u: float) -> bool:
        if generation != self._generation or self.phase is not Phase.TRYING:
            return False
        self._generation += 1
        self.tries += 1
        if self.tries >= self._rules.max_tries:
            self.phase = Phase.GAVE_UP
        else:
            self.phase = Phase.WAITING
            self.due = now + self._delay(u)
        return True

    def _begin_anew(self, phase: Phase) -> None:
        self.phase = phase
        self.due = math.inf
        self.tries = self._delays = 0
        self._generation += 1

    def _delay(self, u: float) -> float:
        self._delays += 1
        return nth_delay(self._rules.backoff, self._delays, u)
