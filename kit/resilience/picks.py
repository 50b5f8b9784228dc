"""What every way to pick an endpoint has in common.

Theory of operation. A balancer knows endpoints by opaque keys. `pick` chooses among those that are ready and gives a
`Pick`, which counts as in flight there until it is settled, once:

    settled by    in flight    latency
    success       - 1          noted
    failure       - 1          noted where it is above what is known
    released      - 1          -
    once more     -            -             and the same for a pick whose endpoint has been removed since

Slow start: for `slow_start` seconds from when an endpoint is first ready it takes a share that grows from about a
tenth to the whole: drawn, it is passed over as often, or its turns are as much further apart.

A further attempt goes elsewhere: `avoid` names the endpoints that this call has tried. They are picked only where there
is nothing else, and the last of them only where it is the only one. `exclude` is never picked (a breaker refuses).

Invariants: in flight equals the picks not settled; a pick is ready and not excluded; it is avoided only where that is
possible.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Sequence

__all__ = ["Balancer", "Member", "Pick"]

#: Least share of an endpoint in slow start, as Envoy's: enough for the calls that warm it up.
_LEAST_SHARE = 0.1


class Member:
    """What is known of one endpoint. Only for the ways to pick."""

    __slots__ = ("in_flight", "key", "latency", "noted", "place", "since", "weight")

    def __init__(self, key: Hashable, weight: float) -> None:
        self.key = key
        self.weight = weight
        self.in_flight = 0
        #: Seconds; None before the first answer. `noted` is when it was worked out.
        self.latency: float | None = None
        self.noted = 0.0
        #: When slow start began; None before it was first ready.
        self.since: float | None = None
        #: Among the ready ones; -1 where it is not.
        self.place = -1


class Pick:
    """An attempt that goes to `key`. Settle it once; a settlement answers whether it was the first."""

    __slots__ = ("_balancer", "_member", "key", "started")

    def __init__(self, balancer: Balancer, member: Member, started: float) -> None:
        self._balancer: Balancer | None = balancer
        self._member = member
        self.key = member.key
        self.started = started
        member.in_flight += 1

    def success(self, now: float) -> bool:
        """It was answered; the latency runs from the pick."""
        return self._settle(now, lowers=True)

    def failure(self, now: float) -> bool:
        """The endpoint failed, or its answer did not come in time."""
        return self._settle(now, lowers=False)

    def released(self) -> bool:
        """It was cancelled or never sent: nothing is known of the endpoint."""
        if self._balancer is None:
            return False
        self._balancer = None
        self._member.in_flight -= 1
        return True

    def _settle(self, now: float, *, lowers: bool) -> bool:
        balancer = self._balancer
        if balancer is None:
            return False
        self._balancer = None
        self._member.in_flight -= 1
        balancer._observe(self._member, max(0.0, now - self.started), now, lowers=lowers)
        return True


class Balancer:
    """The endpoints, and what the ways to pick have in common. `kit.resilience.balance` has the ways."""

    def __init__(self, slow_start: float) -> None:
        self._slow_start = slow_start
        self._members: dict[Hashable, Member] = {}
        self._ready: list[Member] = []

    def add(self, key: Hashable, now: float, *, weight: float = 1.0, ready: bool = True) -> None:
        """Adds an endpoint, or changes the weight (more than 0) of one that is there. Only WEIGHTED heeds it."""
        if not 0 < weight < math.inf:
            raise ValueError(f"the weight of an endpoint must be more than 0, not {weight}")
        member = self._members.get(key)
        if member is None:
            member = self._members[key] = Member(key, weight)
            if ready:
                self.set_ready(key, now, ready=True)
        member.weight = weight

    def remove(self, key: Hashable) -> None:
        """Forgets an endpoint. What is in flight there may still be settled; the same key later is a new one."""
        member = self._members.pop(key, None)
        if member is not None and member.place >= 0:
            self._drop(member)

    def set_ready(self, key: Hashable, now: float, *, ready: bool) -> None:
        """Whether the endpoint may be picked. Slow start begins when it first may."""
        member = self._members[key]
        if ready and member.place < 0:
            member.place = len(self._ready)
            self._ready.append(member)
            if member.since is None:
                member.since = now
            self._joined(member, now)
        elif not ready and member.place >= 0:
            self._drop(member)

    def warm_up(self, key: Hashable, now: float) -> None:
        """Begins slow start anew: the endpoint is known to have been started again."""
        self._members[key].since = now

    def in_flight(self, key: Hashable) -> int:
        """Picks of the endpoint that are not settled."""
        return self._members[key].in_flight

    def pick(
        self, now: float, u1: float, u2: float, *, avoid: Sequence[Hashable] = (), exclude: Collection[Hashable] = ()
    ) -> Pick | None:
        """Chooses; None when nothing ready is left. `u1` and `u2` are independent, uniform in [0, 1).

        `avoid` are the endpoints that this call has tried, in order.
        """
        if not avoid and not exclude:
            member = self._choose(now, u1, u2, ())
        else:
            member = None
            for without in _rounds(avoid, exclude):
                member = self._choose(now, u1, u2, self._places(without))
                if member is not None:
                    break
        return None if member is None else Pick(self, member, now)

    def _choose(self, now: float, u1: float, u2: float, without: Sequence[int]) -> Member | None:
        """One of the ready members, not in these places (ascending)."""
        raise NotImplementedError

    def _joined(self, member: Member, now: float) -> None:
        """A member has become ready."""

    def _observe(self, member: Member, latency: float, now: float, *, lowers: bool) -> None:
        """An attempt ended."""

    def _share(self, member: Member, now: float) -> float:
        """Of its whole share, what slow start lets the member take."""
        if self._slow_start == 0 or member.since is None:
            return 1.0
        return min(1.0, max(_LEAST_SHARE, (now - member.since) / self._slow_start))

    def _places(self, keys: Collection[Hashable]) -> list[int]:
        members = (self._members.get(key) for key in keys)
        return sorted({member.place for member in members if member is not None and member.place >= 0})

    def _drop(self, member: Member) -> None:
        last = self._ready.pop()
        if last is not member:
            self._ready[member.place] = last
            last.place = member.place
        member.place = -1


def _rounds(avoid: Sequence[Hashable], exclude: Collection[Hashable]) -> Iterator[Collection[Hashable]]:
    """What to leave out, the most first."""
    yield {*exclude, *avoid}
    if avoid:
        yield {*exclude, avoid[-1]}
        yield exclude
