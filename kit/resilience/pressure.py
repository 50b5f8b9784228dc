"""How many calls may run at a time on a server that nobody has told: no limit, until calls suffer.

Theory of operation. A limit that is found from latencies alone does harm where nothing is wrong: it takes a cold cache,
a long poll or a slow day for a queue. So nothing is limited until calls suffer from each other: they take more than
twice what their method takes at its best, and more than half of the time that they were given. Where half of the calls
of a window take twice their best, and a tenth suffers, there is a queue somewhere behind the handlers, and the calls in
it run out of time. It is foreseen where half of them take twice their best, and as many run as will by Little's law
take more than half of the time given. Where only some are slow, one thing that they need hangs, and to limit all would
let it hold up the others, too. Then, and for only as long as it matters, the limit follows the latency
(`kit.resilience.gradient`, which measures what calls take when few run). It begins at twice what keeps up the
throughput of that window at the methods' best times: the pipe stays full, and the queue is as short as the service.

    state     what happened                                              next      limit
    FREE      window full, and its calls suffered, or will               LIMITED   by the gradient, from there
    FREE      anything else                                              FREE      the ceiling
    LIMITED   half of the limit in use, or a call suffered, of late      LIMITED   by the gradient
    LIMITED   neither, for `_CALM` seconds                               FREE      the ceiling

A call that was given no time never suffers. A permit carries the generation of its limit, so a late answer from before
it changes nothing.

Invariants: 1 <= limit <= ceiling; the limit is the ceiling while FREE.
"""

from __future__ import annotations

import math

from kit.resilience.gradient import Gradient, GradientRules

__all__ = ["Pressure"]

#: Of the time that a call was given, what it may take without suffering; and of its method's best time, how much more.
_OF_BUDGET = 0.5
_OF_BEST = 2.0
_SUFFERING = 0.1
_SLOWED = 0.5
#: A window is full when it is this old, in seconds, and has this many calls; one that has not for so long begins anew.
_WINDOW, _CALLS, _STALE = 0.1, 10, 1.0
_CALM = 30.0
#: Of a limit's calls, those by which the gradient measures; it is content with fewer than on a client, as nobody else
#: shares the server.
_SAMPLES = 50
_LEAST = 16
#: Generations of one limit are below this many from its first.
_GENERATIONS = 1 << 32


class Pressure:
    """The limit of one server process. Instants and durations in seconds."""

    __slots__ = (
        "_adaptive",
        "_best",
        "_ceiling",
        "_count",
        "_due",
        "_epoch",
        "_first",
        "_given",
        "_gradient",
        "_since",
        "_slowed",
        "_stirred",
        "_suffered",
        "limit",
        "limited",
    )

    def __init__(self, ceiling: int, now: float, *, adaptive: bool = True) -> None:
        """Where it is not `adaptive` the limit stays at the ceiling."""
        self._ceiling = ceiling
        self._adaptive = adaptive
        #: Whether there is a limit below the ceiling: then `admitted` and `left` have something to do.
        self.limited = False
        #: Calls that may run at a time now.
        self.limit = ceiling
        self._gradient: Gradient | None = None
        self._epoch = 0
        self._first = 0
        #: When calls last suffered or half of the limit was in use.
        self._stirred = now
        # The window: since when, and until when at least; its calls, those that were slowed down, those that suffered;
        # the sum of their methods' best times, and the least time that one of the slow ones was given.
        self._since, self._due = now, now + _WINDOW
        self._count = self._slowed = self._suffered = 0
        self._best = 0.0
        self._given = math.inf

    def admitted(self) -> int:
        """A call begins to run: the generation that its end is to be told with."""
        return 0 if self._gradient is None else self._first + self._gradient.admitted()

    def left(self, generation: int) -> None:
        """A call ended with what says nothing of the load."""
        gradient = self._gradient
        if gradient is not None and generation >= self._first:
            gradient.left(generation - self._first)

    def ended(
        self, now: float, took: float, given: float, best: float, running: int, generation: int, calls: int = 1
    ) -> None:
        """A call took `took` of the `given` seconds (infinite for no deadline); its method takes `best` at its best.

        `running` is how many ran, with it. It stands for so many `calls`.
        """
        gradient = self._gradient
        if gradient is None:
            self._count += calls
            self._best += best * calls
            if took > best * _OF_BEST:
                self._slowed += calls
                self._suffered += calls * (took > given * _OF_BUDGET)
                self._given = min(self._given, given)
            if now >= self._due:
                self._look(now, running)
            return
        own = generation - self._first if generation >= self._first else -1
        if took >= given:
            gradient.failed(now, running, own)
        else:
            gradient.answered(now, took, running, own)
        if running >= self.limit / 2 or (took > best * _OF_BEST and took > given * _OF_BUDGET):
            self._stirred = now
        elif now - self._stirred > _CALM:
            self._gradient, self.limited = None, False
            self.limit = self._ceiling
            self._begin_window(now)
            return
        self.limit = max(1, min(int(gradient.limit), self._ceiling))

    def _look(self, now: float, running: int) -> None:
        if self._count < _CALLS:
            if now - self._since > _STALE:
                self._begin_window(now)
            return
        per_second = self._count / (now - self._since)
        will = self._slowed >= self._count * _SLOWED and running > per_second * self._given * _OF_BUDGET
        suffer = self._slowed >= self._count * _SLOWED and self._suffered >= self._count * _SUFFERING
        if self._adaptive and (will or suffer):
            needed = per_second * self._best / self._count
            self._epoch += 1
            self._first = self._epoch * _GENERATIONS
            least = min(_LEAST, self._ceiling)
            rules = GradientRules(
                min_limit=least,
                max_limit=self._ceiling,
                initial_limit=min(max(math.ceil(2 * needed), 2 * least), self._ceiling),
                probe_samples=_SAMPLES,
            )
            self._gradient = gradient = Gradient(rules, now)
            self.limited = True
            self._stirred = now
            self.limit = int(gradient.limit)
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._since, self._due = now, now + _WINDOW
        self._count = self._slowed = self._suffered = 0
        self._best = 0.0
        self._given = math.inf
