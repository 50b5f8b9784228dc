"""Work that outlives the call that asked for it."""

from __future__ import annotations

import asyncio
import math

import pytest

import kit


async def test_background_work_has_no_deadline_and_reports_to_nobody() -> None:
    async def work() -> float:
        return kit.deadline().remaining()

    with kit.timeout(5), kit.reports() as seen:
        inherited = await asyncio.create_task(work())
        free = await kit.background(work(), name="free")
    assert inherited <= 5
    assert free == math.inf
    assert seen == []


async def test_background_work_changes_nothing_for_who_started_it() -> None:
    async def work() -> None:
        with kit.timeout(0.001):
            pass

    with kit.timeout(5) as outer:
        await kit.background(work())
        assert kit.deadline() == outer


async def test_a_call_that_was_made_already_is_no_background_work() -> None:
    made = asyncio.get_running_loop().create_future()
    with pytest.raises(kit.errors.UsageError, match="write an async function that makes the call"):
        kit.background(made)  # type: ignore[arg-type]
