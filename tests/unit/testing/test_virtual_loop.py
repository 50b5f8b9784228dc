"""An event loop in virtual time."""

from __future__ import annotations

import asyncio
import time

import pytest

import kit
from kit.errors import UsageError
from kit.testing import LoopClock, run_virtually


def test_years_pass_in_no_time_and_in_order() -> None:
    year = 365 * 24 * 3600.0

    async def main(clock: LoopClock) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def wait(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            seen.append((name, clock.now()))

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("late", 2 * year))
            group.create_task(wait("early", year))
        return seen

    started = time.monotonic()
    (early, at), (late, then) = run_virtually(main)
    assert (early, late) == ("early", "late")
    assert (at, then) == pytest.approx((year, 2 * year))
    assert time.monotonic() - started < 10


def test_timeouts_of_asyncio_are_virtual_too() -> None:
    async def main(clock: LoopClock) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return clock.now()

    assert run_virtually(main) == pytest.approx(3600)


def test_the_wall_clock_moves_with_it() -> None:
    async def main(clock: LoopClock) -> float:
        before = clock.wall()
        await clock.sleep(5)
        return clock.wall() - before

    assert run_virtually(main) == pytest.approx(5)


def test_waiting_for_what_can_never_happen_is_an_error() -> None:
    async def main(_clock: LoopClock) -> None:
        await asyncio.Event().wait()

    with pytest.raises(UsageError, match="never happen"):
        run_virtually(main)


async def test_a_running_loop_is_refused_with_the_way_round() -> None:
    async def main(clock: LoopClock) -> float:
        await clock.sleep(1)
        return clock.now()

    with pytest.raises(UsageError, match=r"asyncio\.to_thread"):
        run_virtually(main)
    assert await asyncio.to_thread(run_virtually, main) == pytest.approx(1.0)


def test_the_callers_deadline_is_not_handed_on() -> None:
    async def main(_clock: LoopClock) -> float:
        return kit.deadline().remaining()

    with kit.timeout(1.0):
        assert run_virtually(main) == float("inf")
