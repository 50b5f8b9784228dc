"""Several owners at one store: a model that tries what they may do, in any order, with crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from kit.clock import Clock
from kit.resilience.idempotency_states import Verdict
from kit.server.idempotency import CallKey, IdempotencyStore, LeaseLostError, Ticket
from kit.testing import VirtualClock

_T = TypeVar("_T")
LEASE = 10.0
#: Seconds that an answer is kept; it may be less than a lease.
TTLS = [4.0, 30.0, 30.0]
KEYS = [CallKey(who, "/shop.v1.Shop/Order", "one") for who in ("", "ann")]
#: Mostly the same one.
PRINTS = [b"a request", b"a request", b"a request", b"another"]


@dataclass
class Known:
    """What must hold of a key. The tickets of a key are one after the other: only the last one counts."""

    ticket: Ticket
    fingerprint: bytes
    lease_until: float
    expires_at: float
    state: str = "running"
    answer: bytes = b""


class StoreMachine(RuleBasedStateMachine):
    """`make` gives a store on the same records each time."""

    tickets = Bundle("tickets")

    def __init__(self, make: Callable[[Clock], IdempotencyStore], *, has_database: bool) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.loop = asyncio.new_event_loop()
        self.make = make
        self.has_database = has_database
        self.store = make(self.clock)
        self.known: dict[CallKey, Known] = {}
        self.owners = 0
        self.run(self.store.open())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()

    # What must hold

    def of(self, key: CallKey) -> Known | None:
        """What is known of the key and not over."""
        known, now = self.known.get(key), self.clock.now()
        if known is None or (known.expires_at <= now and not (known.state == "running" and known.lease_until > now)):
            return None
        return known

    def current(self, ticket: Ticket) -> Known | None:
        """What is known of the ticket's key, where the ticket is the last one and runs."""
        known = self.known.get(ticket.key)
        return known if known is not None and known.ticket == ticket and known.state == "running" else None

    def expected(self, key: CallKey, fingerprint: bytes) -> Verdict:
        known = self.of(key)
        if known is None:
            return Verdict.RUN
        if known.fingerprint != fingerprint:
            return Verdict.REUSED
        if known.state == "completed":
            return Verdict.REPLAY
        return Verdict.WAIT if known.state == "running" and known.lease_until > self.clock.now() else Verdict.RUN

    # What owners do. One that crashes does nothing any more, or much too late.

    @rule(
        target=tickets,
        key=st.sampled_from(KEYS),
        fingerprint=st.sampled_from(PRINTS),
        again=st.booleans(),
        ttl=st.sampled_from(TTLS),
    )
    def claim(self, key: CallKey, fingerprint: bytes, again: bool, ttl: float) -> Any:
        self.owners += 1
        owner, now = f"owner {self.owners}", self.clock.now()
        expected, known = self.expected(key, fingerprint), self.of(key)
        claim = self.run(self.store.claim(key, fingerprint, owner, ttl=ttl))
        assert claim.verdict is expected
        if claim.verdict is Verdict.REPLAY:
            assert known is not None
            assert claim.answer == known.answer
        if claim.verdict is Verdict.WAIT:
            assert known is not None
            assert abs(claim.wait - (known.lease_until - now)) < 1e-6
        if claim.ticket is None:
            return multiple()
        if again:
            assert self.run(self.store.claim(key, fingerprint, owner, ttl=ttl)).ticket == claim.ticket
        before = self.known.get(key)
        assert before is None or claim.ticket.generation != before.ticket.generation or self.of(key) is None
        self.known[key] = Known(claim.ticket, fingerprint, now + LEASE, now + ttl)
        return claim.ticket

    @rule(key=st.sampled_from(KEYS), fingerprint=st.sampled_from(PRINTS))
    def look(self, key: CallKey, fingerprint: bytes) -> None:
        claim = self.run(self.store.look(key, fingerprint, "somebody"))
        assert claim.verdict is self.expected(key, fingerprint)
        assert claim.ticket is None

    @rule(ticket=tickets, more=st.lists(tickets, max_size=3))
    def renew(self, ticket: Ticket, more: list[Ticket]) -> None:
        asked = list(dict.fromkeys([ticket, *more]))
        good, now = self.run(self.store.renew(asked)), self.clock.now()
        assert good == {one for one in asked if self.current(one) is not None}
        for one in good:
            known = self.known[one.key]
            known.lease_until = now + LEASE
            known.expires_at = max(known.expires_at, now + LEASE)

    @rule(ticket=tickets, number=st.integers(0, 99), again=st.booleans(), ttl=st.sampled_from(TTLS))
    def complete(self, ticket: Ticket, number: int, again: bool, ttl: float) -> None:
        answer, known = b"answer %d" % number, self.known.get(ticket.key)
        good = self.run(self.store.complete(ticket, answer, ttl=ttl))
        if self.current(ticket) is not None:
            assert good
            assert known is not None
            known.state, known.answer, known.expires_at = "completed", answer, self.clock.now() + ttl
            if again:
                assert self.run(self.store.complete(ticket, b"nobody's", ttl=ttl))
        else:
            assert good is (known is not None and known.ticket == ticket and known.state == "completed")

    @rule(ticket=tickets, again=st.booleans())
    def release(self, ticket: Ticket, again: bool) -> None:
        known = self.known.get(ticket.key)
        good = self.run(self.store.release(ticket))
        if self.current(ticket) is not None:
            assert good
            assert known is not None
            known.state = "pending"
            if again:
                assert self.run(self.store.release(ticket))
        else:
            assert good is (known is not None and known.ticket == ticket and known.state == "pending")

    @rule(ticket=tickets, number=st.integers(0, 99), fails=st.booleans(), ttl=st.sampled_from(TTLS))
    def effect(self, ticket: Ticket, number: int, fails: bool, ttl: float) -> None:
        if not self.has_database:
            return
        answer, current = b"effect %d" % number, self.current(ticket)
        lost = failed = False

        async def act() -> None:
            async with self.store.transaction(ticket, lambda: answer, ttl=ttl):
                if fails:
                    raise ZeroDivisionError

        try:
            self.run(act())
        except LeaseLostError:
            lost = True
        except ZeroDivisionError:
            failed = True
        assert lost is (current is None)
        assert failed is (current is not None and fails)
        if current is not None and not fails:
            current.state, current.answer, current.expires_at = "completed", answer, self.clock.now() + ttl

    @rule(ticket=consumes(tickets))
    def crash(self, ticket: Ticket) -> None:
        """Nothing is heard of it any more."""

    @rule(seconds=st.sampled_from([0.5, LEASE / 2, LEASE, LEASE, LEASE, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.clock.advance(seconds))

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        over = [key for key in self.known if self.of(key) is None]
        assert self.run(self.store.sweep(limit)) == min(limit, len(over))
        if len(over) <= limit:
            for key in over:
                del self.known[key]
        else:
            # Which of them went is not said.
            while self.run(self.store.sweep(limit)):
                pass
            for key in over:
                del self.known[key]

    @rule()
    def everybody_restarts(self) -> None:
        self.run(self.store.close())
        self.store = self.make(self.clock)
        self.run(self.store.open())

    @invariant()
    def an_answer_that_was_kept_is_the_answer(self) -> None:
        for key in KEYS:
            known = self.of(key)
            if known is not None and known.state == "completed":
                claim = self.run(self.store.look(key, known.fingerprint, "somebody"))
                assert (claim.verdict, claim.answer) == (Verdict.REPLAY, known.answer)


def try_owners(machine: Callable[[], StoreMachine], *, examples: int, steps: int) -> None:
    """Runs so many machines of so many steps."""
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[arg-type]  # a function will do for a class


async def refuse_the_late(store: IdempotencyStore, clock: VirtualClock) -> None:
    """What an owner is told that comes back after another has taken over, and what stands then."""
    key, fingerprint = KEYS[0], PRINTS[0]
    early = (await store.claim(key, fingerprint, "early", ttl=99.0)).ticket
    await clock.advance(LEASE)
    late = (await store.claim(key, fingerprint, "late", ttl=99.0)).ticket
    assert early is not None
    assert late is not None
    assert late.generation == early.generation + 1
    assert await store.renew([early, late]) == {late}
    assert not await store.release(early)
    assert not await store.complete(early, b"early", ttl=99.0)
    assert (await store.look(key, fingerprint, "somebody")).verdict is Verdict.WAIT
    assert await store.complete(late, b"late", ttl=99.0)
    assert not await store.complete(early, b"early", ttl=99.0)
    assert not await store.release(early)
    assert not await store.release(late)
    assert (await store.look(key, fingerprint, "somebody")).answer == b"late"


async def sweep_around_what_runs(store: IdempotencyStore, clock: VirtualClock) -> None:
    """What is forgotten and when, where answers are kept for less than a lease."""
    running = (await store.claim(KEYS[0], PRINTS[0], "running", ttl=1.0)).ticket
    free = (await store.claim(KEYS[1], PRINTS[0], "free", ttl=1.0)).ticket
    assert running is not None
    assert free is not None
    assert await store.release(free)
    assert await store.sweep(9) == 0
    await clock.advance(LEASE / 2)
    assert await store.sweep(9) == 1
    assert await store.renew([running, free]) == {running}
    await clock.advance(LEASE)
    assert await store.sweep(9) == 1
    assert await store.renew([running]) == frozenset()
    assert not await store.complete(running, b"answer", ttl=1.0)
