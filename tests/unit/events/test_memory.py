"""The bus in memory: positions, bounds, and readers who are slow."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from kit.events import MemoryBus
from kitapi.v1 import events_pb2


def event(number: int) -> events_pb2.Event:
    made = events_pb2.Event(id=f"e{number}", source="here")
    made.payload.Pack(events_pb2.CacheHit(key=str(number)))
    return made


async def read(bus: MemoryBus, count: int, after: int = 0) -> list[events_pb2.Event]:
    async with asyncio.timeout(10), aclosing(bus.watch(after)) as events:
        return [await anext(events) for _ in range(count)]


async def test_sequences_begin_at_one_and_a_reader_begins_where_it_says() -> None:
    bus = MemoryBus()
    assert bus.last == 0
    assert [await bus.append(event(number)) for number in range(3)] == [1, 2, 3]
    assert [found.sequence for found in await read(bus, 3)] == [1, 2, 3]
    assert [found.id for found in await read(bus, 1, after=2)] == ["e2"]


async def test_an_event_that_was_appended_is_not_appended_again() -> None:
    bus = MemoryBus()
    assert await bus.append(event(1)) == 1
    assert await bus.append(event(2)) == 2
    assert await bus.append(event(1)) == 1
    assert bus.last == 2


async def test_a_reader_who_missed_events_is_told_which_and_goes_on() -> None:
    bus = MemoryBus(size=3)
    for number in range(10):
        bus.post(event(number))
    lost, *kept = await read(bus, 4, after=2)
    assert lost.sequence == 7
    gap = events_pb2.EventsLost()
    assert lost.payload.Unpack(gap)
    assert (gap.first_sequence, gap.last_sequence) == (3, 7)
    assert [found.sequence for found in kept] == [8, 9, 10]


async def test_who_asks_for_all_gets_what_is_kept_and_nothing_is_called_lost() -> None:
    bus = MemoryBus(size=3)
    for number in range(10):
        bus.post(event(number))
    assert [found.sequence for found in await read(bus, 3)] == [8, 9, 10]


async def test_a_position_of_another_life_begins_with_what_is_kept() -> None:
    bus = MemoryBus()
    bus.post(event(1))
    assert [found.sequence for found in await read(bus, 1, after=400)] == [1]


async def test_a_slow_reader_costs_no_memory() -> None:
    bus = MemoryBus(size=2)
    async with aclosing(bus.watch()) as events:
        bus.post(event(0))
        assert (await anext(events)).sequence == 1
        for number in range(1, 100):
            bus.post(event(number))
        assert len(bus._kept) == len(bus._sequences) == 2
        lost = await anext(events)
        assert lost.payload.Is(events_pb2.EventsLost.DESCRIPTOR)
        assert (await anext(events)).sequence == 99


async def test_a_reader_waits_for_what_comes_from_another_thread() -> None:
    bus = MemoryBus()
    reading = asyncio.create_task(read(bus, 1))
    await asyncio.sleep(0)
    assert bus._watchers
    thread = threading.Thread(target=bus.post, args=(event(1),))
    thread.start()
    assert [found.id for found in await reading] == ["e1"]
    thread.join()
    assert not bus._watchers, "a reader who has gone is forgotten"


def test_a_bus_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        MemoryBus(0)
