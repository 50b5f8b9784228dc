"""Ports that are held: by whom, and what happens when somebody else has them."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit import events
from kit.discovery import Ports, is_available
from kit.discovery.leases import take
from kit.errors import ConfigurationError
from kit.events import MemoryBus
from kit.testing import VirtualClock


@pytest.fixture
def told() -> Iterator[Callable[[], list[str]]]:
    """The events up to now: type, and its fields but the service."""
    with events.use(MemoryBus(), quiet=0.0) as bus:
        assert isinstance(bus, MemoryBus)

        def read() -> list[str]:
            return [event.payload.TypeName().rpartition(".")[2] for event in bus._kept]

        yield read


@pytest.fixture
def first() -> int:
    """The first of ten ports that are free now, outside of the system's own choice."""
    for _ in range(100):
        start = random.randint(20_000, 30_000)
        if all(is_available(port) for port in range(start, start + 10)):
            return start
    raise AssertionError("no ten free ports in a row")


@pytest.fixture
def ports(tmp_path: Path, first: int) -> Iterator[Ports]:
    made = Ports(first=first, last=first + 9, root=tmp_path)
    yield made
    made.release_many()


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_the_range_is_that_of_the_requirements() -> None:
    ports = Ports(root="/nonexistent")
    assert (ports._first, ports._last, ports._tries) == (1421, 1500, 10)


def test_who_comes_later_gets_the_next_port(ports: Ports, first: int, tmp_path: Path) -> None:
    assert ports.allocate("a").port == first
    other = Ports(first=first, last=first + 9, root=tmp_path)
    with other.allocate("b") as lease:
        assert lease.port == first + 1
        assert [(one.service, one.port, one.pid) for one in ports.leases()] == [
            ("a", first, os.getpid()),
            ("b", first + 1, os.getpid()),
        ]
    assert [one.service for one in ports.leases()] == ["a"]


def test_a_port_that_was_given_back_is_free_and_leaves_no_file(ports: Ports, first: int, tmp_path: Path) -> None:
    lease = ports.allocate("a")
    assert not ports.is_available(first)
    assert ports.release(first)
    lease.release()
    assert not ports.release(first)
    assert ports.is_available(first)
    assert list(tmp_path.iterdir()) == []
    assert ports.allocate("b").port == first


def test_a_port_that_a_stranger_listens_on_is_passed_over(ports: Ports, first: int) -> None:
    with listen(first):
        assert ports.find() == first + 1
        assert ports.allocate("a").port == first + 1
        assert ports.available([first, first + 2]) == {first: False, first + 2: True}


def test_after_the_last_try_the_system_chooses(ports: Ports, first: int) -> None:
    held = ports.allocate_many([f"service {number}" for number in range(10)])
    assert sorted(lease.port for lease in held.values()) == list(range(first, first + 10))
    beyond = ports.allocate("one more")
    assert not first <= beyond.port < first + 10
    assert ports.statistics().from_system == 1
    with pytest.raises(ConfigurationError, match=r"one too many: no port is free .* `kit ports` shows"):
        ports.allocate("one too many", system=False)


def test_several_are_found_or_allocated_at_once_and_all_or_none(ports: Ports, first: int) -> None:
    assert ports.find_many(3) == [first, first + 1, first + 2]
    assert ports.leases() == []
    held = ports.allocate_many({"a": first + 4, "b": None})
    assert {service: lease.port for service, lease in held.items()} == {"a": first + 4, "b": first}
    with pytest.raises(ConfigurationError, match="is no port"):
        ports.allocate_many({"c": None, "d": 70_000})
    assert sorted(one.service for one in ports.leases()) == ["a", "b"]
    assert ports.release_many() == 2
    assert ports.leases() == []


def test_a_conflict_is_told_and_told_again_when_it_is_over(
    ports: Ports, first: int, told: Callable[[], list[str]]
) -> None:
    with listen(first + 3):
        assert ports.allocate("a", first + 3).port == first + 4
        (conflict,) = ports.conflicts()
        assert (conflict.service, conflict.port) == ("a", first + 3)
        assert conflict.holder == "a program that is not of the kit"
        assert told() == ["PortConflict", "PortChanged"]
        asyncio.run(ports.look())
        assert ports.conflicts() == [conflict]
    asyncio.run(ports.look())
    assert ports.conflicts() == []
    assert told() == ["PortConflict", "PortChanged", "PortAvailable"]


def test_a_conflict_with_another_service_names_it(ports: Ports, first: int) -> None:
    ports.allocate("search", first)
    ports.allocate("cache", first)
    assert ports.conflicts()[0].holder == f"search (process {os.getpid()})"


async def test_a_check_says_whether_somebody_takes_connections(ports: Ports, first: int) -> None:
    with listen(first):
        assert (await ports.health_check(first)).listening
    refused = await ports.health_check(first)
    assert not refused.listening
    assert "refused" in refused.error.lower()


async def test_what_is_held_is_looked_at_every_thirty_seconds(
    tmp_path: Path, first: int, told: Callable[[], list[str]]
) -> None:
    clock = VirtualClock(autojump=True)
    ports = Ports(first=first, last=first + 9, root=tmp_path, clock=clock)
    looked: list[bool] = []
    look = ports.look

    async def counted(timeout: float = 1.0) -> object:
        looked.append(True)
        if len(looked) == 3:
            raise asyncio.CancelledError
        return await look(timeout)

    ports.look = counted  # type: ignore[method-assign,assignment]
    with ports.allocate("a"), pytest.raises(asyncio.CancelledError):
        await ports.watch()
    assert clock.sleeps == [30.0, 30.0, 30.0]


def test_a_server_that_comes_and_goes_is_told(ports: Ports, first: int, told: Callable[[], list[str]]) -> None:
    ports.allocate("a")
    asyncio.run(ports.look())
    assert told() == [], "it has not bound its port yet"
    with listen(first):
        asyncio.run(ports.look())
        asyncio.run(ports.look())
    asyncio.run(ports.look())
    assert told() == ["HealthCheckSuccess", "HealthCheckFailed"]


def test_statistics_count_what_was_done(ports: Ports, first: int) -> None:
    ports.allocate("a")
    with ports.allocate("b"):
        ports.find()
    found = ports.statistics()
    assert (found.allocated, found.released, found.leased, found.conflicts) == (2, 1, 1, 0)
    assert (found.first, found.last) == (first, first + 9)


def test_a_file_whose_holder_has_gone_is_no_lease(ports: Ports, first: int, tmp_path: Path) -> None:
    (tmp_path / f"{first}.json").write_text('{"service": "dead", "port": 1, "pid": 1, "since": 0}')
    assert ports.leases() == []
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f"{first}.json").write_text("what is this?")
    assert ports.allocate("a").port == first


def test_a_lock_on_a_file_that_has_lost_its_name_is_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is opened, its holder gives the port back and removes it, and only then the lock is tried for."""
    import fcntl

    flock = fcntl.flock
    stale: list[int] = []

    def late(descriptor: int, how: int) -> None:
        if not stale:
            stale.append(descriptor)
            (tmp_path / "5.json").unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    taken = take(tmp_path, 5)
    assert taken is not None
    path, descriptor = taken
    assert os.path.samestat(os.fstat(descriptor), path.stat())
    os.close(descriptor)


@pytest.mark.parametrize(("first", "last", "tries"), [(0, 5, 1), (10, 5, 1), (1, 70_000, 1), (1, 2, -1)])
def test_a_range_that_is_none_is_refused(first: int, last: int, tries: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ports"):
        Ports(first=first, last=last, tries=tries, root=tmp_path)
