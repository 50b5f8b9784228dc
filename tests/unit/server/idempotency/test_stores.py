"""What every store keeps to, whatever its owners do."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import sqlalchemy as sa

from kit.clock import Clock
from kit.errors import ConfigurationError, UsageError
from kit.resilience.idempotency_states import Verdict
from kit.server.idempotency import CallKey, MemoryStore, SqlStore
from kit.server.idempotency._rows import VERSION
from kit.testing import VirtualClock
from tests.unit.server.idempotency.machine import (
    LEASE,
    StoreMachine,
    refuse_the_late,
    sweep_around_what_runs,
    try_owners,
)

KEY = CallKey("ann", "/shop.v1.Shop/Order", "one")


def test_owners_at_a_memory_store_may_do_what_they_like() -> None:
    def machine() -> StoreMachine:
        store: list[MemoryStore] = []

        def make(clock: Clock) -> MemoryStore:
            # What is in memory outlives a restart of the server in the same process.
            store.append(store[0] if store else MemoryStore(lease=LEASE, clock=clock))
            return store[-1]

        return StoreMachine(make, has_database=False)

    try_owners(machine, examples=80, steps=40)


def test_owners_at_a_sqlite_file_may_do_what_they_like(tmp_path: Path) -> None:
    numbers = itertools.count()

    def machine() -> StoreMachine:
        url = f"sqlite:///{tmp_path / f'{next(numbers)}.db'}"
        return StoreMachine(lambda clock: SqlStore(url, lease=LEASE, clock=clock), has_database=True)

    try_owners(machine, examples=12, steps=25)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_nobody_is_swept_away_who_runs_and_nobody_changes_anything_who_was_taken_over(
    kind: str, tmp_path: Path
) -> None:
    clock = VirtualClock()
    store = (
        MemoryStore(lease=LEASE, clock=clock)
        if kind == "memory"
        else SqlStore(f"sqlite:///{tmp_path / 'keys.db'}", lease=LEASE, clock=clock)
    )
    await store.open()
    await sweep_around_what_runs(store, clock)
    await refuse_the_late(store, clock)
    await store.close()


async def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    store = SqlStore(url)
    await store.open()
    await store.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE kit_idempotency_schema SET version = {VERSION + 1}")
    engine.dispose()
    with pytest.raises(ConfigurationError, match="made by a later kit"):
        await store.open()
    await store.close()


async def test_after_a_restart_of_the_machine_nobody_holds_a_lease_and_the_clock_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot"
    boot.write_text("first\n")
    monkeypatch.setattr("kit.server.idempotency._sqlite._BOOT", boot)
    clock = VirtualClock()
    monkeypatch.setattr("kit.server.idempotency._sqlite.SYSTEM", clock)
    store = SqlStore(f"sqlite:///{tmp_path / 'keys.db'}", lease=1000.0)
    await store.open()
    await store.claim(KEY, b"a", "first owner", ttl=5000.0)
    await store.close()
    # The wall clock of the same start of the machine may say what it likes.
    clock.shift_wall(3600.0)
    await store.open()
    assert (await store.claim(KEY, b"a", "second owner", ttl=5000.0)).wait == pytest.approx(1000.0)
    await store.close()
    boot.write_text("second\n")
    clock.shift_wall(-7200.0)
    await store.open()
    claim = await store.claim(KEY, b"a", "third owner", ttl=5000.0)
    assert claim.ticket is not None
    assert claim.ticket.generation == 2
    await store.close()


async def test_two_processes_see_each_others_records_at_once(tmp_path: Path) -> None:
    one, two = (SqlStore(f"sqlite:///{tmp_path / 'keys.db'}") for _ in range(2))
    await one.open()
    await two.open()
    claim = await one.claim(KEY, b"a", "one", ttl=100.0)
    assert (await two.claim(KEY, b"a", "two", ttl=100.0)).verdict is Verdict.WAIT
    assert claim.ticket is not None
    assert await one.complete(claim.ticket, b"answer", ttl=100.0)
    assert (await two.look(KEY, b"a", "two")).answer == b"answer"
    await one.close()
    await two.close()


@pytest.mark.parametrize(
    ("database", "why"),
    [
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("mysql://host/name", "neither sqlite nor postgresql"),
        ("nonsense", "is no URL"),
        ("", "is no URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_where_it_is_named(database: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        SqlStore(database)


def test_a_lease_and_a_timeout_take_time() -> None:
    with pytest.raises(ConfigurationError, match="lease must be longer than 0 seconds"):
        SqlStore("sqlite:///keys.db", lease=0.0)
    with pytest.raises(ConfigurationError, match="timeout must be longer than 0 seconds"):
        SqlStore("sqlite:///keys.db", timeout=-1.0)


async def test_a_file_that_cannot_be_opened_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqlStore(f"sqlite:///{tmp_path / 'file' / 'keys.db'}")
    with pytest.raises(ConfigurationError, match=r"the file .*keys\.db cannot be opened"):
        await store.open()
    await store.close()


def test_a_memory_store_has_no_database_for_an_effect() -> None:
    with pytest.raises(UsageError, match="has no database"):
        MemoryStore().transaction(None, bytes, ttl=1.0)
