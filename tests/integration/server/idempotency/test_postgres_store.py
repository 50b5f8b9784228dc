"""The store on PostgreSQL: what every store keeps to, and what is its own."""

from __future__ import annotations

import asyncio

import pytest

from kit.clock import SYSTEM
from kit.errors import ConfigurationError
from kit.resilience.idempotency_states import Verdict
from kit.server.idempotency import CallKey, SqlStore
from kit.testing import VirtualClock
from tests.support.postgres import Postgres
from tests.unit.server.idempotency.machine import (
    LEASE,
    StoreMachine,
    refuse_the_late,
    sweep_around_what_runs,
    try_owners,
)

KEY = CallKey("ann", "/shop.v1.Shop/Order", "one")


def test_owners_at_postgresql_may_do_what_they_like(postgres: Postgres) -> None:
    def machine() -> StoreMachine:
        url = postgres.new_database()
        return StoreMachine(lambda clock: SqlStore(url, lease=LEASE, clock=clock), has_database=True)

    try_owners(machine, examples=6, steps=20)


async def test_nobody_is_swept_away_who_runs_and_nobody_changes_anything_who_was_taken_over(postgres: Postgres) -> None:
    clock = VirtualClock()
    store = SqlStore(postgres.new_database(), lease=LEASE, clock=clock)
    await store.open()
    await sweep_around_what_runs(store, clock)
    await refuse_the_late(store, clock)
    await store.close()


async def test_processes_that_start_at_the_same_time_make_the_tables_together(postgres: Postgres) -> None:
    url = postgres.new_database()
    stores = [SqlStore(url) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    verdicts = [
        (await store.claim(KEY, b"a", f"owner {number}", ttl=9.0)).verdict for number, store in enumerate(stores)
    ]
    assert verdicts == [Verdict.RUN] + [Verdict.WAIT] * 7
    for store in stores:
        await store.close()


async def test_of_several_that_claim_a_key_at_the_same_time_one_gets_it(postgres: Postgres) -> None:
    url, clock = postgres.new_database(), VirtualClock()
    stores = [SqlStore(url, lease=LEASE, clock=clock) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    for turn in range(10):
        # The first time it is new, then its lease is over, then it has been released.
        claims = await asyncio.gather(
            *(store.claim(KEY, b"a", f"{turn} {number}", ttl=99.0) for number, store in enumerate(stores))
        )
        [ticket] = [claim.ticket for claim in claims if claim.ticket is not None]
        assert [claim.verdict for claim in claims].count(Verdict.WAIT) == len(stores) - 1
        assert ticket.generation == turn + 1
        if turn % 2:
            assert await stores[0].release(ticket)
        else:
            await clock.advance(LEASE)
    await asyncio.gather(*(store.close() for store in stores))


async def test_the_clock_is_the_databases_whatever_this_machine_says(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    one, two = SqlStore(url, lease=1000.0), SqlStore(url, lease=1000.0)
    await one.open()
    await one.claim(KEY, b"a", "one", ttl=5000.0)

    class Early:
        """The clock of a machine that has just been started."""

        def now(self) -> float:
            return SYSTEM.now() - 1e6

    monkeypatch.setattr("kit.server.idempotency._postgres.SYSTEM", Early())
    await two.open()
    claim = await two.claim(KEY, b"a", "two", ttl=5000.0)
    assert claim.verdict is Verdict.WAIT
    assert 900 < claim.wait < 1001
    await one.close()
    await two.close()


async def test_a_database_that_cannot_be_reached_is_named_at_the_start_without_its_password() -> None:
    store = SqlStore("postgresql://somebody:secret@127.0.0.1:1/nothing")
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1/nothing") as refusal:
        await store.open()
    assert "secret" not in str(refusal.value)
    await store.close()
