"""What goes on beside the calls, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit.errors import Unavailable
from kit.resilience.idempotency_states import Verdict
from kit.server.idempotency import CallKey, MemoryStore, StoreError, Ticket
from kit.server.idempotency._keeper import Keeper
from kit.testing import VirtualClock

KEY = CallKey("ann", "/shop.v1.Shop/Order", "one")
LEASE = 12.0


class Store(MemoryStore):
    """Counts renewals and sweeps, and fails where it is told to."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(lease=LEASE, clock=clock)
        self.renewals = 0
        self.failing = False
        self.sweeps: list[int] = []
        self.over = 0

    async def renew(self, tickets: Any) -> frozenset[Ticket]:
        if self.failing:
            raise StoreError("away")
        self.renewals += 1
        return await super().renew(tickets)

    async def complete(self, *arguments: Any, **options: Any) -> bool:
        if self.failing:
            raise StoreError("away")
        return await super().complete(*arguments, **options)

    async def sweep(self, limit: int) -> int:
        if self.failing:
            raise StoreError("away")
        swept = min(limit, self.over)
        self.over -= swept
        self.sweeps.append(swept)
        return swept


class Kept:
    """A keeper, its store and its clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = Store(self.clock)
        self.keeper = Keeper(self.store, self.clock)

    async def ticket(self) -> Ticket:
        claim = await self.keeper.claim(KEY, b"a", ttl=1000.0)
        assert claim.ticket is not None
        return claim.ticket


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    made = Kept()
    yield made
    await made.keeper.stop()


async def test_a_lease_is_renewed_for_as_long_as_the_ticket_is_held(kept: Kept) -> None:
    ticket = await kept.ticket()
    await kept.clock.advance(10 * LEASE)
    assert (await kept.store.look(KEY, b"a", "another")).verdict is Verdict.WAIT
    assert 30 <= kept.store.renewals <= 40
    await kept.keeper.release(ticket)
    renewals = kept.store.renewals
    await kept.clock.advance(10 * LEASE)
    assert kept.store.renewals == renewals
    assert (await kept.store.look(KEY, b"a", "another")).verdict is Verdict.RUN


async def test_calls_that_are_over_before_a_quarter_of_a_lease_cost_no_renewal(kept: Kept) -> None:
    for _ in range(20):
        ticket = await kept.ticket()
        await kept.clock.advance(LEASE / 8)
        await kept.keeper.release(ticket)
    assert kept.store.renewals == 0


async def test_whoever_lost_a_ticket_is_told_once(kept: Kept) -> None:
    ticket, told = await kept.ticket(), []
    kept.keeper.when_lost(ticket, lambda: told.append(ticket))
    # Another process found the lease over.
    kept.store._records[KEY] = kept.store._records[KEY].__class__(
        **{name: getattr(kept.store._records[KEY], name) for name in kept.store._records[KEY].__slots__}
        | {"owner": "another"}
    )
    await kept.clock.advance(2 * LEASE)
    assert told == [ticket]
    assert not await kept.keeper.complete(ticket, b"answer", ttl=1.0)


async def test_while_the_store_is_away_a_ticket_is_good_until_its_lease_is_over(kept: Kept) -> None:
    ticket, told = await kept.ticket(), []
    kept.keeper.when_lost(ticket, lambda: told.append(kept.clock.now()))
    kept.store.failing = True
    await kept.clock.advance(LEASE - 0.1)
    assert told == []
    await kept.clock.advance(LEASE / 4)
    assert len(told) == 1


async def test_a_short_outage_costs_nobody_a_ticket(kept: Kept) -> None:
    ticket, told = await kept.ticket(), []
    kept.keeper.when_lost(ticket, lambda: told.append(ticket))
    kept.store.failing = True
    await kept.clock.advance(LEASE / 2)
    kept.store.failing = False
    await kept.clock.advance(5 * LEASE)
    assert told == []


async def test_an_answer_is_written_when_the_store_is_back_and_its_lease_kept_until_then(kept: Kept) -> None:
    kept.store.timeout = 0.01
    ticket = await kept.ticket()
    kept.store.failing = True
    with pytest.raises(Unavailable, match="was executed") as refusal:
        await kept.keeper.complete(ticket, b"answer", ttl=1000.0)
    assert refusal.value.retry_after == 1.0
    await kept.clock.advance(LEASE / 2)
    kept.store.failing = False
    await kept.clock.advance(1.0)
    claim = await kept.store.look(KEY, b"a", "another")
    assert (claim.verdict, claim.answer) == (Verdict.REPLAY, b"answer")


async def test_what_is_over_is_swept_each_minute_in_small_batches(kept: Kept) -> None:
    await kept.keeper.start()
    kept.store.over = 1200
    await kept.clock.advance(59.0)
    assert kept.store.sweeps == []
    await kept.clock.advance(2.0)
    assert kept.store.sweeps == [500, 500, 200]
    kept.store.failing = True
    await kept.clock.advance(60.0)
    kept.store.failing = False
    await kept.clock.advance(60.0)
    assert kept.store.sweeps == [500, 500, 200, 0]


async def test_a_stop_waits_for_what_is_being_written(kept: Kept) -> None:
    ticket = await kept.ticket()
    may = asyncio.Event()
    complete = kept.store.complete

    async def slowly(*arguments: Any, **options: Any) -> bool:
        await may.wait()
        return await complete(*arguments, **options)

    kept.store.complete = slowly  # type: ignore[method-assign]
    completing = asyncio.ensure_future(kept.keeper.complete(ticket, b"answer", ttl=1000.0))
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(kept.keeper.stop())
    await asyncio.sleep(0)
    may.set()
    await stopping
    assert await completing
    assert (await kept.store.look(KEY, b"a", "another")).answer == b"answer"
