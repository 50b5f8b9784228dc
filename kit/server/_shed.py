"""How a call is refused for load, cheaply: under overload it is what the server does most.

The status and its details are built once for each reason and each time to come back, which is rounded for that.
"""

from __future__ import annotations

from kit.errors import DeadlineExceeded, ResourceExhausted, StatusError, Unavailable
from kit.resilience.admission import Refusal
from kit.server._answers import Answer, Prepared, answer_to

__all__ = ["DOMAIN", "Answers"]

#: In google.rpc.ErrorInfo, with the reasons OVERLOADED, RATE_LIMITED and STOPPING.
DOMAIN = "kit"
#: Answers that are kept.
_MOST = 512


class Answers:
    """What those who are refused are told."""

    def __init__(self) -> None:
        self._known: dict[tuple[Refusal | float, int], Answer] = {}

    def to(self, why: Refusal | float, come_back: float) -> Prepared:
        """What ends a call that is not let in; `come_back` is in seconds. A number is the rate that its method has."""
        hundredths = max(1, round(come_back * 100))
        answer = self._known.get((why, hundredths))
        if answer is None:
            error = _over_rate(why, hundredths) if isinstance(why, float) else _overloaded(why, hundredths)
            answer = answer_to(error, str)
            if len(self._known) < _MOST:
                self._known[why, hundredths] = answer
        return Prepared(answer)


def _overloaded(refusal: Refusal, hundredths: int) -> StatusError:
    if refusal is Refusal.EXPIRED:
        return DeadlineExceeded(refusal.value)
    if refusal is Refusal.STOPPING:
        # Not after a time, but somewhere else.
        return Unavailable(refusal.value, reason="STOPPING", domain=DOMAIN)
    return Unavailable(refusal.value, reason="OVERLOADED", domain=DOMAIN, retry_after=hundredths / 100)


def _over_rate(per_second: float, hundredths: int) -> StatusError:
    calls = "call" if per_second == 1 else "calls"
    return ResourceExhausted(
        f"the server takes {per_second:g} {calls} of this method a second",
        reason="RATE_LIMITED",
        domain=DOMAIN,
        retry_after=hundredths / 100,
    )
