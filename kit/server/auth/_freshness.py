"""When the keys of an issuer are fetched. Pure: instants are seconds of one clock.

    the keys are    what a call needs                  what is done
    none yet        any key                            fetch, and the call waits for it
    there           a key that is among them           nothing; older than `max_age`: fetch beside the calls
    there           a key that is not among them       fetch, and the call waits: the issuer may have a new one
    any of these, less than `min_interval` after       nothing; a call whose key is not there is told whether the last
    the last fetch began                               fetch failed

So a flood of tokens with made-up keys costs the issuer one fetch each `min_interval`, and an issuer that is away costs
nobody who has a token of a known key.
"""

from __future__ import annotations

import math

__all__ = ["Freshness"]


class Freshness:
    """See the module. `max_age` and `min_interval` are seconds."""

    def __init__(self, *, max_age: float, min_interval: float) -> None:
        self._max_age = max_age
        self._min_interval = min_interval
        self._tried = self._fetched = -math.inf
        #: Whether the last fetch failed.
        self.failed = False

    def due(self, now: float, *, found: bool) -> bool:
        """Whether to fetch, for a call whose key was `found` or was not."""
        if now - self._tried < self._min_interval:
            return False
        return not found or now - self._fetched >= self._max_age

    def began(self, now: float) -> None:
        """A fetch begins."""
        self._tried = now

    def ended(self, now: float, *, good: bool) -> None:
        """It ended."""
        self.failed = not good
        if good:
            self._fetched = now
