"""Whoever leaves a search ends its work."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from services.search.index.engine import TantivySplit
from services.search.seam import Hits
from tests.conformance.log_index.conftest import T0, Backend, Run, plan


async def test_a_stream_that_is_left_computes_no_more(backend: Backend) -> None:
    lines = [(b"x", T0 + number, 0, True) for number in range(3000)]
    await backend.write(Run("aa", "a", lines))
    events = backend.index.search(backend.now(), plan("x"))
    async for event in events:
        if isinstance(event, Hits):
            break
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(events)


@pytest.mark.parametrize("backend", ["tantivy splits"], indirect=True)
async def test_a_page_that_nobody_waits_for_is_given_up(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine calls back every 20 ms at the latest: here it does nothing else. Others have no threads."""
    await backend.write(Run("aa", "a", [(b"x", T0, 0, True)]))
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def busy(split: object, query: object, order: object, limit: int, after: object, check: object) -> object:
        loop.call_soon_threadsafe(begun.set)
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                check()  # type: ignore[operator]
        finally:
            ended.set()
        raise AssertionError("nobody said that it may stop")

    monkeypatch.setattr(TantivySplit, "top", busy)
    task = asyncio.create_task(backend.index.answer(backend.now(), plan("x", limit=5, count=True)))
    async with asyncio.timeout(30):
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 30)
