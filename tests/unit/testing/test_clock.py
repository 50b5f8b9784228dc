"""Virtual time."""

from __future__ import annotations

import asyncio

import pytest

from kit.testing import VirtualClock


async def test_it_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(start=5.0, wall=100.0)
    assert (clock.now(), clock.wall()) == (5.0, 100.0)
    await clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (7.5, 102.5)


async def test_sleepers_wake_in_order_at_their_own_instants() -> None:
    clock = VirtualClock(start=0.0)
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleep("a", 3.0)), asyncio.create_task(sleep("b", 1.0, 1.0, 5.0))]
    await clock.advance(4.0)
    assert woken == [("b", 1.0), ("b", 2.0), ("a", 3.0)]
    await clock.advance(3.0)
    assert woken[-1] == ("b", 7.0)
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_was_cancelled_is_passed_over() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(1.0))
    await clock.advance(0.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await clock.advance(2.0)


async def test_with_autojump_nobody_waits() -> None:
    clock = VirtualClock(start=0.0, autojump=True)
    await clock.sleep(60.0)
    await clock.sleep(0.5)
    assert clock.now() == 60.5
    assert clock.sleeps == [60.0, 0.5]


async def test_the_wall_may_be_shifted_without_moving_time() -> None:
    clock = VirtualClock(wall=100.0)
    before = clock.now()
    clock.shift_wall(-3600.0)
    assert clock.wall() == -3500.0
    assert clock.now() == before
