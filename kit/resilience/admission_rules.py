"""What a user says about how a server protects itself, and what it says to those whom it does not take.

Theory of operation. The defaults are there to be left alone: nothing is limited before calls suffer from each other,
and what waits is refused only where it could not be answered in time. The ceilings keep a server whose handlers hang
from filling its memory.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from kit.resilience.kinds import check_kinds

__all__ = ["Admission", "Refusal"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """How a server protects itself from more calls than it can answer. Times in seconds."""

    #: Calls with one answer that may run at a time; the ceiling of the adaptive limit. Streams count until they begin.
    max_concurrent: int = 10_000
    #: Whether the limit follows the latency while calls run out of time.
    adaptive: bool = True
    #: Calls that may wait for a place.
    max_queued: int = 2_000
    #: What a call may have to wait, if its deadline allows as much. As long as a single attempt takes at most by the
    #: kit's presets: who waits without a deadline gives up some time, too.
    max_wait: float = 30.0
    #: A queue that has been standing for so long is no burst: from then on a call waits for half of its time at most.
    interval: float = 1.0
    #: Patterns of names ("spiffe://example.org/ns/*/sa/gateway", "gateway.example.org") in the certificates of clients
    #: whose `kit-priority` metadata may raise a call above its policy. Anybody may lower it.
    trusted_peers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.max_concurrent < 1:
            raise ValueError(f"max_concurrent must be at least 1, not {self.max_concurrent}")
        if self.max_queued < 0:
            raise ValueError(f"max_queued must be 0 or more, not {self.max_queued}")
        for name in ("max_wait", "interval"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a time of 0 or more seconds, not {value}")
        if type(self.trusted_peers) is not tuple or not all(self.trusted_peers):
            raise ValueError(f"trusted_peers must be a tuple of names, not {self.trusted_peers!r}")


class Refusal(enum.Enum):
    """Why a call was not let in; the text is for people."""

    QUEUE_FULL = "the server is overloaded: as many calls as it takes are waiting"
    OVERLOADED = "the server is overloaded: the call would wait too long"
    USELESS = "the server is overloaded: the call would not be answered before its deadline"
    GAVE_WAY = "the server is overloaded: the call gave way to one that matters more"
    WAITED = "the server is overloaded: the call has waited too long"
    EXPIRED = "the deadline passed while the call waited to be served"
    STOPPING = "the server is stopping; call again"
